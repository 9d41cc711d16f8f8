//! From the dimensions and attributes of ops to the geometries of kernels.

use quantir_ir::attr::{Pads, PerAxis};

use crate::kernels::ConvGeometry;
use crate::kernels::pool::PoolGeometry;

/// One number for each of three axes: the last spatial axes of `rank`, the others `fill`.
fn three(rank: usize, fill: usize, at: impl Fn(usize) -> usize) -> [usize; 3] {
    std::array::from_fn(|i| if i + rank < 3 { fill } else { at(i + rank - 3) })
}

/// The geometry of a convolution of x `[N,C,*S]` with a weight `[O,C/groups,*K]`.
pub(crate) fn conv(
    x: &[usize],
    w: &[usize],
    (stride, pad, dilation): (&PerAxis, &Pads, &PerAxis),
    groups: usize,
) -> Result<ConvGeometry, String> {
    let rank = x.len().wrapping_sub(2);
    if !(1..=3).contains(&rank) || w.len() != x.len() {
        return Err("one to three spatial axes are expected".into());
    }
    let mut g = ConvGeometry {
        channels_in: x[1],
        channels_out: w[0],
        groups,
        input: three(rank, 1, |i| x[i + 2]),
        kernel: three(rank, 1, |i| w[i + 2]),
        stride: three(rank, 1, |i| stride.at(i)),
        dilation: three(rank, 1, |i| dilation.at(i)),
        pad_begin: three(rank, 0, |i| pad.at(i).0),
        pad_end: three(rank, 0, |i| pad.at(i).1),
    };
    // A single axis lies on height, where outputs can be split, unless the kernel slides along width.
    if rank == 1 && !g.is_depthwise() {
        for axes in
            [&mut g.input, &mut g.kernel, &mut g.stride, &mut g.dilation, &mut g.pad_begin, &mut g.pad_end]
        {
            axes.swap(1, 2);
        }
    }
    g.check().map_err(|e| e.to_string())?;
    Ok(g)
}

/// The geometry of a pool of x `[N,C,*S]` to y.
pub(crate) fn pool(
    x: &[usize],
    y: &[usize],
    kernel: &PerAxis,
    (stride, pad, dilation): (&PerAxis, &Pads, &PerAxis),
) -> Result<PoolGeometry, String> {
    let rank = x.len().wrapping_sub(2);
    if !(1..=3).contains(&rank) || y.len() != x.len() {
        return Err("one to three spatial axes are expected".into());
    }
    Ok(PoolGeometry {
        channels: x[1],
        input: three(rank, 1, |i| x[i + 2]),
        output: three(rank, 1, |i| y[i + 2]),
        kernel: three(rank, 1, |i| kernel.at(i)),
        stride: three(rank, 1, |i| stride.at(i)),
        dilation: three(rank, 1, |i| dilation.at(i)),
        pad_begin: three(rank, 0, |i| pad.at(i).0),
        pad_end: three(rank, 0, |i| pad.at(i).1),
    })
}
