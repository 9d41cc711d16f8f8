//! Where the elements of a value lie.
//!
//! The IR is logically channels-first. Inside a plan a value of 3 to 5 dimensions may be kept channels-last,
//! `[N,*S,C]`, which is what convolutions and pools read and write.

use std::fmt;
use std::sync::Arc;

use quantir_ir::Elem;

/// The order of a value's elements in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Layout {
    /// The logical order, the last dimension innermost.
    RowMajor,
    /// Dimension 1 innermost.
    ChannelsLast,
}

impl Layout {
    /// Dimensions in the order of memory.
    pub fn physical(self, dims: &[usize]) -> Vec<usize> {
        let mut out = dims.to_vec();
        if self == Layout::ChannelsLast && dims.len() > 2 {
            out[1..].rotate_left(1);
        }
        out
    }

    /// Where logical `axis` of `rank` is in memory.
    pub fn axis(self, axis: usize, rank: usize) -> usize {
        match self {
            Layout::ChannelsLast if rank > 2 && axis == 1 => rank - 1,
            Layout::ChannelsLast if rank > 2 && axis > 1 => axis - 1,
            _ => axis,
        }
    }

    /// Whether a value of these dimensions has the same bytes in both layouts.
    pub fn is_moot(dims: &[usize]) -> bool {
        !(3..=5).contains(&dims.len()) || dims[1] <= 1 || dims[2..].iter().product::<usize>() <= 1
    }

    /// This layout, or row-major where both have the same bytes.
    pub fn of(self, dims: &[usize]) -> Layout {
        if Layout::is_moot(dims) { Layout::RowMajor } else { self }
    }
}

/// What a kernel asks of its operands and results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutRule {
    /// Row-major.
    RowMajor,
    /// Channels-last for the values that the step reads and writes.
    ChannelsLast,
    /// Whatever the largest operand has, equally for all.
    Follow,
}

/// A tensor of a plan: elements and dimensions without symbols.
#[derive(Clone, PartialEq, Debug)]
pub struct Shaped {
    /// What one element is.
    pub elem: Elem,
    /// Logical dimensions.
    pub dims: Arc<[usize]>,
}

impl Shaped {
    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.dims.iter().product()
    }
    /// Bytes of all elements.
    pub fn bytes(&self) -> usize {
        self.numel() * self.elem.storage().bytes()
    }
    /// Bytes of all elements, `None` beyond what can be addressed.
    pub(crate) fn checked_bytes(&self) -> Option<usize> {
        let n = quantir_ir::tensor::checked_numel(&self.dims)?.checked_mul(self.elem.storage().bytes())?;
        (n <= isize::MAX as usize / 2).then_some(n)
    }
}

/// `u8[1,8,4,4]`.
impl fmt::Display for Shaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.elem.storage())?;
        for (i, d) in self.dims.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{d}")?;
        }
        f.write_str("]")
    }
}
