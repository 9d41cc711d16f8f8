//! Methods of traced values, and the functions of `torch` that do the same: one line for each pair.
use quantir_ir::Diag;

use super::arith::Operand;
use super::cx::here;
use super::make;
use super::site::Call;
use super::size::Sizes;
use super::traced::Traced;
use super::tuple::Tuple;

/// For each line a method of [`Traced`] (call type `.name`) and a function in [`torch`] (call type as written).
macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident ($($arg:ident: $ty:ty),*) -> $out:ty, $call:literal;)*) => {
        impl Traced {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name(&self, $($arg: $ty),*) -> $out {
                    let site = self.cx().site(Call::Method(stringify!($name)));
                    make::$name(&site, self, $($arg),*)
                }
            )*
        }

        /// Functions of PyTorch's module `torch`.
        ///
        /// Where `torch` and `torch.nn.functional` have one object, its call type is `F.`'s; where they have two
        /// (`torch.relu` and `F.relu`), each is here under its own, since rules for types tell them apart.
        pub mod torch {
            use super::*;
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name(x: &Traced, $($arg: $ty),*) -> $out {
                    let site = x.cx().site(Call::Function($call));
                    make::$name(&site, x, $($arg),*)
                }
            )*
            /// Joins along an axis.
            #[track_caller]
            pub fn cat(parts: &[&Traced], dim: i64) -> Traced {
                match parts.first() {
                    Some(x) => make::cat(&x.cx().site(Call::Function("torch.cat")), parts, dim),
                    None => empty("cat"),
                }
            }
            /// Joins equal shapes along a new axis.
            #[track_caller]
            pub fn stack(parts: &[&Traced], dim: i64) -> Traced {
                match parts.first() {
                    Some(x) => make::stack(&x.cx().site(Call::Function("torch.stack")), parts, dim),
                    None => empty("stack"),
                }
            }
            /// `a` where `cond` is true, else `b`.
            #[track_caller]
            pub fn where_(cond: &Traced, a: &Traced, b: &Traced) -> Traced {
                make::where_(&cond.cx().site(Call::Function("torch.where")), cond, a, b)
            }
            /// Matrix product of batches.
            #[track_caller]
            pub fn bmm(x: &Traced, other: &Traced) -> Traced {
                make::matmul(&x.cx().site(Call::Function("torch.bmm")), x, other)
            }
        }
    };
}

