//! The op table: one file for each op family, one line here.
//!
//! Everything else derives from the declarations: name lookup, attribute parsing and printing, arity, phase
//! legality, typed views, inference and evaluation dispatch, and the generated reference of ops.

use std::fmt;
use std::hash::Hash;

use crate::NodeId;
use crate::attr::{AttrList, AttrValue};
use crate::diag::Reason;
use crate::graph::{Node, Phase};
use crate::tensor::Tensor;
use crate::types::Type;

/// Attributes of an op as text values; implemented by `attrs!`.
pub trait Attrs: Sized {
    /// The attributes' names.
    const ATTRS: &'static [&'static str];
    /// Their defaults, in the same order; `None` for one that must be given.
    fn defaults() -> Vec<Option<AttrValue>>;
    /// Those that differ from their default.
    fn attrs(&self) -> AttrList;
    /// From text; the reason names the attribute that does not fit.
    fn from_attrs(list: AttrList) -> Result<Self, Reason>;
}

/// Whether an operand must be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperandKind {
    /// Exactly one value.
    One,
    /// One value or none.
    Maybe,
    /// All further operands, at least one.
    Many,
}

/// One operand of an op.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperandSpec {
    /// The field of the view.
    pub name: &'static str,
    /// Whether it must be there.
    pub kind: OperandKind,
}

/// The operands of an op by name; implemented by `operands!`.
pub trait HasView: Sized {
    /// The operands in order.
    const OPERANDS: &'static [OperandSpec];
    /// The view.
    type View<'g>
    where
        Self: 'g;
    /// The view of a node; `None` if a required operand is missing.
    fn view<'g>(op: &'g Self, id: NodeId, node: &'g Node) -> Option<Self::View<'g>>;
}

/// Operand types, and the declared result types for ops whose results their operands do not decide.
pub struct Infer<'a> {
    /// Operand types by slot.
    pub ins: &'a [Option<&'a Type>],
    /// Declared result types; empty where an edit builds a node without them.
    pub declared: &'a [Type],
}

impl<'a> Infer<'a> {
    /// The type of required operand `i`.
    pub fn ty(&self, i: usize) -> Result<&'a Type, Reason> {
        self.opt(i).ok_or_else(|| Reason::new(format!("operand {} is missing", i + 1)))
    }
    /// The type of optional operand `i`.
    pub fn opt(&self, i: usize) -> Option<&'a Type> {
        self.ins.get(i).copied().flatten()
    }
    /// The declared type of result `i`.
    pub fn declared(&self, i: usize) -> Result<&'a Type, Reason> {
        self.declared.get(i).ok_or_else(|| Reason::new("the result type must be declared"))
    }
}

/// Operand tensors and concrete result types of one evaluation.
pub struct Eval<'a> {
    /// Operands by slot.
    pub ins: &'a [Option<&'a Tensor>],
    /// Result types without symbols.
    pub outs: &'a [Type],
}

impl<'a> Eval<'a> {
    /// Required operand `i`.
    pub fn tensor(&self, i: usize) -> Result<&'a Tensor, Reason> {
        self.opt(i).ok_or_else(|| Reason::new(format!("operand {} is missing", i + 1)))
    }
    /// Optional operand `i`.
    pub fn opt(&self, i: usize) -> Option<&'a Tensor> {
        self.ins.get(i).copied().flatten()
    }
    /// Dimensions of result `i`.
    pub fn shape(&self, i: usize) -> Result<Vec<usize>, Reason> {
        self.outs
            .get(i)
            .and_then(|t| t.shape.concrete())
            .ok_or_else(|| Reason::new("a result shape is not known"))
    }
    /// Type of result `i`.
    pub fn out(&self, i: usize) -> Result<&'a Type, Reason> {
        self.outs.get(i).ok_or_else(|| Reason::new("a result type is not known"))
    }
}

/// An op as a variant of [`Op`]; implemented by `ops!`.
pub trait InOp: Sized {
    /// The op inside `op`, if it is this one.
    fn of(op: &Op) -> Option<&Self>;
}

/// An op: how it is written, what it needs, what it means.
pub trait OpDef: Attrs + HasView + InOp + Clone + Eq + Hash + fmt::Debug + Into<Op> {
    /// Its names in the text; more than one where the name carries a fact (`conv1d`, `conv2d`, `conv3d`).
    const NAMES: &'static [&'static str];
    /// The first and the last phase that allow it.
    const PHASES: (Phase, Phase) = (Phase::Float, Phase::Integer);
    /// The name of this one.
    fn name(&self) -> &'static str {
        Self::NAMES[0]
    }
    /// This op under the name that the text gave it.
    fn named(self, _name: &str) -> Self {
        self
    }
    /// Number of results.
    fn results(&self) -> usize {
        1
    }
    /// Result types; the reason says which operand does not fit and why. Never panics, whatever the types.
    fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason>;
    /// The definition of meaning: slow and obvious. Operands have the types that `infer` accepted.
    fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason>;
}

