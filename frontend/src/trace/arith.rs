//! Operators on traced values, and those that a trace cannot carry out.

use std::cmp::Ordering;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use quantir_ir::ops::{self, Act};
use quantir_ir::{Elem, Op, Storage};

use super::site::{Call, Site};
use super::size::Size;
use super::traced::Traced;

/// The second operand of arithmetic: a traced value, a number, or a size.
pub trait Operand {
    /// As a value of the call at `site`, of the storage of `like`.
    fn value(self, site: &Site, like: &Traced) -> Traced;
}
impl Operand for &Traced {
    fn value(self, _: &Site, _: &Traced) -> Traced {
        self.clone()
    }
}
impl Operand for Traced {
    fn value(self, _: &Site, _: &Traced) -> Traced {
        self
    }
}
macro_rules! number {
    ($($t:ty),*) => {$(
        impl Operand for $t {
            fn value(self, site: &Site, like: &Traced) -> Traced {
                site.scalar(self as f64, like)
            }
        }
    )*};
}
number!(f32, f64, i32, i64);
impl Operand for &Size {
    fn value(self, site: &Site, like: &Traced) -> Traced {
        match self.dim().as_lit() {
            Some(n) => site.scalar(n as f64, like),
            None => site.fail(
                quantir_ir::Reason::new(format!("the size `{}` is no number yet", self.dim()))
                    .help("declare the input with a fixed dimension"),
            ),
        }
    }
}

/// One of the four operations, with PyTorch's rule for mixed storages: integers meet floats as floats.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arith {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Maximum,
    Minimum,
}

impl Arith {
    fn op(self) -> Op {
        match self {
            Arith::Add => ops::Add { act: Act::None }.into(),
            Arith::Sub => ops::Sub {}.into(),
            Arith::Mul => ops::Mul { act: Act::None }.into(),
            Arith::Div => ops::Div {}.into(),
            Arith::Pow => ops::Pow {}.into(),
            Arith::Maximum => ops::Maximum {}.into(),
            Arith::Minimum => ops::Minimum {}.into(),
        }
    }
    /// Adds the node; `a / b` of integers is a float in PyTorch.
    pub(super) fn emit(self, site: &Site, a: &Traced, b: &Traced) -> Traced {
        let float = |x: &Traced| x.ty().is_some_and(|t| t.elem.is_float());
        let any = self == Arith::Div || float(a) || float(b);
        let to = |x: &Traced, what: &str| match any && !float(x) && x.value().is_some() {
            true => site.part(what, ops::Cast { to: Storage::F32 }, &[x]),
            false => x.clone(),
        };
        let (a, b) = (to(a, "a"), to(b, "b"));
        site.finish(self.op(), &[&a, &b])
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $assign:ident $assign_method:ident $call:literal;)*) => {$(
        impl<T: Operand> $trait<T> for &Traced {
            type Output = Traced;
            #[track_caller]
            fn $method(self, other: T) -> Traced {
                let site = self.cx().site(Call::Function($call));
                let b = other.value(&site, self);
                Arith::$trait.emit(&site, self, &b)
            }
        }
        impl<T: Operand> $trait<T> for Traced {
            type Output = Traced;
            #[track_caller]
            fn $method(self, other: T) -> Traced {
                <&Traced as $trait<T>>::$method(&self, other)
            }
        }
        operators!(@left $trait $method $call; f32, f64, i32, i64);
        /// Makes a new value, as FX does: the graph has no assignments.
        impl<T: Operand> $assign<T> for Traced {
            #[track_caller]
            fn $assign_method(&mut self, other: T) {
                *self = <&Traced as $trait<T>>::$method(self, other);
            }
        }
    )*};
    (@left $trait:ident $method:ident $call:literal; $($t:ty),*) => {$(
        impl $trait<&Traced> for $t {
            type Output = Traced;
            #[track_caller]
            fn $method(self, other: &Traced) -> Traced {
                let site = other.cx().site(Call::Function($call));
                let a = Operand::value(self, &site, other);
                Arith::$trait.emit(&site, &a, other)
            }
        }
        impl $trait<Traced> for $t {
            type Output = Traced;
            #[track_caller]
            fn $method(self, other: Traced) -> Traced {
                <$t as $trait<&Traced>>::$method(self, &other)
            }
        }
    )*};
}
operators! {
    Add add AddAssign add_assign "operator.add";
    Sub sub SubAssign sub_assign "operator.sub";
    Mul mul MulAssign mul_assign "operator.mul";
    Div div DivAssign div_assign "operator.truediv";
}

