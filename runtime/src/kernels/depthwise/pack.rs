//! Depthwise weight layouts: blocks of channels, taps in the order the vectors are built.

use crate::isa::Isa;
use crate::kernels::conv::ConvGeometry;
use crate::kernels::epilogue::Requant;
use crate::kernels::gemm::pack::{Lines, folded_bias};
use crate::kernels::round::Store;

/// How taps are walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The reference: one tap and channel at a time.
    Plain,
    /// 256-bit: any kernel, two taps per lane.
    Pairs,
    /// 512-bit: any kernel, four taps per lane.
    Quads,
    /// 512-bit: a square kernel that slides along the width.
    Sliding {
        /// Kernel height and width, 3 or 5.
        kernel: usize,
        /// Step along the width, 1 or 2.
        stride: usize,
    },
}

impl Form {
    fn of(isa: Isa, g: &ConvGeometry) -> Form {
        match isa {
            Isa::Scalar => Form::Plain,
            Isa::Avx2 => Form::Pairs,
            Isa::Avx512Vnni => {
                let square = g.kernel[0] == 1 && g.kernel[1] == g.kernel[2] && g.dilation == [1; 3];
                let (kernel, stride) = (g.kernel[1], g.stride[2]);
                if square && matches!(kernel, 3 | 5) && matches!(stride, 1 | 2) {
                    Form::Sliding { kernel, stride }
                } else {
                    Form::Quads
                }
            }
        }
    }

    /// The taps whose activations share a lane, lane group by lane group.
    fn lanes(self, taps: usize) -> Vec<Vec<Option<usize>>> {
        let runs = |of: usize| -> Vec<Vec<Option<usize>>> {
            let tap = |at: usize| (at < taps).then_some(at);
            (0..taps).step_by(of).map(|first| (first..first + of).map(tap).collect()).collect()
        };
        match self {
            Form::Plain => Vec::new(),
            Form::Pairs => runs(2),
            Form::Quads => runs(4),
            Form::Sliding { kernel, stride } => {
                let tap = |row: usize, column: usize| (row < kernel).then_some(row * kernel + column);
                // Each column's first four rows share a lane. A fifth row is read along the width:
                // its first four taps, and its last tap from the group of the next output, where
                // it is element `4 - stride`.
                let column = |c: usize| (0..4).map(|row| tap(row, c)).collect();
                let mut lanes: Vec<Vec<Option<usize>>> = (0..kernel).map(column).collect();
                if kernel == 5 {
                    lanes.push((0..4).map(|c| tap(4, c)).collect());
                    lanes.push((0..4).map(|i| (i == 4 - stride).then_some(24)).collect());
                }
                lanes
            }
        }
    }
}

/// Channels that are computed together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    pub channel: usize,
    pub channels: usize,
    /// Vectors of accumulators.
    pub vectors: usize,
    /// First weight, in bytes.
    pub weights: usize,
    /// First entry of the bias and multiplier tables.
    pub params: usize,
}

/// Weights and per-channel parameters.
#[derive(Clone)]
pub(super) struct Weights {
    pub form: Form,
    /// Groups of taps that share a lane.
    pub groups: usize,
    /// Vector forms: `[block][vectors / 2][group][2][lane]`.
    pub packed: Lines,
    pub blocks: Vec<Block>,
    /// Scalar tier: `[tap][channel]`, zero points subtracted.
    pub plain: Vec<i16>,
    /// Bias with the activation zero point folded in, in block order.
    pub bias: Vec<i32>,
    /// Float offsets in block order; empty if there are none.
    pub offset: Vec<f32>,
    /// Multipliers in block order.
    pub mult: Vec<f32>,
    pub store: Store,
    /// Bounds in the unsigned domain.
    pub lo: u8,
    pub hi: u8,
}

