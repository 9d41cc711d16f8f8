//! Activations.

use quantir_ir::Storage;
use quantir_ir::ops::{
    Abs, Act, Add, Clip, Div, Elu, Gelu, Greater, HardSigmoid, HardSwish, LeakyRelu, Maximum, Minimum, Mul,
    Prelu, Relu, Sigmoid, Softplus, Tanh, Where,
};

use super::super::ctx::Import;
use super::super::node::{Fail, Node};
use super::Table;
use super::elementwise::{arithmetic_storage, legacy_broadcast};

pub(super) const OPS: Table = &[
    ("Relu", |cx, n| cx.unary(n, Relu {})),
    ("Sigmoid", |cx, n| cx.unary(n, Sigmoid {})),
    ("Tanh", |cx, n| cx.unary(n, Tanh {})),
    ("Softplus", |cx, n| cx.unary(n, Softplus {})),
    ("HardSwish", |cx, n| cx.unary(n, HardSwish {})),
    ("LeakyRelu", |cx, n| {
        let alpha = n.float_or("alpha", 0.01)?.into();
        cx.unary(n, LeakyRelu { alpha })
    }),
    ("Elu", |cx, n| {
        let alpha = n.float_or("alpha", 1.0)?.into();
        cx.unary(n, Elu { alpha })
    }),
    ("HardSigmoid", |cx, n| {
        let (alpha, beta) = (n.float_or("alpha", 0.2)?.into(), n.float_or("beta", 0.5)?.into());
        cx.unary(n, HardSigmoid { alpha, beta })
    }),
    ("Gelu", |cx, n| {
        let tanh = match n.str_or("approximate", "none")? {
            "none" => false,
            "tanh" => true,
            other => return Err(Fail::invalid(format!("`approximate` is `{}`", other.escape_default()))),
        };
        cx.unary(n, Gelu { tanh })
    }),
    ("PRelu", prelu),
    ("Clip", clip),
    ("Selu", selu),
    ("Celu", celu),
    ("Softsign", softsign),
    ("Swish", swish),
    ("Mish", mish),
    ("ThresholdedRelu", thresholded_relu),
];

impl<'m> Import<'m> {
    /// An op of one operand.
    pub(super) fn unary(&mut self, node: &Node<'m>, op: impl Into<quantir_ir::Op>) -> Result<(), Fail> {
        let x = self.value(node, 0)?;
        self.finish(node, op, [x])
    }
}

fn prelu<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let (x, slope) = (cx.value(node, 0)?, cx.value(node, 1)?);
    // Before version 7 a slope for each channel was a vector.
    let slope = if node.opset < 7 && cx.rank(slope) == 1 && cx.rank(x) > 1 {
        legacy_broadcast(cx, node, x, slope, Some(1))?
    } else {
        slope
    };
    cx.finish(node, Prelu {}, [x, slope])
}

fn clip<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let (low, high) = if node.opset < 11 {
        (node.float("min")?, node.float("max")?)
    } else {
        let computed =
            |cx: &mut Import<'m>, i| Ok::<_, Fail>(node.input(i).is_some() && cx.tensor(node, i)?.is_none());
        if cx.storage(x) != Storage::F32 || computed(cx, 1)? || computed(cx, 2)? {
            return clip_by_values(cx, node);
        }
        (cx.opt_number(node, 1, "min")?, cx.opt_number(node, 2, "max")?)
    };
    let (min, max) = (low.unwrap_or(f32::NEG_INFINITY).into(), high.unwrap_or(f32::INFINITY).into());
    cx.finish(node, Clip { min, max }, [x])
}

/// Bounds that are computed, or of a type whose numbers a float attribute cannot hold.
fn clip_by_values<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let bounds = (cx.opt_value(node, 1)?, cx.opt_value(node, 2)?);
    if bounds != (None, None) {
        arithmetic_storage(cx, node, x, &Maximum {}.into())?;
    }
    match bounds {
        (None, None) => cx.forward(node, 0),
        (Some(low), None) => cx.finish(node, Maximum {}, [x, low]),
        (None, Some(high)) => cx.finish(node, Minimum {}, [x, high]),
        (Some(low), Some(high)) => {
            let x = cx.helper(node, Maximum {}, [x, low], "low")?;
            cx.finish(node, Minimum {}, [x, high])
        }
    }
}

fn selu<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let alpha = node.float_or("alpha", 1.673_263_2)?.into();
    let elu = cx.helper(node, Elu { alpha }, [x], "elu")?;
    let gamma = cx.scalar(node, node.float_or("gamma", 1.050_701)?, x, "gamma")?;
    cx.finish(node, Mul { act: Act::None }, [elu, gamma])
}

/// `max(x, 0) + min(alpha · (exp(x / alpha) − 1), 0)`, which is `alpha · elu(x / alpha)`.
fn celu<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let alpha = node.float_or("alpha", 1.0)?;
    if alpha == 1.0 {
        return cx.finish(node, Elu { alpha: alpha.into() }, [x]);
    }
    let alpha = cx.scalar(node, alpha, x, "alpha")?;
    let scaled = cx.helper(node, Div {}, [x, alpha], "scaled")?;
    let elu = cx.helper(node, Elu { alpha: 1.0.into() }, [scaled], "elu")?;
    cx.finish(node, Mul { act: Act::None }, [elu, alpha])
}

fn softsign<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let abs = cx.helper(node, Abs {}, [x], "abs")?;
    let one = cx.scalar(node, 1.0, x, "one")?;
    let sum = cx.helper(node, Add { act: Act::None }, [abs, one], "sum")?;
    cx.finish(node, Div {}, [x, sum])
}

fn swish<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let alpha = node.float_or("alpha", 1.0)?;
    let scaled = if alpha == 1.0 {
        x
    } else {
        let alpha = cx.scalar(node, alpha, x, "alpha")?;
        cx.helper(node, Mul { act: Act::None }, [x, alpha], "scaled")?
    };
    let gate = cx.helper(node, Sigmoid {}, [scaled], "gate")?;
    cx.finish(node, Mul { act: Act::None }, [x, gate])
}

fn mish<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let soft = cx.helper(node, Softplus {}, [x], "softplus")?;
    let gate = cx.helper(node, Tanh {}, [soft], "gate")?;
    cx.finish(node, Mul { act: Act::None }, [x, gate])
}

fn thresholded_relu<'m>(cx: &mut Import<'m>, node: &Node<'m>) -> Result<(), Fail> {
    let x = cx.value(node, 0)?;
    let alpha = cx.scalar(node, node.float_or("alpha", 1.0)?, x, "alpha")?;
    let zero = cx.scalar(node, 0.0, x, "zero")?;
    let above = cx.helper(node, Greater {}, [x, alpha], "above")?;
    cx.finish(node, Where {}, [above, x, zero])
}
