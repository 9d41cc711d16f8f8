//! The printer. Linear in the size of the graph; prints broken graphs too, for messages about them.

use std::fmt::{self, Write};
use std::sync::Arc;

use indexmap::IndexMap;

use crate::TypeId;
use crate::entity::SideTable;
use crate::graph::{Graph, Name, Node, ObserverSpec};
use crate::quant::{QParams, Quant};
use crate::text::decl::VERSION;
use crate::text::names::{Names, nodes_in_order, quant_names};
use crate::text::quote::{number, quoted, sigil};
use crate::types::{Elem, Type};

/// The text of a graph.
pub fn print(g: &Graph) -> String {
    g.to_string()
}

/// Writes the text of a graph; fails only if `out` does.
pub fn print_to(g: &Graph, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    write!(out, "{g}")
}

/// A type as the graph's text shows it, with a declared quantization under its name.
pub fn print_type(g: &Graph, ty: &Type) -> String {
    match &ty.elem {
        Elem::Quant(q) => match g.quant_names.get(q) {
            Some(name) => format!("{}{}{}", q.storage, sigil('!', name), ty.shape),
            None => ty.to_string(),
        },
        Elem::Plain(_) => ty.to_string(),
    }
}

/// The text of the graph.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut p = Printer {
            g: self,
            names: Names::of(self),
            quants: quant_names(self),
            types: SideTable::new(None),
        };
        p.graph(f)
    }
}

struct Printer<'g> {
    g: &'g Graph,
    names: Names,
    quants: IndexMap<Arc<Quant>, Name>,
    /// Printed types, each once.
    types: SideTable<TypeId, Option<Arc<str>>>,
}

impl Printer<'_> {
    fn graph(&mut self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = self.g;
        writeln!(f, "qir {VERSION} {}", g.phase())?;
        for (name, (lo, hi)) in &g.dims.0 {
            write!(f, "dim {name} = {lo}..")?;
            hi.map_or(Ok(()), |hi| write!(f, "{hi}"))?;
            f.write_char('\n')?;
        }
        for (q, name) in &self.quants {
            write!(f, "quant {} = ", sigil('!', name))?;
            self.quant(q, f)?;
            f.write_char('\n')?;
        }
        for (path, class) in &g.modules {
            writeln!(f, "module {} = {}", sigil('@', path), quoted(class))?;
        }
        for (name, spec) in &g.observers {
            write!(f, "observer {} = ", sigil('$', name))?;
            fmt::Display::fmt(spec, f)?;
            f.write_char('\n')?;
        }
        write!(f, "graph {}(", sigil('@', &g.name))?;
        for (i, &v) in g.inputs().iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}: ", sigil('%', self.names.get(v)))?;
            if let Some(value) = g.try_value(v) {
                self.ty(value.ty, f)?;
            }
        }
        f.write_str(") {\n")?;
        for node in nodes_in_order(g).filter_map(|n| g.try_node(n)) {
            self.node(node, f)?;
        }
        f.write_str("  return")?;
        for (i, out) in g.outputs().iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { " " })?;
            let name = self.names.get(out.value);
            write!(f, "{}", sigil('%', name))?;
            if *out.name != *name {
                write!(f, " as {}", quoted(&out.name))?;
            }
        }
        f.write_str("\n}\n")
    }

    fn node(&mut self, node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("  ")?;
        for (i, &v) in node.outs.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}", sigil('%', self.names.get(v)))?;
        }
        if !node.outs.is_empty() {
            f.write_str(" = ")?;
        }
        f.write_str(node.op.name())?;
        let present = node.ins.iter().rposition(Option::is_some).map_or(0, |i| i + 1);
        for (i, v) in node.ins[..present].iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { " " })?;
            match v {
                Some(v) => write!(f, "{}", sigil('%', self.names.get(*v)))?,
                None => f.write_str("_")?,
            }
        }
        let attrs = node.op.attrs();
        for (i, (name, value)) in attrs.iter().enumerate() {
            write!(f, "{}{name}={value}", if i > 0 { ", " } else { " {" })?;
        }
        if !attrs.is_empty() {
            f.write_str("}")?;
        }
        for (i, &v) in node.outs.iter().enumerate() {
            f.write_str(if i > 0 { ", " } else { " : " })?;
            if let Some(value) = self.g.try_value(v) {
                self.ty(value.ty, f)?;
            }
        }
        if let Some(path) = &node.loc.path {
            write!(f, " {}", sigil('@', path))?;
        }
        if let Some(call) = &node.loc.call {
            write!(f, " by {}", quoted(call))?;
        }
        f.write_str("\n")
    }

    fn ty(&mut self, ty: TypeId, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.types[ty] {
            return f.write_str(text);
        }
        let text: Arc<str> = match self.g.types.get(ty) {
            None => "?".into(),
            Some(t) => match &t.elem {
                Elem::Plain(s) => format!("{s}{}", t.shape).into(),
                Elem::Quant(q) => format!("{}{}{}", q.storage, self.quant_name(q), t.shape).into(),
            },
        };
        f.write_str(&text)?;
        self.types[ty] = Some(text);
        Ok(())
    }

    fn quant_name(&self, q: &Arc<Quant>) -> String {
        sigil('!', self.quants.get(q).map_or("?", |n| n)).to_string()
    }

    fn quant(&self, q: &Quant, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &q.params {
            QParams::Product(x, w) => {
                let (lo, hi) = q.range;
                write!(f, "{}[{lo}:{hi}] product({}, {})", q.storage, self.quant_name(x), self.quant_name(w))
            }
            _ => write!(f, "{q}"),
        }
    }
}

/// As in a declaration: `histogram(2048) u8[0:127] affine`.
impl fmt::Display for ObserverSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let o = self;
        f.write_str(&o.kind)?;
        for (i, x) in o.args.iter().enumerate() {
            write!(f, "{}{}", if i > 0 { "," } else { "(" }, number(*x))?;
        }
        if !o.args.is_empty() {
            f.write_str(")")?;
        }
        write!(f, " {}", o.storage)?;
        if o.range != (0, 0) {
            write!(f, "[{}:{}]", o.range.0, o.range.1)?;
        }
        f.write_str(match (o.float_zero, o.symmetric) {
            (true, _) => " float_qparams",
            (false, true) => " symmetric",
            (false, false) => " affine",
        })?;
        if let Some(a) = o.axis {
            write!(f, "({a})")?;
        }
        if o.eps != ObserverSpec::EPS {
            write!(f, " eps {}", number(o.eps))?;
        }
        for (word, set) in [("dynamic", o.dynamic), ("custom_range", o.custom_range)] {
            if set {
                write!(f, " {word}")?;
            }
        }
        Ok(())
    }
}
