//! From the decoded model to the graph.

use std::collections::HashMap;
use std::sync::Arc;

use quantir_ir::verify;
use quantir_ir::{Elem, Graph, Shape, Tensor, Type};

use super::ctx::{Import, computed_as};
use super::external::Folder;
use super::node::{Fail, Node};
use super::proto::tensor_shape_proto::dimension::Value as DimValue;
use super::proto::{GraphProto, ModelProto, ValueInfoProto, type_proto};
use super::{ops, order, path, symbols, tensor};
use crate::error::printable;
use crate::{Error, Limits, Unsupported};

/// Operator sets that are known, oldest and newest.
pub const OPSETS: (i64, i64) = (1, 25);

/// How a model is imported.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the file may ask for.
    pub limits: Limits,
    /// Inputs that become constants, with their content: a sampling rate, a shape, a flag.
    pub fixed: Vec<(String, Tensor)>,
}

/// An imported model.
#[derive(Debug)]
pub struct Imported {
    /// The graph, in phase `float`.
    pub graph: Graph,
    /// What was changed on the way.
    pub notes: Vec<String>,
}

/// Turns `model` into a graph; external data is looked for in `folder`.
pub fn import_model(
    model: &ModelProto,
    folder: Option<Folder>,
    options: &Options,
) -> Result<Imported, Error> {
    let Some(graph) = &model.graph else {
        return Err(Error::NotOnnx { offset: 0, reason: "the file holds no graph".into() });
    };
    let opset = opset(model)?;
    let name = if graph.name().is_empty() { "main" } else { graph.name() };
    let mut cx = Import::new(name, folder, &options.limits);
    declare(&mut cx, graph, options)?;
    let needed = order::needed(graph, |name| cx.is_known(name))?;

    for index in &needed {
        order::operands(graph, *index).into_iter().for_each(|i| cx.declare_use(i));
    }
    graph.output.iter().for_each(|o| cx.declare_use(o.name()));

    let mut unsupported = Gaps::default();
    for index in needed {
        let proto = &graph.node[index];
        let weights: Vec<&str> =
            proto.input.iter().map(String::as_str).filter(|i| cx.is_initializer(i)).collect();
        let path = path::of_node(proto.name(), proto.op_type(), &weights).map(Arc::from);
        let node = Node { proto, index, opset, path };
        if let Err(fail) = one(&mut cx, &node) {
            match fail {
                Some(Fail::Unsupported(why)) => unsupported.add(&node, why),
                Some(Fail::Fatal(e)) => return Err(e),
                Some(Fail::Invalid { reason, help }) if unsupported.is_empty() => {
                    return Err(Error::Invalid { place: node.place(), reason, help });
                }
                // What follows an unsupported node may look wrong only because of it.
                Some(Fail::Invalid { .. }) | None => {}
            }
            cx.poison(&node);
        }
    }
    if !unsupported.is_empty() {
        return Err(Error::Unsupported(unsupported.rows));
    }
    for out in &graph.output {
        let name = out.name();
        let value = cx.named_value(name, None).map_err(|fail| match fail {
            Fail::Fatal(e) => e,
            Fail::Unsupported(reason) | Fail::Invalid { reason, .. } => {
                let help = "return a computed value or an input of the model";
                Error::invalid(format!("output {}", printable(name)), reason, help)
            }
        })?;
        cx.graph.output(name, value);
    }
    let mut removed = Vec::new();
    let all: Vec<_> = cx.graph.nodes().collect();
    cx.graph.remove_dead(all, &mut removed);
    let diags = verify(&cx.graph);
    if !diags.is_empty() {
        return Err(Error::Graph { place: "the imported graph".into(), diags });
    }
    Ok(Imported { graph: cx.graph, notes: cx.notes })
}

/// Imports one node; `Err(None)` if it needs a node that could not be imported.
fn one<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Option<Fail>> {
    let handler = if node.is_standard() { ops::find(node.op()) } else { None };
    let Some(handler) = handler else {
        return Err(Some(Fail::unsupported("there is no such op here")));
    };
    if cx.is_poisoned(node) {
        return Err(None);
    }
    handler(cx, node).map_err(Some)
}

/// Version of the standard operator set.
fn opset(model: &ModelProto) -> Result<i64, Error> {
    let standard = model.opset_import.iter().find(|o| matches!(o.domain(), "" | "ai.onnx"));
    let version = standard.map_or(1, |o| o.version());
    let (oldest, newest) = OPSETS;
    if (oldest..=newest).contains(&version) {
        return Ok(version);
    }
    Err(Error::invalid(
        "the model",
        format!("it uses operator set {version}, but {oldest} to {newest} are known"),
        "export it with `opset_version=17`, or convert it with `onnx.version_converter`",
    ))
}

