//! One call of the author on its way into the graph.

use quantir_ir::graph::Operands;
use quantir_ir::{Loc, Op, Tensor, Type, ValueId};

use super::cx::Cx;
use super::traced::Traced;

/// What the author of a model called, in the canonical spelling of call types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call<'a> {
    /// The module whose `forward` is running; its class is the call type, its path gives the name.
    Module,
    /// A function: `F.relu`, `torch.add`, `operator.add`; the last part of it gives the name.
    Function(&'a str),
    /// A method of a tensor, without the dot: `reshape`.
    Method(&'a str),
}

/// One call of the author while it is added to the graph.
pub struct Site {
    pub(super) cx: Cx,
    pub(super) name: String,
    pub(super) loc: Loc,
}

impl Site {
    /// The name of its value.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// Where it is.
    pub fn loc(&self) -> &Loc {
        &self.loc
    }
    /// Adds the node whose result is the call's.
    pub fn finish(&self, op: impl Into<Op>, inputs: &[&Traced]) -> Traced {
        let inputs: Vec<_> = inputs.iter().map(|x| Some(*x)).collect();
        self.finish_all(op, &inputs, &[]).into_iter().next().unwrap_or_else(|| Traced::new(&self.cx, None))
    }
    /// As [`Site::finish`] for ops with absent operands, several results, or results that must be declared.
    pub fn finish_all(
        &self,
        op: impl Into<Op>,
        inputs: &[Option<&Traced>],
        declared: &[Type],
    ) -> Vec<Traced> {
        let out = self.push(op.into(), inputs, declared, &self.name);
        self.is(out.first().and_then(Traced::value));
        out
    }
    /// As [`Site::finish`] or [`Site::part`] for an op with absent operands.
    pub(super) fn push_last(&self, op: Op, inputs: &[Option<&Traced>], last: bool) -> Traced {
        let out = match last {
            true => self.finish_all(op, inputs, &[]),
            false => self.push(op, inputs, &[], &format!("{}.one", self.name)),
        };
        out.into_iter().next().unwrap_or_else(|| Traced::new(&self.cx, None))
    }
    /// Says which value the call returns.
    pub(super) fn is(&self, value: Option<ValueId>) {
        let mut s = self.cx.edit();
        if let Some(r) = s.records.iter_mut().rev().find(|r| r.name == self.name) {
            r.value = value;
        }
    }
    /// Adds a node that the call needs before its last one; all of them carry the same path and call type.
    pub fn part(&self, what: &str, op: impl Into<Op>, inputs: &[&Traced]) -> Traced {
        let inputs: Vec<_> = inputs.iter().map(|x| Some(*x)).collect();
        let name = format!("{}.{what}", self.name);
        let out = self.push(op.into(), &inputs, &[], &name).into_iter().next();
        out.unwrap_or_else(|| Traced::new(&self.cx, None))
    }
    /// A number among the call's arguments, as a constant of `like`'s storage.
    pub fn scalar(&self, x: f64, like: &Traced) -> Traced {
        let storage = like.ty().map_or(quantir_ir::Storage::F32, |t| t.elem.storage());
        let t = match storage {
            quantir_ir::Storage::I64 => Ok(Tensor::i64(&[], vec![x as i64])),
            quantir_ir::Storage::I32 => Tensor::new(&[], vec![x as i32]),
            quantir_ir::Storage::F16 => Tensor::new(&[], vec![half::f16::from_f64(x)]),
            _ => Ok(Tensor::f32(&[], vec![x as f32])),
        };
        self.tensor("scalar", t)
    }
    /// A tensor among the call's arguments.
    pub fn tensor(&self, what: &str, t: Result<Tensor, quantir_ir::Reason>) -> Traced {
        let v = match t {
            Ok(t) => {
                let loc = Loc { span: self.loc.span.clone(), ..Loc::default() };
                Some(self.cx.edit().graph.push_const(t, &format!("{}.{what}", self.name), loc))
            }
            Err(r) => {
                self.fail(r);
                None
            }
        };
        Traced::new(&self.cx, v)
    }
    /// Records why the call is wrong.
    pub fn fail(&self, reason: impl Into<quantir_ir::Reason>) -> Traced {
        self.cx.error(reason.into().diag("trace").at(&self.loc));
        Traced::new(&self.cx, None)
    }

    fn push(&self, op: Op, inputs: &[Option<&Traced>], declared: &[Type], name: &str) -> Vec<Traced> {
        let count = op.results();
        let silent = || vec![Traced::new(&self.cx, None); count];
        let mut ins = Operands::new();
        for x in inputs {
            match x {
                None => ins.push(None),
                Some(x) if !x.cx().same(&self.cx) => {
                    self.cx.foreign(x);
                    return silent();
                }
                Some(x) => match x.value() {
                    Some(v) => ins.push(Some(v)),
                    // What is wrong with the operand is recorded already.
                    None => return silent(),
                },
            }
        }
        let pushed = self.cx.edit().graph.push_as(op, ins, declared, name, self.loc.clone());
        match pushed {
            Ok(out) => out.into_iter().map(|v| Traced::new(&self.cx, Some(v))).collect(),
            Err(d) => {
                self.cx.error(d);
                silent()
            }
        }
    }
}
