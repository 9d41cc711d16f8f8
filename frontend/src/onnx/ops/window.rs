//! Kernel, stride, padding and dilation: what convolution and pooling share.

use quantir_ir::Dim;
use quantir_ir::attr::{Pads, PerAxis};

use super::super::node::{Fail, Node};

/// The window of a node over its spatial axes.
#[derive(Debug)]
pub(super) struct Window {
    pub kernel: Vec<u32>,
    pub stride: Vec<u32>,
    pub dilation: Vec<u32>,
    pub pad: Vec<(u32, u32)>,
}

/// Largest kernel, stride, dilation or padding.
const MOST: i64 = (1 << 31) - 1;

impl Window {
    /// The window of `node` over `spatial` dimensions of its operand.
    ///
    /// `weight` is the kernel that a weight has; a `kernel_shape` beside it must agree.
    pub(super) fn of(node: &Node, spatial: &[Dim], weight: Option<Vec<u32>>) -> Result<Window, Fail> {
        let rank = spatial.len();
        let given = node.ints("kernel_shape")?.map(|k| positive("kernel_shape", k, rank)).transpose()?;
        let kernel = match (given, weight) {
            (Some(k), Some(w)) if k != w => {
                return Err(Fail::invalid(format!("`kernel_shape` is {k:?}, but the weight has {w:?}")));
            }
            (_, Some(w)) => w,
            (Some(k), None) => k,
            (None, None) => return Err(Fail::invalid("attribute `kernel_shape` is missing")),
        };
        let each = |name| {
            Ok::<_, Fail>(match node.ints(name)? {
                Some(v) => positive(name, v, rank)?,
                None => vec![1; rank],
            })
        };
        let (stride, dilation) = (each("strides")?, each("dilations")?);
        let mut window = Window { kernel, stride, dilation, pad: vec![(0, 0); rank] };
        window.pad = window.padding(node, spatial)?;
        Ok(window)
    }

    fn padding(&self, node: &Node, spatial: &[Dim]) -> Result<Vec<(u32, u32)>, Fail> {
        let rank = spatial.len();
        let upper = match node.str_or("auto_pad", "NOTSET")? {
            "" | "NOTSET" => return explicit_pads(node, rank),
            "VALID" => return Ok(vec![(0, 0); rank]),
            "SAME_UPPER" => true,
            "SAME_LOWER" => false,
            other => return Err(Fail::invalid(format!("`auto_pad` is `{}`", other.escape_default()))),
        };
        let mut pads = Vec::with_capacity(rank);
        for (i, dim) in spatial.iter().enumerate() {
            let stride = i64::from(self.stride[i]);
            let extent = self.extent(i);
            // The result has ⌈size / stride⌉ elements; its last window ends at `covered`.
            let total = match dim.as_lit() {
                Some(size) => {
                    ((size + stride - 1) / stride - 1).max(0).saturating_mul(stride) + extent - size
                }
                None if stride == 1 => extent - 1,
                None => {
                    return Err(Fail::unsupported(
                        "automatic padding with a stride depends on a size that is not known; export it with fixed sizes",
                    ));
                }
            };
            pads.push(halves(total.max(0), upper)?);
        }
        Ok(pads)
    }

    /// Length that a window covers on axis `i`.
    pub(super) fn extent(&self, i: usize) -> i64 {
        (i64::from(self.kernel[i]) - 1) * i64::from(self.dilation[i]) + 1
    }

    pub(super) fn kernel(&self) -> PerAxis {
        PerAxis::of(&self.kernel)
    }
    pub(super) fn stride(&self) -> PerAxis {
        PerAxis::of(&self.stride)
    }
    pub(super) fn dilation(&self) -> PerAxis {
        PerAxis::of(&self.dilation)
    }
    pub(super) fn pads(&self) -> Pads {
        Pads::of(&self.pad)
    }
}

/// A total padding split in two; the odd element goes to the end if `upper`, else to the front.
pub(super) fn halves(total: i64, upper: bool) -> Result<(u32, u32), Fail> {
    let small = total / 2;
    let (small, large) = (size(small)?, size(total - small)?);
    Ok(if upper { (small, large) } else { (large, small) })
}

fn size(n: i64) -> Result<u32, Fail> {
    u32::try_from(n)
        .ok()
        .filter(|n| i64::from(*n) <= MOST)
        .ok_or_else(|| Fail::invalid(format!("padding {n} is too large")))
}

/// The attribute `pads`: all fronts, then all ends.
pub(super) fn explicit_pads(node: &Node, rank: usize) -> Result<Vec<(u32, u32)>, Fail> {
    let Some(pads) = node.ints("pads")? else { return Ok(vec![(0, 0); rank]) };
    if pads.len() != 2 * rank {
        return Err(Fail::invalid(format!("`pads` has {} numbers for {rank} spatial axes", pads.len())));
    }
    if pads.iter().any(|p| *p < 0) {
        return Err(Fail::unsupported("negative padding of a window"));
    }
    let (front, end) = pads.split_at(rank);
    front.iter().zip(end).map(|(f, e)| Ok((size(*f)?, size(*e)?))).collect()
}

/// One positive number for each spatial axis.
pub(super) fn positive(name: &str, v: &[i64], rank: usize) -> Result<Vec<u32>, Fail> {
    if v.len() != rank {
        return Err(Fail::invalid(format!("`{name}` has {} numbers for {rank} spatial axes", v.len())));
    }
    let one = |n: &i64| u32::try_from(*n).ok().filter(|n| (1..=MOST).contains(&i64::from(*n)));
    v.iter()
        .map(one)
        .collect::<Option<_>>()
        .ok_or_else(|| Fail::invalid(format!("`{name}` is {v:?}; each must be at least 1")))
}

/// Number of spatial axes of an operand `[N,C,*S]`, which must be 1 to 3.
pub(super) fn spatial_rank(rank: usize) -> Result<usize, Fail> {
    match rank {
        3..=5 => Ok(rank - 2),
        0..=2 => Err(Fail::invalid(format!(
            "its operand has {rank} dimensions; batch, channels and at least one more are needed"
        ))),
        _ => {
            Err(Fail::unsupported(format!("it runs over {} spatial axes; at most 3 are supported", rank - 2)))
        }
    }
}
