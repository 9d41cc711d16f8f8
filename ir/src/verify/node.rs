//! Invariants 4, 5, 7 and 9 to 11: operands, result types, phases, observers, symbols, outputs.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::diag::Diag;
use crate::entity::SideTable;
use crate::graph::{Node, Phase};
use crate::ops::{Infer, Op};
use crate::text::{self, dims_in, is_symbol, sigil, suggest};
use crate::types::Type;
use crate::verify::{Place, Verifier};
use crate::{NodeId, TypeId};

impl Verifier<'_> {
    /// Symbols and observers by themselves.
    pub(super) fn declarations(&mut self) {
        let g = self.g;
        for (i, (name, (lo, hi))) in g.dims.0.iter().enumerate() {
            if !is_symbol(name) {
                let d = Diag::error("dim", format!("{} cannot name a dimension", text::quoted(name)))
                    .help("a letter or `_` first, then letters, digits, `_` and `.`");
                self.report(d, Place::Dim(i), "not a word");
            }
            if *lo < 0 || hi.is_some_and(|hi| hi < *lo) {
                let hi = hi.map_or(String::new(), |h| h.to_string());
                let d = Diag::error("dim", format!("`{name}` has no size in {lo}..{hi}"));
                self.report(d, Place::Dim(i), "this range");
            }
        }
        for (i, (name, o)) in g.observers.iter().enumerate() {
            let name = sigil('$', name);
            let (lo, hi) = o.range;
            match o.storage.int_range() {
                // Passive observers, which give no parameters, have no range.
                _ if o.range == (0, 0) => {}
                Some((a, b)) if a <= lo && lo < hi && hi <= b => {}
                Some((a, b)) => {
                    let d = Diag::error(
                        "observer",
                        format!(
                            "range [{lo}:{hi}] of `{name}` does not lie within `{}` [{a}:{b}]",
                            o.storage
                        ),
                    );
                    self.report(d, Place::Observer(i), "this observer");
                }
                None => {
                    let d = Diag::error("observer", format!("`{}` of `{name}` holds no integers", o.storage));
                    self.report(d, Place::Observer(i), "this observer");
                }
            }
            if !is_symbol(&o.kind) {
                let d = Diag::error("observer", format!("{} is no kind of observer", text::quoted(&o.kind)));
                self.report(d, Place::Observer(i), "this observer");
            }
        }
    }

    /// All that needs live ids.
    pub(super) fn contents(&mut self) {
        let g = self.g;
        // For each type whether it was looked at, and whether it is usable.
        let mut usable: SideTable<TypeId, Option<bool>> = SideTable::new(None);
        let mut observed = vec![false; g.observers.len()];
        for (i, &v) in g.inputs().iter().enumerate() {
            let ty = g.value(v).ty;
            if usable[ty].is_none() {
                usable[ty] = Some(self.type_alone(g.ty(v), Place::Input(i)));
            }
        }
        for n in g.nodes() {
            if self.full() {
                return;
            }
            let node = g.node(n);
            for (i, &v) in node.outs.iter().enumerate() {
                let ty = g.value(v).ty;
                if usable[ty].is_none() {
                    usable[ty] = Some(self.type_alone(g.ty(v), Place::Result(n, i)));
                }
            }
            self.phase(n, node);
            // Inference relies on sound types, and an unsound one is reported where it is declared.
            let mut values = node.ins.iter().flatten().chain(&node.outs);
            if values.all(|&v| usable[g.value(v).ty] != Some(false)) {
                self.results(n, node);
            }
            self.symbols(n, node);
            match &node.op {
                Op::Observe(o) => match g.observers.get_index_of(&o.by.0) {
                    Some(i) => observed[i] = true,
                    None => self.unknown_observer(n, &o.by.0),
                },
                Op::Const(c) => self.constant(n, node, c),
                _ => {}
            }
        }
        for (i, (name, _)) in g.observers.iter().enumerate() {
            if !observed[i] && !self.full() {
                let name = sigil('$', name);
                let d = Diag::error("observer", format!("observer `{name}` is declared but not used"));
                let d = d.help("remove the declaration");
                self.report(d, Place::Observer(i), "no `observe` names it");
            }
        }
        self.outputs();
    }

    fn phase(&mut self, n: NodeId, node: &Node) {
        let (first, last) = node.op.phases();
        let phase = self.g.phase();
        if phase >= first && phase <= last {
            return;
        }
        let name = node.op.name();
        let d = Diag::error("phase", format!("`{name}` is not allowed in a graph of phase `{phase}`"));
        let label = if first == last {
            format!("allowed in phase `{first}` only")
        } else {
            format!("allowed from `{first}` to `{last}`")
        };
        self.report(d, Place::Node(n), label);
    }

    /// Invariants 4 and 5.
    fn results(&mut self, n: NodeId, node: &Node) {
        let g = self.g;
        let ins: SmallVec<[Option<&Type>; 4]> = node.ins.iter().map(|v| v.map(|v| g.ty(v))).collect();
        if let Err(reason) = node.op.check_operands(&ins) {
            return self.report(reason.diag("operands"), Place::Node(n), self.here(n));
        }
        // Cloned because `infer` takes a slice; a type is a few dimensions.
        let declared: SmallVec<[Type; 1]> = node.outs.iter().map(|&v| g.ty(v).clone()).collect();
        let inferred = match node.op.infer(&Infer { ins: &ins, declared: &declared }) {
            Ok(types) => types,
            Err(reason) => {
                let d = self.mixed(node).into_iter().fold(reason.diag("type"), Diag::note);
                return self.report(d, Place::Node(n), self.here(n));
            }
        };
        let name = node.op.name();
        if inferred.len() != declared.len() {
            let (yields, has) = (inferred.len(), declared.len());
            let message = format!("`{name}` yields {}, {has} declared", text::count(yields, "result"));
            return self.report(Diag::error("type", message), Place::Node(n), self.here(n));
        }
        if let Some(i) = (0..declared.len()).find(|&i| declared[i] != inferred[i]) {
            let (is, should) = (self.ty(&declared[i]), self.ty(&inferred[i]));
            let message =
                format!("`{}` is declared {is}, but `{name}` yields {should}", self.name(node.outs[i]));
            let all: Vec<String> = inferred.iter().map(|t| self.ty(t)).collect();
            let d = Diag::error("type", message).help(format!("write `: {}`", all.join(", ")));
            self.report(d, Place::Result(n, i), self.here(n));
        }
    }

    /// Where the operands come from that are float for an op on integers, or quantized for an op on real numbers.
    fn mixed(&self, node: &Node) -> Vec<String> {
        let integer = node.op.phases().0 >= Phase::Reference && !matches!(node.op, Op::Quantize(_));
        let mut all = Vec::new();
        for &v in node.ins.iter().flatten() {
            let ty = self.g.ty(v);
            let (float, quantized) = (ty.elem.is_float(), ty.elem.quant().is_some());
            if (integer && !float) || (!integer && !quantized) || self.g.is_const(v) {
                continue;
            }
            let from = match self.g.def_node(v).map(|d| self.g.node(d)) {
                None => "an input of the graph".to_string(),
                Some(d) => match &d.loc.path {
                    Some(path) => format!("the result of `{}` in module {path}", d.op.name()),
                    None => format!("the result of `{}`", d.op.name()),
                },
            };
            let is = if float { "float" } else { "quantized" };
            all.push(format!("`{}` is {is}: it is {from}", self.name(v)));
        }
        all
    }

    /// Symbols in attributes.
    fn symbols(&mut self, n: NodeId, node: &Node) {
        if matches!(node.op, Op::Const(_)) {
            return;
        }
        for (name, value) in node.op.attrs() {
            let mut unknown = None;
            dims_in(&value, &mut |d| {
                d.symbols(&mut |s| {
                    if !self.g.dims.0.contains_key(s) {
                        unknown = Some(s.clone());
                    }
                })
            });
            if let Some(s) = unknown {
                let d = self.unknown_symbol(&s);
                self.report(d, Place::Attr(n, name), "not declared");
            }
        }
    }

    /// The error that a symbol is not declared.
    pub(super) fn unknown_symbol(&self, s: &str) -> Diag {
        let d = Diag::error("dim", format!("unknown dimension `{s}`"));
        match suggest(s, self.g.dims.0.keys().map(|k| &**k)) {
            Some(k) => d.help(format!("did you mean `{k}`?")),
            None => d.help(format!("declare it above the graph: `dim {s} = 1..`")),
        }
    }

    fn unknown_observer(&mut self, n: NodeId, name: &str) {
        let d = Diag::error("observer", format!("unknown observer `{}`", sigil('$', name)));
        let d = match suggest(name, self.g.observers.keys().map(|k| &**k)) {
            Some(k) => d.help(format!("did you mean `{}`?", sigil('$', k))),
            None => d.help("declare it above the graph"),
        };
        self.report(d, Place::Attr(n, "by".into()), "not declared");
    }

    /// Invariant 11.
    fn outputs(&mut self) {
        let mut seen = HashMap::new();
        for (i, o) in self.g.outputs().iter().enumerate() {
            if seen.insert(&o.name, i).is_some() && !self.full() {
                let d = Diag::error("output", format!("two outputs are called {}", text::quoted(&o.name)))
                    .help("give one of them another name: `as \"name\"`");
                self.report(d, Place::Output(i), "the name is taken");
            }
        }
    }
}