impl Weights {
    pub(super) fn new(
        isa: Isa,
        geometry: &ConvGeometry,
        weights: &[i8],
        x_zero: i32,
        w_zero: &[i32],
        requant: &Requant,
    ) -> Weights {
        let (channels, taps) = (geometry.channels_out, geometry.depth());
        let zero_of = |channel: usize| w_zero.get(channel).copied().unwrap_or(0);
        let weight = |channel: usize, tap: usize| weights[channel * taps + tap] as i32 - zero_of(channel);
        let bias_of = |channel: usize| {
            let row = &weights[channel * taps..][..taps];
            folded_bias(requant.bias_of(channel), x_zero, zero_of(channel), row)
        };
        let form = Form::of(isa, geometry);
        let lanes = form.lanes(taps);
        let shift = if requant.out.signed { 128 } else { 0 };
        let mut this = Weights {
            form,
            groups: lanes.len(),
            packed: Lines::zeroed(0),
            blocks: Vec::new(),
            plain: Vec::new(),
            bias: Vec::new(),
            offset: Vec::new(),
            mult: Vec::new(),
            store: Store::new(&requant.out),
            lo: (requant.out.lo + shift) as u8,
            hi: (requant.out.hi + shift) as u8,
        };
        if form == Form::Plain {
            this.plain = (0..taps * channels).map(|i| weight(i % channels, i / channels) as i16).collect();
            this.bias = (0..channels).map(bias_of).collect();
            this.offset = requant.offset.clone();
            this.mult = requant.mult.clone();
            return this;
        }

        let width = if isa == Isa::Avx2 { 8 } else { 16 };
        let (mut bytes, mut params) = (0, 0);
        for (channel, channels) in split(isa, channels) {
            let vectors = if channels > 2 * width { 4 } else { 2 };
            this.blocks.push(Block { channel, channels, vectors, weights: bytes, params });
            bytes += vectors * lanes.len() * width * 4;
            params += vectors * width;
        }
        this.packed = Lines::zeroed(bytes);
        this.bias = vec![0; params];
        this.offset = if requant.offset.is_empty() { Vec::new() } else { vec![0.0; params] };
        this.mult = vec![0.0; params];
        for block in &this.blocks {
            for vector in 0..block.vectors {
                for lane in 0..width {
                    let quarter = lane / 4;
                    let local = match (isa, block.vectors) {
                        (Isa::Avx2, 2) => quarter * 8 + vector * 4 + lane % 4,
                        // The unpacks of 32 channels leave blocks 0, 2, 1, 3 of eight in a row.
                        (_, 2) => (quarter % 2 * 2 + quarter / 2) * 8 + vector * 4 + lane % 4,
                        _ => quarter * 16 + vector * 4 + lane % 4,
                    };
                    if local >= block.channels {
                        continue;
                    }
                    let channel = block.channel + local;
                    this.bias[block.params + vector * width + lane] = bias_of(channel);
                    this.mult[block.params + vector * width + lane] = requant.mult[channel];
                    if let Some(offset) = this.offset.get_mut(block.params + vector * width + lane) {
                        *offset = requant.offset[channel];
                    }
                    for (group, members) in lanes.iter().enumerate() {
                        let index = (vector / 2 * lanes.len() + group) * 2 + vector % 2;
                        let at = block.weights + (index * width + lane) * 4;
                        let to = &mut this.packed.as_mut_slice()[at..at + 4];
                        for (position, tap) in members.iter().enumerate() {
                            let value = tap.map_or(0, |tap| weight(channel, tap));
                            if isa == Isa::Avx2 {
                                let [low, high] = (value as i16).to_le_bytes();
                                to[2 * position..][..2].copy_from_slice(&[low as i8, high as i8]);
                            } else {
                                to[position] = value as i8;
                            }
                        }
                    }
                }
            }
        }
        this
    }
}

/// First channel and length of the blocks.
///
/// Vectors are read whole, so that a last block ends at the last channel and overlaps the one
/// before it, which computes the same bytes twice. The 256-bit tier has blocks of 32 and 16, the
/// 512-bit tier of 64 and 32. Fewer channels than the least block are one block that is masked.
fn split(isa: Isa, channels: usize) -> Vec<(usize, usize)> {
    let (wide, narrow) = if isa == Isa::Avx2 { (32, 16) } else { (64, 32) };
    if channels <= narrow {
        return vec![(0, channels)];
    }
    let mut blocks = Vec::new();
    let mut first = 0;
    while first < channels {
        let rest = channels - first;
        let len = if rest > narrow && channels >= wide { wide } else { narrow };
        blocks.push((if rest < len { channels - len } else { first }, len));
        first += len;
    }
    blocks
}
