//! The reference product.

use super::pack::Panels;
use super::tile::{Destination, Rows};

pub(crate) fn run(panels: &Panels, src: &[u8], rows: Rows<'_>, m: usize, out: &mut Destination<'_>) {
    let depth: usize = panels.segments.iter().map(|s| s.len).sum();
    for row in 0..m {
        let base = rows.offset(row);
        let outputs = out.row(row, panels.n);
        for (channel, output) in outputs.iter_mut().enumerate() {
            let mut weights = &panels.plain[channel * depth..][..depth];
            let mut acc = panels.bias[channel];
            for segment in &panels.segments {
                let (head, rest) = weights.split_at(segment.len);
                acc = acc.wrapping_add(dot(&src[base + segment.offset..][..segment.len], head));
                weights = rest;
            }
            let offset = panels.offset.get(channel).copied().unwrap_or(0.0);
            *output = panels.store.apply((acc as f32 + offset) * panels.mult[channel]);
        }
    }
}

fn dot(x: &[u8], weights: &[i16]) -> i32 {
    x.iter().zip(weights).fold(0, |acc, (&x, &w)| acc.wrapping_add(i32::from(x) * i32::from(w)))
}
