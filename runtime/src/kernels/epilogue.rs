//! From `i32` accumulators to 8-bit outputs.

use super::error::KernelError;

/// The quantized output: zero point and bounds, already narrowed by a fused activation.
///
/// For `relu` the caller raises `lo` to `zero`; for `relu6` it also lowers `hi`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputRange {
    /// Zero point, within the type.
    pub zero: i32,
    /// Least stored value.
    pub lo: i32,
    /// Greatest stored value.
    pub hi: i32,
    /// Whether bytes are `i8` rather than `u8`.
    pub signed: bool,
    /// The reciprocal of the output's scale if a hard swish is fused. Multipliers then lead to real
    /// numbers instead of output steps: `x · min(max(x + 3, 0), 6) / 6`, times this, is stored.
    pub hard_swish: Option<f32>,
}

impl OutputRange {
    /// The full `u8` range around `zero`.
    pub const fn u8(zero: i32) -> OutputRange {
        OutputRange { zero, lo: 0, hi: 255, signed: false, hard_swish: None }
    }

    /// The full `i8` range around `zero`.
    pub const fn i8(zero: i32) -> OutputRange {
        OutputRange { zero, lo: -128, hi: 127, signed: true, hard_swish: None }
    }

    /// Checks that the bounds are ordered and all three numbers fit the type.
    pub fn check(&self) -> Result<(), KernelError> {
        let (lo, hi) = if self.signed { (-128, 127) } else { (0, 255) };
        for (what, value) in
            [("output zero point", self.zero), ("lower bound", self.lo), ("upper bound", self.hi)]
        {
            if value < lo || value > hi {
                return Err(KernelError::Range { what, value, lo, hi });
            }
        }
        if self.lo > self.hi {
            return Err(KernelError::Range { what: "lower bound", value: self.lo, lo, hi: self.hi });
        }
        Ok(())
    }
}

/// Bias, multipliers and output of a layer, one entry per output channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Requant {
    /// Bias in units of `s_x · s_w[c]`, added to the accumulator; empty means zero.
    pub bias: Vec<i32>,
    /// Bias in the same units, added to the accumulator as a float; empty means none.
    pub offset: Vec<f32>,
    /// `s_x · s_w[c] / s_y`.
    pub mult: Vec<f32>,
    /// Where results are stored.
    pub out: OutputRange,
}

impl Requant {
    /// Checks lengths against `channels`, the output range, and that multipliers and offsets are finite.
    pub fn check(&self, channels: usize) -> Result<(), KernelError> {
        self.out.check()?;
        if !self.bias.is_empty() && self.bias.len() != channels {
            return Err(KernelError::Length { what: "bias", expected: channels, found: self.bias.len() });
        }
        if self.mult.len() != channels {
            return Err(KernelError::Length {
                what: "multipliers",
                expected: channels,
                found: self.mult.len(),
            });
        }
        if !self.offset.is_empty() && self.offset.len() != channels {
            return Err(KernelError::Length {
                what: "offsets",
                expected: channels,
                found: self.offset.len(),
            });
        }
        let bad = |list: &[f32]| list.iter().position(|m| !m.is_finite());
        if let Some(channel) = bad(&self.mult) {
            return Err(KernelError::Multiplier { channel, value: self.mult[channel] });
        }
        match bad(&self.offset) {
            Some(channel) => Err(KernelError::Multiplier { channel, value: self.offset[channel] }),
            None => Ok(()),
        }
    }

    pub(crate) fn bias_of(&self, channel: usize) -> i32 {
        self.bias.get(channel).copied().unwrap_or(0)
    }

    pub(crate) fn offset_of(&self, channel: usize) -> f32 {
        self.offset.get(channel).copied().unwrap_or(0.0)
    }

    /// The parameters of a range of channels.
    pub(crate) fn part(&self, of: std::ops::Range<usize>) -> Requant {
        Requant {
            bias: self.bias.get(of.clone()).unwrap_or_default().to_vec(),
            offset: self.offset.get(of.clone()).unwrap_or_default().to_vec(),
            mult: self.mult[of].to_vec(),
            out: self.out,
        }
    }
}

/// The largest number of products whose sum cannot leave `i32`, for weights of at most
/// `magnitude` after their zero point is subtracted, and activations up to 255.
pub const fn max_depth(magnitude: u32) -> usize {
    (i32::MAX as u32 / (255 * if magnitude == 0 { 1 } else { magnitude })) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_limit_is_tight() {
        assert_eq!(max_depth(128), 65_793);
        assert!(65_793u64 * 255 * 128 <= i32::MAX as u64);
        assert!(65_794u64 * 255 * 128 > i32::MAX as u64);
    }

    #[test]
    fn bad_parameters_are_reported() {
        assert!(OutputRange { lo: 9, hi: 8, ..OutputRange::u8(3) }.check().is_err());
        assert!(OutputRange::u8(256).check().is_err());
        let requant =
            Requant { bias: vec![], offset: vec![], mult: vec![1.0, f32::NAN], out: OutputRange::i8(0) };
        assert!(matches!(requant.check(2), Err(KernelError::Multiplier { channel: 1, .. })));
        assert!(matches!(requant.check(3), Err(KernelError::Length { .. })));
    }
}
