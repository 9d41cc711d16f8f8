//! Sizes of traced values: numbers, or expressions over the graph's symbols.

use std::fmt;
use std::ops::{Add, Div, Mul, Sub};

use quantir_ir::{Dim, Reason};

use super::cx::{Cx, here};
use super::site::Call;
use super::traced::Traced;

/// A dimension of a traced value, or a number computed from such. Symbols stay symbols, so one graph serves every batch.
#[derive(Clone)]
pub struct Size {
    /// The tracing that it was read in, for calls that compute on it; none for a plain number.
    cx: Option<Cx>,
    dim: Dim,
}

impl Size {
    pub(super) fn of(cx: &Cx, dim: Dim) -> Size {
        Size { cx: Some(cx.clone()), dim }
    }
    /// The number or expression.
    pub fn dim(&self) -> &Dim {
        &self.dim
    }
    /// The number, where Python would write `int(x.size(0))`; an error of the tracing (and 1) if it is a symbol.
    #[track_caller]
    pub fn int(&self) -> i64 {
        match (self.dim.as_lit(), &self.cx) {
            (Some(n), _) => n,
            (None, Some(cx)) => {
                cx.refuse(
                    format!(
                        "the size `{}` is read as a number, but it is not known while the model is traced",
                        self.dim
                    ),
                    "compute on the `Size` itself, or declare the input with a fixed dimension",
                );
                1
            }
            (None, None) => 1,
        }
    }

    /// Whether both are one number; an error of the tracing if only a run can tell.
    #[track_caller]
    fn equals(&self, other: &Dim, cx: Option<&Cx>) -> bool {
        if self.dim == *other {
            return true;
        }
        if let (None, Some(cx)) = (self.dim.sub(other).as_lit(), self.cx.as_ref().or(cx)) {
            cx.refuse(
                format!("the sizes `{}` and `{other}` are compared, which one run alone decides", self.dim),
                "decide outside of `forward`, or declare the input with a fixed dimension",
            );
        }
        false
    }

    #[track_caller]
    fn with(&self, other: &Size, call: &str, f: impl FnOnce(&Dim, &Dim) -> Result<Dim, Reason>) -> Size {
        let cx = self.cx.as_ref().or(other.cx.as_ref());
        if let Some(cx) = cx {
            cx.note(Call::Function(call), None);
        }
        let dim = f(&self.dim, &other.dim).unwrap_or_else(|r| {
            if let Some(cx) = cx {
                let d = r.diag("trace");
                cx.error(quantir_ir::Diag { span: Some(here()), ..d });
            }
            Dim::lit(1)
        });
        Size { cx: cx.cloned(), dim }
    }
}

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dim)
    }
}

/// Sizes can be compared only where both are numbers; with symbols it is an error of the tracing, and false.
// The provided `ne` would hide the author's line.
#[allow(clippy::partialeq_ne_impl)]
impl PartialEq for Size {
    #[track_caller]
    fn ne(&self, other: &Size) -> bool {
        !self.eq(other)
    }
    #[track_caller]
    fn eq(&self, other: &Size) -> bool {
        self.equals(&other.dim, other.cx.as_ref())
    }
}
#[allow(clippy::partialeq_ne_impl)]
impl PartialEq<i64> for Size {
    #[track_caller]
    fn ne(&self, other: &i64) -> bool {
        !self.eq(other)
    }
    #[track_caller]
    fn eq(&self, other: &i64) -> bool {
        self.equals(&Dim::lit(*other), None)
    }
}

macro_rules! from_number {
    ($($t:ty),*) => {$(
        impl From<$t> for Size {
            fn from(n: $t) -> Size {
                Size { cx: None, dim: Dim::lit(n as i64) }
            }
        }
    )*};
}
from_number!(i64, i32, usize, u32);
impl From<&Size> for Size {
    fn from(s: &Size) -> Size {
        s.clone()
    }
}

macro_rules! arithmetic {
    ($($trait:ident $method:ident $call:literal $f:expr;)*) => {$(
        impl<T: Into<Size>> $trait<T> for &Size {
            type Output = Size;
            #[track_caller]
            fn $method(self, other: T) -> Size {
                self.with(&other.into(), $call, $f)
            }
        }
        impl<T: Into<Size>> $trait<T> for Size {
            type Output = Size;
            #[track_caller]
            fn $method(self, other: T) -> Size {
                self.with(&other.into(), $call, $f)
            }
        }
    )*};
}
arithmetic! {
    Add add "operator.add" |a, b| Ok(a.add(b));
    Sub sub "operator.sub" |a, b| Ok(a.sub(b));
    Mul mul "operator.mul" |a, b| Ok(a.mul(b));
    Div div "operator.floordiv" |a, b| match b.as_lit() {
        Some(n) if n > 0 => Ok(a.div_floor(n)),
        _ => a.div_exact(b).ok_or_else(|| {
            Reason::new(format!("`{a}` cannot be divided by `{b}`")).help("divide by a positive number")
        }),
    };
}

/// A list of sizes: an array or slice of numbers or sizes, or a tuple that mixes them, as in `x.reshape((x.size(0), -1))`.
pub trait Sizes {
    /// The sizes.
    fn sizes(self) -> Vec<Size>;
}
impl<T: Into<Size>, const N: usize> Sizes for [T; N] {
    fn sizes(self) -> Vec<Size> {
        self.into_iter().map(Into::into).collect()
    }
}
impl<T: Clone + Into<Size>, const N: usize> Sizes for &[T; N] {
    fn sizes(self) -> Vec<Size> {
        self.iter().cloned().map(Into::into).collect()
    }
}
impl<T: Clone + Into<Size>> Sizes for &[T] {
    fn sizes(self) -> Vec<Size> {
        self.iter().cloned().map(Into::into).collect()
    }
}
impl<T: Into<Size>> Sizes for Vec<T> {
    fn sizes(self) -> Vec<Size> {
        self.into_iter().map(Into::into).collect()
    }
}
macro_rules! tuples {
    ($($($x:ident),*;)*) => {$(
        impl<$($x: Into<Size>),*> Sizes for ($($x,)*) {
            #[allow(non_snake_case)]
            fn sizes(self) -> Vec<Size> {
                let ($($x,)*) = self;
                vec![$($x.into()),*]
            }
        }
    )*};
}
tuples! { A; A, B; A, B, C; A, B, C, D; A, B, C, D, E; A, B, C, D, E, F; }

impl Traced {
    /// Dimension `axis` (negative from the end), as `x.size(axis)` in PyTorch.
    #[track_caller]
    pub fn size(&self, axis: i64) -> Size {
        self.cx().note(Call::Method("size"), None);
        self.dim(axis)
    }
    /// All dimensions, as `x.shape` in PyTorch; `let [n, c, h, w] = &x.shape()[..] else { … }` unpacks them.
    #[track_caller]
    pub fn shape(&self) -> Vec<Size> {
        self.cx().note(Call::Function("builtins.getattr"), None);
        self.dims().into_iter().map(|d| Size::of(self.cx(), d)).collect()
    }

    #[track_caller]
    fn dim(&self, axis: i64) -> Size {
        let dims = self.dims();
        let at = if axis < 0 { axis + dims.len() as i64 } else { axis };
        let dim = usize::try_from(at).ok().and_then(|i| dims.get(i)).cloned();
        if dim.is_none() && self.value().is_some() {
            self.cx().refuse(
                format!("`{self:?}` has no axis {axis}"),
                format!("axes go from 0 to {}", dims.len().saturating_sub(1)),
            );
        }
        Size::of(self.cx(), dim.unwrap_or(Dim::lit(1)))
    }
}
