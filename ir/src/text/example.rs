//! Examples in documentation: a graph without its frame.

use crate::attr::AttrValue;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::graph::{Graph, ObserverSpec, Phase};
use crate::ops::Observe;
use crate::text::lex::Tok;
use crate::text::node::NodeSyntax;
use crate::text::parse::{Options, Parser, parse};
use crate::types::Storage;

/// Parses an example of an op's documentation: lines `input %name: type`, then lines of nodes.
///
/// Declarations may come first; symbols and observers need none. The phase is the first that allows all ops; all results
/// that nothing uses are outputs, unless a `return` line says which. A whole text with header is taken too.
pub fn parse_example(block: &str) -> Result<Graph, Vec<Diag>> {
    if block.trim_start().starts_with("qir ") {
        return parse(block);
    }
    let options = Options { file: "example", ..Options::default() };
    let mut p = Parser::new(block, &options);
    let mut syntax = NodeSyntax::default();
    let mut returned = false;
    while !p.gave_up() {
        p.skip_empty();
        let word = if p.cur.kind == Tok::Word { p.slice(p.cur) } else { "" };
        let r = match (p.cur.kind, word) {
            (Tok::End, _) => break,
            (_, "dim" | "quant" | "module" | "observer") => p.declaration(),
            (_, "input") => p.input_line(),
            (_, "return") => {
                returned = true;
                p.outputs()
            }
            _ => {
                p.node(&mut syntax);
                Ok(())
            }
        };
        p.recover(r);
    }
    if !returned {
        let ends: Vec<_> = p.g.nodes().flat_map(|n| p.g.node(n).outs.clone()).collect();
        for v in ends {
            if p.g.value(v).uses.is_empty() {
                let name = p.g.name_of(v).clone();
                p.g.output(&name, v);
            }
        }
    }
    p.choose_phase();
    p.declare_symbols();
    p.declare_observers();
    Ok(p.finish()?.graph)
}

impl Parser<'_, '_> {
    /// `input %x: f32[N,3]`
    fn input_line(&mut self) -> Result<(), Diag> {
        self.bump();
        let (t, name) = self.name(Tok::Value, "an input such as `%x: f32[1,3]`")?;
        self.punct(b':')?;
        let ty = self.type_syntax()?;
        let ty = self.type_at(ty)?;
        let ty = self.g.types[ty].clone();
        let value = self.g.input(&name, ty);
        self.source.inputs.push(t.range());
        self.define(&name, t, Some(value))?;
        self.end_of_line()
    }

    fn choose_phase(&mut self) {
        let (mut first, mut last) = (Phase::Float, Phase::Integer);
        for n in self.g.nodes() {
            let (from, to) = self.g.op(n).phases();
            first = first.max(from);
            last = last.min(to);
        }
        self.g.phase = first;
        if first > last {
            let message = format!("one op needs phase `{first}` at least, another `{last}` at most");
            self.report(Diag::error("phase", message));
        }
    }

    fn declare_symbols(&mut self) {
        let mut dims: Vec<Dim> = Vec::new();
        for v in self.g.inputs().to_vec() {
            dims.extend(self.g.ty(v).shape.0.iter().cloned());
        }
        for n in self.g.nodes() {
            for &v in &self.g.node(n).outs {
                dims.extend(self.g.ty(v).shape.0.iter().cloned());
            }
            self.g.op(n).attrs().iter().for_each(|(_, v)| dims_in(v, &mut |d| dims.push(d.clone())));
        }
        let mut names = Vec::new();
        dims.iter().for_each(|d| d.symbols(&mut |s| names.push(s.clone())));
        names.iter().for_each(|s| self.g.declare_dim(s, (1, None)));
    }

    fn declare_observers(&mut self) {
        let nodes = self.g.nodes().filter_map(|n| self.g.get::<Observe>(n));
        let names: Vec<_> = nodes.map(|o| o.op.by.0.clone()).collect();
        for name in names {
            self.g.observers.entry(name).or_insert_with(|| ObserverSpec::new("minmax", Storage::U8));
        }
    }
}

/// Calls `see` for each symbolic dimension in an attribute's value.
pub(crate) fn dims_in(v: &AttrValue, see: &mut impl FnMut(&Dim)) {
    match v {
        AttrValue::Dim(d) => see(d),
        AttrValue::List(l) | AttrValue::Call(_, l) => l.iter().for_each(|v| dims_in(v, see)),
        _ => {}
    }
}