/// Declares the closed set of ops from `module::Type` lines.
macro_rules! ops {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// Any op.
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        #[allow(missing_docs)]
        pub enum Op { $($name($module::$name)),* }

        $(
            pub use $module::$name;
            impl InOp for $name {
                fn of(op: &Op) -> Option<&Self> {
                    match op {
                        Op::$name(x) => Some(x),
                        _ => None,
                    }
                }
            }
            impl From<$name> for Op {
                fn from(op: $name) -> Op {
                    Op::$name(op)
                }
            }
        )*

        impl Op {
            /// Every name that the text format knows, in the order of the table.
            pub fn all_names() -> impl Iterator<Item = &'static str> {
                [$($name::NAMES),*].into_iter().flatten().copied()
            }
            /// The name in the text.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$name(op) => op.name()),* }
            }
            /// The op with this name and these attributes; `None` if the name is unknown.
            pub fn parse(name: &str, attrs: AttrList) -> Option<Result<Op, Reason>> {
                $(if $name::NAMES.contains(&name) {
                    return Some($name::from_attrs(attrs).map(|op| Op::$name(op.named(name))));
                })*
                None
            }
            /// Attributes that differ from their default.
            pub fn attrs(&self) -> AttrList {
                match self { $(Op::$name(op) => op.attrs()),* }
            }
            /// Operands in order.
            pub fn operands(&self) -> &'static [OperandSpec] {
                match self { $(Op::$name(_) => $name::OPERANDS),* }
            }
            /// First and last phase that allow it.
            pub fn phases(&self) -> (Phase, Phase) {
                match self { $(Op::$name(_) => $name::PHASES),* }
            }
            /// Number of results.
            pub fn results(&self) -> usize {
                match self { $(Op::$name(op) => op.results()),* }
            }
            /// Result types.
            pub fn infer(&self, x: &Infer) -> Result<Vec<Type>, Reason> {
                match self { $(Op::$name(op) => op.infer(x)),* }
            }
            /// Results.
            pub fn eval(&self, x: &Eval) -> Result<Vec<Tensor>, Reason> {
                match self { $(Op::$name(op) => op.eval(x)),* }
            }
            /// For each name: operands, attributes, phases; the source of the generated op reference.
            pub fn table() -> Vec<OpRow> {
                let mut rows = Vec::new();
                $(for name in $name::NAMES {
                    rows.push(OpRow {
                        name,
                        op: stringify!($name),
                        module: stringify!($module),
                        operands: $name::OPERANDS,
                        attrs: $name::ATTRS,
                        defaults: $name::defaults(),
                        phases: $name::PHASES,
                    });
                })*
                rows
            }
        }
    };
}

/// A row of the op reference.
#[derive(Debug)]
pub struct OpRow {
    /// Name in the text.
    pub name: &'static str,
    /// Name in Rust; several names in the text may be one op.
    pub op: &'static str,
    /// File of the op.
    pub module: &'static str,
    /// Operands.
    pub operands: &'static [OperandSpec],
    /// Attributes.
    pub attrs: &'static [&'static str],
    /// Their defaults; `None` for one that must be given.
    pub defaults: Vec<Option<AttrValue>>,
    /// First and last phase.
    pub phases: (Phase, Phase),
}

impl Op {
    /// Whether exactly the declared operands are there.
    pub fn check_operands(&self, ins: &[Option<&Type>]) -> Result<(), Reason> {
        let specs = self.operands();
        for (i, s) in specs.iter().enumerate() {
            let present = ins.get(i).copied().flatten().is_some();
            if !present && s.kind != OperandKind::Maybe {
                return Err(Reason::new(format!("`{}` needs operand {} (`{}`)", self.name(), i + 1, s.name)));
            }
        }
        let many = specs.last().is_some_and(|s| s.kind == OperandKind::Many);
        if ins.len() > specs.len() && !many {
            return Err(Reason::new(format!(
                "`{}` takes {} operands, {} given",
                self.name(),
                specs.len(),
                ins.len()
            )));
        }
        if many && ins.iter().skip(specs.len() - 1).any(|x| x.is_none()) {
            return Err(Reason::new(format!("an operand of `{}` is absent", self.name())));
        }
        Ok(())
    }
}

/// One result.
pub(crate) fn one<T>(x: T) -> Result<Vec<T>, Reason> {
    Ok(vec![x])
}

