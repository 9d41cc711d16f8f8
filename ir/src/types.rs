//! Types of values: storage, element type, shape.

use std::fmt;
use std::sync::Arc;

use crate::dim::Dim;
use crate::quant::Quant;

/// How one element is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Storage {
    F32,
    F16,
    BF16,
    I4,
    U4,
    I8,
    U8,
    I16,
    U16,
    I32,
    I64,
    Bool,
}

impl Storage {
    /// Every storage, in the order of the enum.
    pub const ALL: [Storage; 12] = [
        Storage::F32,
        Storage::F16,
        Storage::BF16,
        Storage::I4,
        Storage::U4,
        Storage::I8,
        Storage::U8,
        Storage::I16,
        Storage::U16,
        Storage::I32,
        Storage::I64,
        Storage::Bool,
    ];

    /// The word for it in the text format.
    pub fn word(self) -> &'static str {
        match self {
            Storage::F32 => "f32",
            Storage::F16 => "f16",
            Storage::BF16 => "bf16",
            Storage::I4 => "i4",
            Storage::U4 => "u4",
            Storage::I8 => "i8",
            Storage::U8 => "u8",
            Storage::I16 => "i16",
            Storage::U16 => "u16",
            Storage::I32 => "i32",
            Storage::I64 => "i64",
            Storage::Bool => "bool",
        }
    }

    /// The storage that `word` names.
    pub fn from_word(word: &str) -> Option<Storage> {
        Storage::ALL.into_iter().find(|s| s.word() == word)
    }

    /// Bytes of one element in a [`crate::Tensor`] (4-bit elements take one byte each, unpacked).
    pub fn bytes(self) -> usize {
        match self {
            Storage::F32 | Storage::I32 => 4,
            Storage::F16 | Storage::BF16 | Storage::I16 | Storage::U16 => 2,
            Storage::I4 | Storage::U4 | Storage::I8 | Storage::U8 | Storage::Bool => 1,
            Storage::I64 => 8,
        }
    }

    /// Whether it is a floating-point storage.
    pub fn is_float(self) -> bool {
        matches!(self, Storage::F32 | Storage::F16 | Storage::BF16)
    }

    /// Smallest and largest integer it can hold; `None` for floats and `bool`.
    pub fn int_range(self) -> Option<(i64, i64)> {
        Some(match self {
            Storage::I4 => (-8, 7),
            Storage::U4 => (0, 15),
            Storage::I8 => (-128, 127),
            Storage::U8 => (0, 255),
            Storage::I16 => (-32768, 32767),
            Storage::U16 => (0, 65535),
            Storage::I32 => (i32::MIN as i64, i32::MAX as i64),
            Storage::I64 => (i64::MIN, i64::MAX),
            _ => return None,
        })
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What one element is: a plain number, or an integer that stands for a real number by a [`Quant`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Elem {
    /// A plain number or truth value.
    Plain(Storage),
    /// A quantized number.
    Quant(Arc<Quant>),
}

impl Elem {
    /// Plain 32-bit float.
    pub const F32: Elem = Elem::Plain(Storage::F32);
    /// Plain 64-bit integer.
    pub const I64: Elem = Elem::Plain(Storage::I64);

    /// How the element is stored.
    pub fn storage(&self) -> Storage {
        match self {
            Elem::Plain(s) => *s,
            Elem::Quant(q) => q.storage,
        }
    }

    /// The quantization, if it is quantized.
    pub fn quant(&self) -> Option<&Arc<Quant>> {
        match self {
            Elem::Plain(_) => None,
            Elem::Quant(q) => Some(q),
        }
    }

    /// Whether it is a plain floating-point number.
    pub fn is_float(&self) -> bool {
        matches!(self, Elem::Plain(s) if s.is_float())
    }
}

/// The dimensions of a value, outermost first; empty for a scalar.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Shape(pub Vec<Dim>);

impl Shape {
    /// A shape of literal dimensions.
    pub fn of(dims: &[usize]) -> Shape {
        Shape(dims.iter().map(|&d| Dim::lit(d as i64)).collect())
    }
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.0.len()
    }
    /// The dimensions as numbers, if none is symbolic.
    pub fn concrete(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|d| d.as_lit().and_then(|n| usize::try_from(n).ok())).collect()
    }
    /// Number of elements as a dimension expression.
    pub fn numel(&self) -> Dim {
        self.0.iter().fold(Dim::lit(1), |a, d| a.mul(d))
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = Dim;
    fn index(&self, i: usize) -> &Dim {
        &self.0[i]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, d) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}

/// The type of a value.
///
/// Memory layout is no part of a type: the runtime's plan chooses it, and no op's meaning depends on it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Type {
    /// What one element is.
    pub elem: Elem,
    /// The dimensions.
    pub shape: Shape,
}

impl Type {
    /// A type from its parts.
    pub fn new(elem: Elem, shape: Shape) -> Type {
        Type { elem, shape }
    }
    /// `f32` of literal dimensions.
    pub fn f32(dims: &[usize]) -> Type {
        Type { elem: Elem::F32, shape: Shape::of(dims) }
    }
    /// Plain elements of a storage in literal dimensions.
    pub fn plain(s: Storage, dims: &[usize]) -> Type {
        Type { elem: Elem::Plain(s), shape: Shape::of(dims) }
    }
    /// The same elements in another shape.
    pub fn with_shape(&self, shape: Shape) -> Type {
        Type { elem: self.elem.clone(), shape }
    }
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }
}

/// Prints the type with a quantization spelled out in full; the graph printer uses declared names instead.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.elem {
            Elem::Plain(s) => write!(f, "{s}{}", self.shape),
            Elem::Quant(q) => write!(f, "{}!({q}){}", q.storage, self.shape),
        }
    }
}