impl Neg for &Traced {
    type Output = Traced;
    #[track_caller]
    fn neg(self) -> Traced {
        self.cx().emit(ops::Neg {}, &[self], Call::Function("operator.neg"))
    }
}
impl Neg for Traced {
    type Output = Traced;
    #[track_caller]
    fn neg(self) -> Traced {
        -&self
    }
}

const SELECT: &str = "compute both sides and select with `torch::where_(&cond, &a, &b)`, make the choice a setting of \
                      the module, or keep the module whole with `Tracer::leaf_name`";

/// Comparing contents while tracing is an error of the tracing (and false): the graph has no branches.
// The provided `ne` would hide the author's line.
#[allow(clippy::partialeq_ne_impl)]
impl<T: Compared> PartialEq<T> for Traced {
    #[track_caller]
    fn ne(&self, other: &T) -> bool {
        !self.eq(other)
    }
    #[track_caller]
    fn eq(&self, _: &T) -> bool {
        self.cx().refuse(
            format!("a branch depends on the contents of {self:?}: traced values cannot be compared"),
            SELECT,
        );
        false
    }
}
/// As for equality: an error of the tracing, and neither less nor greater.
impl<T: Compared> PartialOrd<T> for Traced {
    #[track_caller]
    fn partial_cmp(&self, _: &T) -> Option<Ordering> {
        self.cx().refuse(
            format!("a branch depends on the contents of {self:?}: traced values cannot be compared"),
            SELECT,
        );
        None
    }
    #[track_caller]
    fn lt(&self, other: &T) -> bool {
        self.partial_cmp(other) == Some(Ordering::Less)
    }
    #[track_caller]
    fn le(&self, other: &T) -> bool {
        self.partial_cmp(other).is_some_and(Ordering::is_le)
    }
    #[track_caller]
    fn gt(&self, other: &T) -> bool {
        self.partial_cmp(other) == Some(Ordering::Greater)
    }
    #[track_caller]
    fn ge(&self, other: &T) -> bool {
        self.partial_cmp(other).is_some_and(Ordering::is_ge)
    }
}
/// What an author may try to compare a traced value with.
pub trait Compared {}
impl Compared for Traced {}
impl Compared for f32 {}
impl Compared for f64 {}
impl Compared for i32 {}
impl Compared for i64 {}

impl Traced {
    /// The number in a value of one element; always an error of the tracing (and 0), for there are no contents yet.
    #[track_caller]
    pub fn item(&self) -> f32 {
        self.cx().refuse(
            format!("the contents of {self:?} are read while the model is traced"),
            "keep computing on the traced value, or run the graph and read its output",
        );
        0.0
    }
    /// The truth value that Python's `if x:` reads; always an error of the tracing (and false).
    #[track_caller]
    pub fn is_true(&self) -> bool {
        self.cx().refuse(format!("a branch depends on the contents of {self:?}"), SELECT);
        false
    }
    /// The elements; always an error of the tracing (and none), as iterating over a traced value is in FX.
    #[track_caller]
    pub fn to_vec(&self) -> Vec<f32> {
        self.cx().refuse(
            format!("the contents of {self:?} are read while the model is traced"),
            "take rows with `x.select(0, i)`, parts with `x.index(…)`, or `torch::unbind(&x, 0)`",
        );
        Vec::new()
    }
    /// `x[index] = value`; always an error of the tracing.
    #[track_caller]
    pub fn set(&self, _index: impl super::index::Indices, _value: impl Operand) {
        self.cx().refuse(
            format!("a part of {self:?} is assigned, but values of a graph do not change"),
            "build the new value with `torch::cat`, or select with `torch::where_`",
        );
    }
    /// Elements of another storage, as `x.to(dtype)`.
    #[track_caller]
    pub fn to(&self, storage: Storage) -> Traced {
        self.cast(storage, "to")
    }
    /// As `x.float()`.
    #[track_caller]
    pub fn float(&self) -> Traced {
        self.cast(Storage::F32, "float")
    }
    /// As `x.long()`.
    #[track_caller]
    pub fn long(&self) -> Traced {
        self.cast(Storage::I64, "long")
    }
    #[track_caller]
    fn cast(&self, storage: Storage, method: &str) -> Traced {
        match self.ty() {
            Some(t) if t.elem == Elem::Plain(storage) => {
                self.cx().emit(ops::Identity {}, &[self], Call::Method(method))
            }
            _ => self.cx().emit(ops::Cast { to: storage }, &[self], Call::Method(method)),
        }
    }
}
