//! `qlayer_norm`, `qgroup_norm`, `qinstance_norm`, `qsoftmax`: quantized forms of ops that compute with real numbers.

use crate::attr::F32;
use crate::diag::Reason;
use crate::graph::Phase;
use crate::ops::operand::{declared_per_tensor, per_tensor, recheck};
use crate::ops::{Eval, GroupNorm, Infer, InstanceNorm, LayerNorm, OpDef, Softmax, one};
use crate::tensor::Tensor;
use crate::types::{Elem, Type};
use crate::{attrs, operands};

/// Declares ops whose meaning is that of a float op between `dequantize` and `quantize`.
macro_rules! between {
    ($($name:ident = $text:literal => |$op:ident| $float:expr;)*) => {$(
        impl OpDef for $name {
            const NAMES: &'static [&'static str] = &[$text];
            const PHASES: (Phase, Phase) = (Phase::Integer, Phase::Integer);
            fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                let $op = self;
                infer_between($text, &$float, x)
            }
            fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                recheck(self, x)?;
                let $op = self;
                eval_between(&$float, x)
            }
        }
    )*};
}

attrs! {
    /// [`LayerNorm`] of dequantized x, quantized to the declared type (PyTorch
    /// `quantized::layer_norm`).
    ///
    /// x and the result have one scale and at most 16 bits, gamma and beta are `f32`.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.03 zp 120
    /// input %x: u8!x[2,5,8]
    /// input %g: f32[8]
    /// %y = qlayer_norm %x, %g {axis=2} : u8!y[2,5,8]
    /// ```
    pub struct QlayerNorm {
        /// The first axis that is normalised over.
        axis: u32,
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
    }
}
operands! { QlayerNorm as QlayerNormView { x: One, gamma: Maybe, beta: Maybe } }

attrs! {
    /// [`GroupNorm`] of dequantized x, quantized to the declared type (PyTorch
    /// `quantized::group_norm`).
    ///
    /// x and the result have one scale and at most 16 bits, gamma and beta are `f32`.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.03 zp 120
    /// input %x: u8!x[1,4,3,3]
    /// input %c: f32[4]
    /// %y = qgroup_norm %x, %c, %c {groups=2} : u8!y[1,4,3,3]
    /// ```
    pub struct QgroupNorm {
        /// Number of groups; divides the channels.
        groups: u32,
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
    }
}
operands! { QgroupNorm as QgroupNormView { x: One, gamma: Maybe, beta: Maybe } }

attrs! {
    /// [`InstanceNorm`] of dequantized x, quantized to the declared type (PyTorch
    /// `quantized::instance_norm`).
    ///
    /// x and the result have one scale and at most 16 bits, gamma and beta are `f32`.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.03 zp 120
    /// input %x: u8!x[1,3,4,4]
    /// input %c: f32[3]
    /// %y = qinstance_norm %x, %c, %c : u8!y[1,3,4,4]
    /// ```
    pub struct QinstanceNorm {
        /// Added to the variance; not negative.
        eps: F32 = F32(1e-5),
    }
}
operands! { QinstanceNorm as QinstanceNormView { x: One, gamma: One, beta: One } }

attrs! {
    /// [`Softmax`] of dequantized x, quantized to the declared type (PyTorch `quantized::softmax`).
    ///
    /// x and the result have one scale and at most 16 bits.
    ///
    /// ```qir
    /// quant !x = u8[0:255] scale 0.05 zp 128
    /// quant !y = u8[0:255] scale 0.03 zp 120
    /// input %x: u8!x[2,10]
    /// %y = qsoftmax %x {axis=1} : u8!y[2,10]
    /// ```
    pub struct Qsoftmax {
        /// The axis that sums to 1.
        axis: u32,
    }
}
operands! { Qsoftmax as QsoftmaxView { x: One } }

between! {
    QlayerNorm = "qlayer_norm" => |op| LayerNorm { axis: op.axis, eps: op.eps };
    QgroupNorm = "qgroup_norm" => |op| GroupNorm { groups: op.groups, eps: op.eps };
    QinstanceNorm = "qinstance_norm" => |op| InstanceNorm { eps: op.eps };
    Qsoftmax = "qsoftmax" => |op| Softmax { axis: op.axis };
}

/// The shape that the float op gives, in the declared elements.
fn infer_between(name: &str, op: &impl OpDef, x: &Infer) -> Result<Vec<Type>, Reason> {
    let input = x.ty(0)?;
    per_tensor(name, "input", input)?;
    let yq = declared_per_tensor(name, x)?;
    let real = Type::new(Elem::F32, input.shape.clone());
    let mut ins = x.ins.to_vec();
    ins[0] = Some(&real);
    let found = op.infer(&Infer { ins: &ins, declared: &[] })?;
    let shape = found.first().ok_or("a result is expected")?.shape.clone();
    one(Type::new(Elem::Quant(yq.clone()), shape))
}

/// The float op between `dequantize` and `quantize`.
fn eval_between(op: &impl OpDef, x: &Eval) -> Result<Vec<Tensor>, Reason> {
    let real = x.tensor(0)?.dequantize()?;
    let out = x.out(0)?;
    let mut ins = x.ins.to_vec();
    ins[0] = Some(&real);
    let outs = [Type::new(Elem::F32, out.shape.clone())];
    let found = op.eval(&Eval { ins: &ins, outs: &outs })?;
    let y = out.elem.quant().ok_or("quantized elements are expected")?;
    one(found.first().ok_or("a result is expected")?.quantize(y)?)
}
