//! What marks a model for eager mode: stubs, `QuantWrapper`, `FloatFunctional`.

use quantir_ir::ops;

use crate::trace::arith::Operand;
use crate::trace::{Call, Cx, Module, Traced, make};

macro_rules! stubs {
    ($($(#[$doc:meta])* $name:ident $class:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;
        impl Module for $name {
            fn class(&self) -> String {
                $class.into()
            }
            fn forward(&self, cx: &Cx, x: Traced) -> Traced {
                cx.emit(ops::Identity {}, &[&x], Call::Module)
            }
        }
    )*};
}
stubs! {
    /// Where values become quantized; x itself until then.
    QuantStub "quantization.QuantStub";
    /// Where values become floats again; x itself until then.
    DeQuantStub "quantization.DeQuantStub";
}

/// A module between a [`QuantStub`] and a [`DeQuantStub`].
#[derive(Clone, Debug)]
pub struct QuantWrapper<M>(M);
impl<M> QuantWrapper<M> {
    /// Around `module`.
    pub fn new(module: M) -> QuantWrapper<M> {
        QuantWrapper(module)
    }
}
impl<M: Module> Module for QuantWrapper<M> {
    fn class(&self) -> String {
        "quantization.QuantWrapper".into()
    }
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let x = cx.call("quant", &QuantStub, x);
        let x = cx.call("module", &self.0, x);
        cx.call("dequant", &DeQuantStub, x)
    }
}

/// Arithmetic that eager mode can give an observer of its own.
///
/// In graph mode its calls are the plain functions (`torch.add`), as FX swaps the module before it traces (reference
/// 6.1, step 1). With [`Tracer::eager`](crate::trace::Tracer::eager) they carry the module's own path and class.
///
/// ```
/// # use quantir_frontend::trace::{Cx, Module, Traced, nn};
/// struct Residual {
///     conv: nn::Conv2d,
///     skip: nn::FloatFunctional,
/// }
/// impl Module for Residual {
///     fn forward(&self, cx: &Cx, x: Traced) -> Traced {
///         let y = cx.call("conv", &self.conv, &x);
///         self.skip.add_relu(cx, "skip", &y, &x)
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FloatFunctional;

impl FloatFunctional {
    /// One of them; it has no settings.
    pub fn new() -> FloatFunctional {
        FloatFunctional
    }
    #[track_caller]
    fn run(&self, cx: &Cx, name: &str, f: impl FnOnce() -> Traced) -> Traced {
        cx.functional(name, "nn.quantized.FloatFunctional", f)
    }
    /// `a + b`; `name` is that of the field that holds this module.
    #[track_caller]
    pub fn add(&self, cx: &Cx, name: &str, a: &Traced, b: &Traced) -> Traced {
        self.run(cx, name, || make::add(&cx.site(Call::Function("torch.add")), a, b))
    }
    /// `a + x` for a number.
    #[track_caller]
    pub fn add_scalar(&self, cx: &Cx, name: &str, a: &Traced, x: impl Operand) -> Traced {
        self.run(cx, name, || make::add(&cx.site(Call::Function("torch.add")), a, x))
    }
    /// `a · b`.
    #[track_caller]
    pub fn mul(&self, cx: &Cx, name: &str, a: &Traced, b: &Traced) -> Traced {
        self.run(cx, name, || make::mul(&cx.site(Call::Function("torch.mul")), a, b))
    }
    /// `a · x` for a number.
    #[track_caller]
    pub fn mul_scalar(&self, cx: &Cx, name: &str, a: &Traced, x: impl Operand) -> Traced {
        self.run(cx, name, || make::mul(&cx.site(Call::Function("torch.mul")), a, x))
    }
    /// `max(a + b, 0)`.
    #[track_caller]
    pub fn add_relu(&self, cx: &Cx, name: &str, a: &Traced, b: &Traced) -> Traced {
        self.run(cx, name, || {
            let y = make::add(&cx.site(Call::Function("torch.add")), a, b);
            make::relu(&cx.site(Call::Function("F.relu")), &y)
        })
    }
    /// `max(a · b, 0)`.
    #[track_caller]
    pub fn mul_relu(&self, cx: &Cx, name: &str, a: &Traced, b: &Traced) -> Traced {
        self.run(cx, name, || {
            let y = make::mul(&cx.site(Call::Function("torch.mul")), a, b);
            make::relu(&cx.site(Call::Function("F.relu")), &y)
        })
    }
    /// Joins along an axis.
    #[track_caller]
    pub fn cat(&self, cx: &Cx, name: &str, parts: &[&Traced], dim: i64) -> Traced {
        self.run(cx, name, || make::cat(&cx.site(Call::Function("torch.cat")), parts, dim))
    }
    /// Matrix product.
    #[track_caller]
    pub fn matmul(&self, cx: &Cx, name: &str, a: &Traced, b: &Traced) -> Traced {
        self.run(cx, name, || make::matmul(&cx.site(Call::Function("torch.matmul")), a, b))
    }
}