pub mod act;
pub mod activation;
pub mod arg;
pub mod attention;
pub mod batch_norm;
pub mod binary;
pub mod cast;
pub(crate) mod check;
pub mod compare;
pub mod concat;
pub mod constant;
pub mod conv;
pub mod conv_transpose;
pub mod cumsum;
pub mod dynamic;
pub(crate) mod elementwise;
pub mod embedding;
pub mod expand;
pub mod fake_dynamic;
pub mod gather;
mod grid;
pub mod group_norm;
pub mod identity;
pub mod instance_norm;
mod integer;
pub mod layer_norm;
pub mod linear;
pub mod matmul;
pub(crate) mod moved;
pub mod observe;
pub(crate) mod operand;
pub mod pad;
pub mod pool;
pub mod qbatch_norm;
pub mod qbetween;
pub mod qbinary;
pub mod qconcat;
pub mod qconv;
pub mod qconv_add;
pub mod qconv_transpose;
pub mod qembedding;
pub mod qlinear;
pub mod qlut;
pub mod qmatmul;
pub mod qpool;
pub mod qprelu;
pub mod qscalar;
pub mod quantize;
pub mod recurrent;
pub mod reduce;
pub mod repeat;
pub mod reshape;
pub mod reshape_to;
pub mod resize;
pub mod rnn;
pub mod rnn_cell;
pub mod select;
pub mod shape;
pub mod shuffle;
pub mod slice;
pub mod softmax;
pub mod split;
pub mod stack;
pub mod transpose;
pub mod unary;
mod window;

pub use act::Act;
pub use constant::ConstData;

ops! {
    constant::Const,
    conv::Conv,
    conv_transpose::ConvTranspose,
    linear::Linear,
    matmul::Matmul,
    batch_norm::BatchNorm,
    activation::Relu,
    activation::Clip,
    activation::LeakyRelu,
    activation::HardSigmoid,
    activation::HardSwish,
    activation::Elu,
    activation::Celu,
    activation::Threshold,
    activation::Gelu,
    activation::Sigmoid,
    activation::Tanh,
    activation::Softplus,
    activation::Prelu,
    unary::Neg,
    unary::Abs,
    unary::Exp,
    unary::Log,
    unary::Log1p,
    unary::Sqrt,
    unary::Reciprocal,
    unary::Erf,
    unary::Floor,
    unary::Ceil,
    unary::Round,
    unary::Not,
    binary::Add,
    binary::Mul,
    binary::Sub,
    binary::Div,
    binary::Pow,
    binary::Maximum,
    binary::Minimum,
    compare::Equal,
    compare::Less,
    compare::Greater,
    compare::LessEqual,
    compare::GreaterEqual,
    select::Where,
    cast::Cast,
    concat::Concat,
    stack::Stack,
    split::Split,
    slice::Slice,
    gather::Gather,
    embedding::Embedding,
    embedding::EmbeddingBag,
    transpose::Transpose,
    reshape::Reshape,
    reshape_to::ReshapeTo,
    expand::Expand,
    repeat::Repeat,
    repeat::Flip,
    repeat::Roll,
    shuffle::PixelShuffle,
    shuffle::PixelUnshuffle,
    shuffle::ChannelShuffle,
    pad::Pad,
    reduce::Reduce,
    cumsum::Cumsum,
    arg::ArgMax,
    pool::MaxPool,
    pool::AvgPool,
    softmax::Softmax,
    softmax::LogSoftmax,
    layer_norm::LayerNorm,
    instance_norm::InstanceNorm,
    group_norm::GroupNorm,
    resize::Resize,
    attention::MultiheadAttention,
    rnn::Lstm,
    rnn::Gru,
    rnn::Rnn,
    rnn_cell::LstmCell,
    rnn_cell::GruCell,
    rnn_cell::RnnCell,
    rnn::LstmDynamic,
    rnn::GruDynamic,
    rnn::RnnDynamic,
    rnn_cell::LstmCellDynamic,
    rnn_cell::GruCellDynamic,
    rnn_cell::RnnCellDynamic,
    qembedding::Qembedding,
    qembedding::QembeddingBag,
    qembedding::EmbeddingBagRowwise,
    shape::ShapeOf,
    identity::Identity,
    identity::Dropout,
    observe::Observe,
    quantize::Quantize,
    quantize::Dequantize,
    quantize::Requantize,
    dynamic::LinearDynamic,
    dynamic::ConvDynamic,
    dynamic::LinearF16,
    fake_dynamic::FakeQuantizeDynamic,
    qconv::Qconv,
    qconv_add::QconvAdd,
    qconv_transpose::QconvTranspose,
    qlinear::Qlinear,
    qbinary::Qadd,
    qbinary::Qmul,
    qconcat::Qconcat,
    qpool::Qmean,
    qpool::QavgPool,
    qlut::Qlut,
    qscalar::QaddScalar,
    qscalar::QmulScalar,
    qmatmul::Qmatmul,
    qprelu::Qprelu,
    qbatch_norm::QbatchNorm,
    qbetween::QlayerNorm,
    qbetween::QgroupNorm,
    qbetween::QinstanceNorm,
    qbetween::Qsoftmax,
}
