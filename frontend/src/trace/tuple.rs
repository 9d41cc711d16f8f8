//! Results of calls that return several values.

use quantir_ir::Diag;

use super::cx::{Cx, here};
use super::site::Call;
use super::traced::Traced;

/// What `chunk`, `split` or an LSTM returns. Taking a part is a `getitem` call, as in FX.
#[derive(Clone, Debug)]
pub struct Tuple {
    cx: Cx,
    items: Vec<Item>,
    silent: bool,
}

#[derive(Clone, Debug)]
enum Item {
    One(Traced),
    Many(Tuple),
}

impl Tuple {
    pub(super) fn flat(cx: &Cx, items: Vec<Traced>) -> Tuple {
        Tuple { cx: cx.clone(), items: items.into_iter().map(Item::One).collect(), silent: false }
    }
    /// `(first, (rest…))`, as an LSTM returns.
    pub(super) fn with_state(cx: &Cx, first: Traced, rest: Vec<Traced>) -> Tuple {
        let items = vec![Item::One(first), Item::Many(Tuple::flat(cx, rest))];
        Tuple { cx: cx.clone(), items, silent: false }
    }
    /// One whose making failed, which is recorded.
    pub(super) fn silent(cx: &Cx) -> Tuple {
        Tuple { cx: cx.clone(), items: Vec::new(), silent: true }
    }

    /// Number of parts.
    pub fn len(&self) -> usize {
        self.items.len()
    }
    /// Whether it has no parts.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Part `i`, as `t[i]` in Python.
    #[track_caller]
    pub fn get(&self, i: usize) -> Traced {
        match self.items.get(i) {
            Some(Item::One(x)) => {
                self.cx.note(Call::Function("operator.getitem"), x.value());
                x.clone()
            }
            Some(Item::Many(_)) => self.wrong(format!("part {i} is a tuple itself"), "take it with `tuple`"),
            None => self.wrong(format!("there is no part {i} of {}", self.len()), "parts count from 0"),
        }
    }
    /// Part `i`, which is a tuple itself: the states of an LSTM.
    #[track_caller]
    pub fn tuple(&self, i: usize) -> Tuple {
        match self.items.get(i) {
            Some(Item::Many(t)) => {
                self.cx.note(Call::Function("operator.getitem"), None);
                t.clone()
            }
            _ => {
                self.wrong(format!("part {i} is no tuple"), "take it with `get`");
                Tuple::silent(&self.cx)
            }
        }
    }
    /// All parts, as `a, b = t` in Python. `N` must be their number.
    #[track_caller]
    pub fn unpack<const N: usize>(&self) -> [Traced; N] {
        if N != self.len() && !self.silent {
            self.wrong(
                format!("{} values are taken apart into {N}", self.len()),
                "take as many as there are",
            );
            return std::array::from_fn(|_| Traced::new(&self.cx, None));
        }
        std::array::from_fn(|i| self.get(i))
    }
    /// The result and the states of a recurrent layer, as `y, state = lstm(x)` in Python.
    #[track_caller]
    pub fn with_states(&self) -> (Traced, Tuple) {
        (self.get(0), self.tuple(1))
    }

    #[track_caller]
    fn wrong(&self, message: String, help: &str) -> Traced {
        if !self.silent {
            self.cx.error(Diag { span: Some(here()), ..Diag::error("trace", message).help(help) });
        }
        Traced::new(&self.cx, None)
    }
}
