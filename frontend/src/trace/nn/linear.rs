//! `Linear`, `Identity`, `Dropout`.

use quantir_ir::ops;

use super::bound;
use crate::trace::{Call, Cx, Module, Traced, make};

/// `y = x · weightᵀ + bias`.
#[derive(Clone, Debug)]
pub struct Linear {
    input: usize,
    output: usize,
    bias: bool,
}
impl Linear {
    /// From `in_features` to `out_features`, with a bias.
    pub fn new(in_features: usize, out_features: usize) -> Linear {
        Linear { input: in_features, output: out_features, bias: true }
    }
    /// Whether there is a bias.
    pub fn bias(mut self, bias: bool) -> Linear {
        self.bias = bias;
        self
    }
}
impl Module for Linear {
    fn class(&self) -> String {
        "nn.Linear".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let w = cx.param("weight", &[self.output, self.input], bound(self.input));
        let b = self.bias.then(|| cx.param("bias", &[self.output], bound(self.input)));
        make::linear(&cx.site(Call::Module), &x, &w, b.as_ref())
    }
}

/// x itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;
impl Module for Identity {
    fn class(&self) -> String {
        "nn.Identity".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        cx.emit(ops::Identity {}, &[&x], Call::Module)
    }
}

/// x itself outside of training.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    p: f32,
}
impl Dropout {
    /// Drops the share `p` in training.
    pub fn new(p: f32) -> Dropout {
        Dropout { p }
    }
}
impl Module for Dropout {
    fn class(&self) -> String {
        "nn.Dropout".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        make::dropout(&cx.site(Call::Module), &x, self.p)
    }
}
