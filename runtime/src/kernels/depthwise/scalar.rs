//! The reference depthwise convolution.

use super::PackedDepthwise;

/// Channels whose accumulators are on the stack at a time.
const BLOCK: usize = 64;

pub(super) fn row(packed: &PackedDepthwise, x: &[u8], row: usize, out: &mut [u8]) {
    let (geometry, weights) = (&packed.geometry, &packed.weights);
    let channels = geometry.channels_in;
    let [_, height, _] = geometry.output();
    let [kd, kh, kw] = geometry.kernel;
    let place = |axis: usize, output: usize, tap: usize| {
        (output * geometry.stride[axis] + tap * geometry.dilation[axis])
            .wrapping_sub(geometry.pad_begin[axis])
    };
    for (column, pixel) in out.chunks_exact_mut(channels).enumerate() {
        for first in (0..channels).step_by(BLOCK) {
            let block = first..(first + BLOCK).min(channels);
            let mut acc = [0i32; BLOCK];
            let acc = &mut acc[..block.len()];
            acc.copy_from_slice(&weights.bias[block.clone()]);
            for tap in 0..kd * kh * kw {
                let d = place(0, row / height, tap / (kh * kw));
                let h = place(1, row % height, tap / kw % kh);
                let w = place(2, column, tap % kw);
                let taps = &weights.plain[tap * channels..][block.clone()];
                if d < geometry.input[0] && h < geometry.input[1] && w < geometry.input[2] {
                    let at = ((d * geometry.input[1] + h) * geometry.input[2] + w) * channels;
                    for ((acc, &x), &w) in acc.iter_mut().zip(&x[at..][block.clone()]).zip(taps) {
                        *acc = acc.wrapping_add(i32::from(x) * i32::from(w));
                    }
                } else {
                    for (acc, &w) in acc.iter_mut().zip(taps) {
                        *acc = acc.wrapping_add(i32::from(packed.x_zero) * i32::from(w));
                    }
                }
            }
            let outputs = pixel[block.clone()].iter_mut().zip(acc.iter()).enumerate();
            for (i, (out, &acc)) in outputs {
                let offset = weights.offset.get(first + i).copied().unwrap_or(0.0);
                *out = weights.store.apply((acc as f32 + offset) * weights.mult[first + i]);
            }
        }
    }
}