/// Makes initializers and inputs known.
fn declare<'m>(cx: &mut Import<'m>, graph: &'m GraphProto, options: &Options) -> Result<(), Error> {
    let twice = |name: &str| {
        let help = "give every value one definition, as the standard asks";
        Error::invalid(format!("value {}", printable(name)), "it is defined twice", help)
    };
    for t in &graph.initializer {
        if !cx.declare_initializer(t) {
            return Err(twice(t.name()));
        }
    }
    if let Some(t) = graph.sparse_initializer.first() {
        let name = t.values.as_ref().map_or("", |v| v.name());
        return Err(Error::invalid(
            format!("initializer {}", printable(name)),
            "it is sparse",
            "store its weights as a dense tensor before export",
        ));
    }
    for info in &graph.input {
        // Old files list initializers among the inputs, as defaults that a caller may replace.
        if cx.is_initializer(info.name()) {
            continue;
        }
        if cx.is_known(info.name()) {
            return Err(twice(info.name()));
        }
        let ty = input_type(cx, info)?;
        match options.fixed.iter().find(|(name, _)| name == info.name()) {
            Some((_, tensor)) => {
                fits(tensor, &ty).map_err(|why| {
                    let place = format!("input {}", printable(info.name()));
                    Error::invalid(place, why, "fix it to a tensor of its type")
                })?;
                cx.declare_fixed(info.name(), tensor.clone());
            }
            None => cx.declare_input(info.name(), ty),
        }
    }
    match options.fixed.iter().find(|(name, _)| !graph.input.iter().any(|i| i.name() == name)) {
        None => Ok(()),
        Some((name, _)) => {
            let names: Vec<String> = graph.input.iter().take(8).map(|i| printable(i.name())).collect();
            let help = format!("its inputs are: {}", names.join(", "));
            Err(Error::invalid(format!("input {}", printable(name)), "the model has no such input", help))
        }
    }
}

/// Whether `tensor` can stand for an input of type `ty`.
fn fits(tensor: &Tensor, ty: &Type) -> Result<(), String> {
    let same = |(d, n): (&quantir_ir::Dim, &usize)| d.as_lit().is_none_or(|d| d == *n as i64);
    let shape = tensor.rank() == ty.rank() && ty.shape.0.iter().zip(&tensor.shape).all(same);
    if shape && tensor.elem == ty.elem {
        Ok(())
    } else {
        Err(format!("it is {ty}, but it is fixed to {}", tensor.ty()))
    }
}

fn input_type(cx: &mut Import, info: &ValueInfoProto) -> Result<Type, Error> {
    let place = format!("input {}", printable(info.name()));
    let Some(type_proto::Value::TensorType(t)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return Err(Error::invalid(place, "it is no tensor", "give the model tensors as inputs"));
    };
    let (storage, note) = match tensor::storage_of(t.elem_type()) {
        Ok(s) => s,
        Err(why) => {
            return Err(Error::invalid(place, why, "cast the input inside the model from a common type"));
        }
    };
    if let Some(note) = note {
        cx.notes.push(format!("{place}: {note}"));
    }
    if computed_as(storage) != storage {
        cx.notes.push(format!("{place}: `{storage}` is computed as `f32`, give `f32` tensors"));
    }
    let Some(shape) = &t.shape else {
        let help = "export the model with a shape for each input; dimensions may be symbolic";
        return Err(Error::invalid(place, "its number of dimensions is not known", help));
    };
    let mut dims = Vec::with_capacity(shape.dim.len());
    for (axis, dim) in shape.dim.iter().enumerate() {
        dims.push(match &dim.value {
            Some(DimValue::DimValue(n)) if (0..=1 << 48).contains(n) => (*n).into(),
            Some(DimValue::DimParam(p)) if symbols::is_name(p) => cx.symbol(Some(p), info.name(), axis),
            _ => cx.symbol(None, info.name(), axis),
        });
    }
    Ok(Type::new(Elem::Plain(computed_as(storage)), Shape(dims)))
}

/// What is not supported, grouped.
#[derive(Default)]
struct Gaps {
    rows: Vec<Unsupported>,
    known: HashMap<(String, String, String), usize>,
}

impl Gaps {
    fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn add(&mut self, node: &Node, why: String) {
        let key = (node.op().to_owned(), node.proto.domain().to_owned(), why);
        if let Some(&row) = self.known.get(&key) {
            self.rows[row].count += 1;
            return;
        }
        self.known.insert(key.clone(), self.rows.len());
        let (op, domain, why) = key;
        self.rows.push(Unsupported {
            op: op.escape_default().to_string(),
            domain: domain.escape_default().to_string(),
            count: 1,
            first_node: node.label(),
            first_path: node.path.as_deref().map(str::to_owned),
            why,
        });
    }
}
