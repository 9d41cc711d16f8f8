//! Folding a batch norm into the layer before it, as numbers: PyTorch's `fuse_conv_bn_weights` and `fuse_linear_bn_weights`.

use quantir_ir::Reason;

/// The layer that a batch norm is folded into, as its weight lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// A convolution of any rank: weight `[out, in / groups, ...]`.
    Conv,
    /// A transposed convolution of any rank: weight `[in, out / groups, ...]`.
    ConvTranspose {
        /// Groups of channels that do not see each other.
        groups: usize,
    },
    /// A linear layer: weight `[out, in]`.
    Linear,
}

/// Statistics and parameters of a batch norm in evaluation.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormStats<'a> {
    /// Factors of channels; `None`: all 1.
    pub gamma: Option<&'a [f32]>,
    /// Offsets of channels; `None`: all 0.
    pub beta: Option<&'a [f32]>,
    /// Running means.
    pub mean: &'a [f32],
    /// Running variances.
    pub var: &'a [f32],
    /// Added to variances.
    pub eps: f32,
}

impl BatchNormStats<'_> {
    /// `1 / sqrt(var + eps)` of each channel.
    fn r(&self) -> Vec<f32> {
        self.var.iter().map(|v| 1.0 / (v + self.eps).sqrt()).collect()
    }
    fn gamma(&self, c: usize) -> f32 {
        self.gamma.map_or(1.0, |g| g[c])
    }
    /// `gamma / sqrt(var + eps)` of each channel: what the weights are multiplied by.
    pub fn factors(&self) -> Vec<f32> {
        self.r().iter().enumerate().map(|(c, r)| self.gamma(c) * r).collect()
    }
}

/// Weight and bias of `layer` with the batch norm folded in.
///
/// With `r = 1 / sqrt(var + eps)`, in PyTorch's order of operations and in `f32`: `w' = w · (gamma · r)` for each output channel
/// and `b' = (b − mean) · r · gamma + beta`; a linear layer has `b' = (b − mean) · (gamma · r) + beta`. The result always has a bias.
/// A linear layer may have a batch norm of one feature, which then holds for all outputs.
///
/// **Other than PyTorch**, transposed convolutions with groups fold: output channels are the groups of axis 0 and, within each, axis 1.
/// PyTorch's folding fails there or gives a weight of another shape.
///
/// # Errors
/// Lengths that do not belong together.
pub fn fold_batch_norm(
    layer: Layer,
    shape: &[usize],
    weight: &[f32],
    bias: Option<&[f32]>,
    bn: &BatchNormStats,
) -> Result<(Vec<f32>, Vec<f32>), Reason> {
    let channels = out_channels(layer, shape)
        .ok_or_else(|| Reason::new(format!("{shape:?} is no shape of a weight of this layer")))?;
    let features = bn.mean.len();
    let lengths = [Some(bn.var), bn.gamma, bn.beta];
    if lengths.iter().flatten().any(|v| v.len() != features) {
        return Err(Reason::new("the parameters of the batch norm have different lengths"));
    }
    if features != channels && !(layer == Layer::Linear && features == 1) {
        return Err(Reason::new(format!(
            "the batch norm has {features} features, the layer before it {channels} output channels"
        )));
    }
    if weight.len() != shape.iter().product::<usize>() || bias.is_some_and(|b| b.len() != channels) {
        return Err(Reason::new("the parameters of the layer do not have the lengths of their shapes"));
    }
    let (r, factors) = (bn.r(), bn.factors());
    let feature = |c: usize| if features == 1 { 0 } else { c };
    let all: Vec<f32> = (0..channels).map(|c| factors[feature(c)]).collect();
    let mut folded = weight.to_vec();
    scale_channels(layer, shape, &mut folded, &all);
    let one = |c: usize| {
        let (k, centred) = (feature(c), bias.map_or(0.0, |b| b[c]) - bn.mean[feature(c)]);
        let scaled = match layer {
            Layer::Linear => centred * factors[k],
            _ => centred * r[k] * bn.gamma(k),
        };
        scaled + bn.beta.map_or(0.0, |b| b[k])
    };
    Ok((folded, (0..channels).map(one).collect()))
}

/// Output channels of a weight of this shape; `None` if no layer has it.
pub(crate) fn out_channels(layer: Layer, shape: &[usize]) -> Option<usize> {
    let &[rows, cols, ..] = shape else { return None };
    if rows == 0 || shape.contains(&0) {
        return None;
    }
    match layer {
        Layer::Conv | Layer::Linear => Some(rows),
        Layer::ConvTranspose { groups } => (groups > 0 && rows % groups == 0).then_some(cols * groups),
    }
}

/// Multiplies the elements of each output channel by its factor; the shape has been checked by [`out_channels`].
pub(crate) fn scale_channels(layer: Layer, shape: &[usize], weight: &mut [f32], factors: &[f32]) {
    let row: usize = shape[1..].iter().product();
    let scale = |part: &mut [f32], f: f32| part.iter_mut().for_each(|w| *w *= f);
    match layer {
        Layer::Conv | Layer::Linear => {
            weight.chunks_exact_mut(row).zip(factors).for_each(|(row, &f)| scale(row, f));
        }
        Layer::ConvTranspose { groups } => {
            let (in_group, per_group) = (shape[0] / groups, shape[1]);
            for (i, row) in weight.chunks_exact_mut(row).enumerate() {
                let factors = &factors[i / in_group * per_group..][..per_group];
                let kernel = row.len() / per_group;
                row.chunks_exact_mut(kernel).zip(factors).for_each(|(kernel, &f)| scale(kernel, f));
            }
        }
    }
}