calls! {
    /// `max(x, 0)`.
    relu() -> Traced, "torch.relu";
    /// `1 / (1 + exp(−x))`.
    sigmoid() -> Traced, "torch.sigmoid";
    /// Hyperbolic tangent.
    tanh() -> Traced, "torch.tanh";
    /// Exponentials along an axis, divided by their sum.
    softmax(dim: i64) -> Traced, "torch.softmax";
    /// Logarithm of the softmax.
    log_softmax(dim: i64) -> Traced, "torch.log_softmax";
    /// `−x`.
    neg() -> Traced, "torch.neg";
    /// `|x|`.
    abs() -> Traced, "torch.abs";
    /// `eˣ`.
    exp() -> Traced, "torch.exp";
    /// Natural logarithm.
    log() -> Traced, "torch.log";
    /// `ln(1 + x)`.
    log1p() -> Traced, "torch.log1p";
    /// Square root.
    sqrt() -> Traced, "torch.sqrt";
    /// `1 / x`.
    reciprocal() -> Traced, "torch.reciprocal";
    /// Error function.
    erf() -> Traced, "torch.erf";
    /// Largest whole number not above x.
    floor() -> Traced, "torch.floor";
    /// Smallest whole number not below x.
    ceil() -> Traced, "torch.ceil";
    /// Nearest whole number, ties to even.
    round() -> Traced, "torch.round";
    /// `min(max(x, min), max)`.
    clamp(min: f32, max: f32) -> Traced, "torch.clamp";
    /// `x + other`.
    add(other: impl Operand) -> Traced, "torch.add";
    /// `x − other`.
    sub(other: impl Operand) -> Traced, "torch.sub";
    /// `x · other`.
    mul(other: impl Operand) -> Traced, "torch.mul";
    /// `x / other`.
    div(other: impl Operand) -> Traced, "torch.div";
    /// `x` to the power of `other`.
    pow(other: impl Operand) -> Traced, "torch.pow";
    /// The larger of both.
    maximum(other: impl Operand) -> Traced, "torch.maximum";
    /// The smaller of both.
    minimum(other: impl Operand) -> Traced, "torch.minimum";
    /// Matrix product.
    matmul(other: &Traced) -> Traced, "torch.matmul";
    /// Mean over axes, all of them if the list is empty.
    mean(dims: &[i64], keepdim: bool) -> Traced, "torch.mean";
    /// Sum over axes, all of them if the list is empty.
    sum(dims: &[i64], keepdim: bool) -> Traced, "torch.sum";
    /// Largest element over axes.
    amax(dims: &[i64], keepdim: bool) -> Traced, "torch.amax";
    /// Smallest element over axes.
    amin(dims: &[i64], keepdim: bool) -> Traced, "torch.amin";
    /// Index of the largest element along an axis.
    argmax(dim: i64, keepdim: bool) -> Traced, "torch.argmax";
    /// Running sums along an axis.
    cumsum(dim: i64) -> Traced, "torch.cumsum";
    /// The same elements in another shape; one dimension may be −1, others may be `x.size(i)`.
    reshape(shape: impl Sizes) -> Traced, "torch.reshape";
    /// Joins axes `start` to `end`.
    flatten(start: i64, end: i64) -> Traced, "torch.flatten";
    /// Takes an axis of length 1 away.
    squeeze(dim: i64) -> Traced, "torch.squeeze";
    /// Adds an axis of length 1.
    unsqueeze(dim: i64) -> Traced, "torch.unsqueeze";
    /// Exchanges two axes.
    transpose(a: i64, b: i64) -> Traced, "torch.transpose";
    /// Exchanges the two axes of a matrix.
    t() -> Traced, "torch.t";
    /// Reorders axes.
    permute(order: &[i64]) -> Traced, "torch.permute";
    /// Reverses the order along axes.
    flip(dims: &[i64]) -> Traced, "torch.flip";
    /// Moves elements along axes, those beyond the end to the start.
    roll(shifts: &[i64], dims: &[i64]) -> Traced, "torch.roll";
    /// Cuts an axis into so many parts.
    chunk(chunks: i64, dim: i64) -> Tuple, "torch.chunk";
    /// Cuts an axis into parts of this length.
    split(size: i64, dim: i64) -> Tuple, "F.split";
    /// All indices of an axis, one by one.
    unbind(dim: i64) -> Tuple, "torch.unbind";
}

/// The result of joining nothing, which the tracing that uses it reports.
#[track_caller]
fn empty(what: &str) -> Traced {
    let d = Diag::error("trace", format!("`{what}` is given no values"));
    Traced::broken(Diag { span: Some(here()), ..d.help("give at least one") })
}

/// Methods that no function of `torch` shares; those with `_` work in place in PyTorch. Here they return the new value
/// and leave the old one as it is, so use what they return.
macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident ($($arg:ident: $ty:ty),*) -> $out:ty = $make:ident, $call:literal;)*) => {
        impl Traced {
            $(
                $(#[$doc])*
                #[track_caller]
                #[must_use = "values of a graph do not change: use the returned one"]
                pub fn $name(&self, $($arg: $ty),*) -> $out {
                    let site = self.cx().site(Call::Method($call));
                    make::$make(&site, self, $($arg),*)
                }
            )*
        }
    };
}
methods! {
    /// The same elements in another shape, as [`Traced::reshape`].
    view(shape: impl Sizes) -> Traced = reshape, "view";
    /// The same value.
    contiguous() -> Traced = contiguous, "contiguous";
    /// The same value.
    detach() -> Traced = detach, "detach";
    /// Repeats axes of length 1; −1 keeps an axis.
    expand(shape: impl Sizes) -> Traced = expand, "expand";
    /// Repeats the whole along each axis.
    repeat(times: &[u32]) -> Traced = repeat, "repeat";
    /// Takes all axes of length 1 away: `x.squeeze()`.
    squeeze_all() -> Traced = squeeze_all, "squeeze";
    /// Cuts an axis into parts of these lengths.
    split_with_sizes(sizes: &[i64], dim: i64) -> Tuple = split_sizes, "split";
    /// `max(x, 0)`.
    relu_() -> Traced = relu, "relu_";
    /// `1 / (1 + exp(−x))`.
    sigmoid_() -> Traced = sigmoid, "sigmoid_";
    /// Hyperbolic tangent.
    tanh_() -> Traced = tanh, "tanh_";
    /// `min(max(x, min), max)`.
    clamp_(min: f32, max: f32) -> Traced = clamp, "clamp_";
    /// `x + other`.
    add_(other: impl Operand) -> Traced = add, "add_";
    /// `x · other`.
    mul_(other: impl Operand) -> Traced = mul, "mul_";
}
