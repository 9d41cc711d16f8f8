//! Packed embedding tables: each row holds its codes and then its own scale and minimum, as PyTorch's
//! `quantized::embedding_bag_{byte,4bit,2bit}_prepack` lay them out.
//!
//! 8 bits: one byte for each code, then scale and minimum as `f32`. 4 and 2 bits: 2 or 4 codes in a byte, the earlier one
//! in the lower bits, then scale and minimum as `f16`. A code stands for `scale · code + minimum`.

use half::f16;

use crate::diag::Reason;
use crate::quant::search::{Search, choose_qparams_optimized};
use crate::tensor::Tensor;

/// Where scale and minimum of a row come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ends {
    /// The smallest and largest number of the row.
    MinMax,
    /// The search of [`choose_qparams_optimized`]; for 4 and 2 bits.
    Optimized,
}

/// Codes in a byte, and bytes of scale and minimum.
fn form(bits: u32) -> Result<(usize, usize), Reason> {
    match bits {
        8 => Ok((1, 8)),
        4 => Ok((2, 4)),
        2 => Ok((4, 4)),
        _ => Err(Reason::new(format!("a packed table has 8, 4 or 2 bits, not {bits}"))),
    }
}

/// Numbers in a packed row of `bytes`. Fails if it is too short for scale and minimum.
pub fn width(bytes: usize, bits: u32) -> Result<usize, Reason> {
    let (per, tail) = form(bits)?;
    let codes = bytes.checked_sub(tail).ok_or_else(|| {
        Reason::new(format!("a packed row of {bits} bits needs more than {tail} bytes, found {bytes}"))
    })?;
    Ok(codes * per)
}

/// Rows and columns of a matrix.
fn matrix(t: &Tensor) -> Result<(usize, usize), Reason> {
    match *t.shape.as_slice() {
        [rows, columns] => Ok((rows, columns)),
        _ => Err(Reason::new(format!("a table [V,D] is expected, found {}", t.ty()))),
    }
}

/// A float table `[V,D]` as `u8[V,bytes]`.
///
/// 8 bits: `scale = (max − min) / 255`, `code = rne((x − min) · (255 / (max − min + 1e-8)))`. 4 and 2 bits: the minimum is
/// rounded to `f16` first, `scale = f16((max − min) / (2^bits − 1))`, 1 if that is 0 or has no finite reciprocal,
/// `code = clamp(rne((x − min) · (1 / scale)))`. Fails if the width does not fill whole bytes, and for NaN in a search.
pub fn pack(table: &Tensor, bits: u32, ends: Ends) -> Result<Tensor, Reason> {
    let (rows, columns) = matrix(table)?;
    let (per, tail) = form(bits)?;
    if columns % per != 0 || columns == 0 {
        return Err(Reason::new(format!("rows of {columns} numbers do not fill bytes of {per} codes")));
    }
    if bits == 8 && ends == Ends::Optimized {
        return Err("tables of 8 bits have no optimized parameters".into());
    }
    let top = ((1u32 << bits) - 1) as f32;
    let mut out = Vec::with_capacity(rows * (columns / per + tail));
    for row in table.floats()?.chunks_exact(columns) {
        let (min, max) = match ends {
            Ends::MinMax => row.iter().fold((row[0], row[0]), |(lo, hi), &v| (lo.min(v), hi.max(v))),
            Ends::Optimized => choose_qparams_optimized(row, Search::bits(bits))?,
        };
        if bits == 8 {
            let inverse = 255.0 / (max - min + 1e-8);
            out.extend(row.iter().map(|v| ((v - min) * inverse).round_ties_even() as u8));
            out.extend(((max - min) / 255.0).to_le_bytes());
            out.extend(min.to_le_bytes());
            continue;
        }
        let half = f16::from_f32(min);
        let min = half.to_f32();
        let range = max - min;
        let mut scale = f16::from_f32(if range == 0.0 { 1.0 } else { range / top });
        if scale == f16::ZERO || (1.0 / scale.to_f32()).is_infinite() {
            scale = f16::ONE;
        }
        let inverse = 1.0 / scale.to_f32();
        for codes in row.chunks_exact(per) {
            let byte = codes.iter().enumerate().fold(0u8, |byte, (k, v)| {
                let code = ((v - min) * inverse).round_ties_even().clamp(0.0, top) as u8;
                byte | code << (k as u32 * bits)
            });
            out.push(byte);
        }
        out.extend(scale.to_le_bytes());
        out.extend(half.to_le_bytes());
    }
    Tensor::new(&[rows, columns / per + tail], out)
}

/// The numbers `scale · code + minimum` of a packed table `u8[V,bytes]` as `f32[V,D]`.
pub fn unpack(table: &Tensor, bits: u32) -> Result<Tensor, Reason> {
    let (rows, bytes) = matrix(table)?;
    let columns = width(bytes, bits)?;
    let mut out = vec![0.0; rows * columns];
    let lines = table.data::<u8>()?;
    for (row, out) in lines.chunks_exact(bytes.max(1)).zip(out.chunks_exact_mut(columns.max(1))) {
        read_row(row, bits, out);
    }
    Tensor::new(&[rows, columns], out)
}

/// Writes the numbers of one packed row, whose [`width`] is the length of `out`.
pub(crate) fn read_row(row: &[u8], bits: u32, out: &mut [f32]) {
    let Some((codes, scale, min)) = split(row, bits) else { return };
    let (per, mask) = (8 / bits as usize, ((1u32 << bits) - 1) as u8);
    for (i, o) in out.iter_mut().enumerate() {
        let byte = codes.get(i / per).copied().unwrap_or(0);
        *o = f32::from(byte >> ((i % per) as u32 * bits) & mask) * scale + min;
    }
}

/// Codes, scale and minimum of a packed row.
fn split(row: &[u8], bits: u32) -> Option<(&[u8], f32, f32)> {
    if bits == 8 {
        let (codes, &[a, b, c, d, e, f, g, h]) = row.split_last_chunk::<8>()?;
        return Some((codes, f32::from_le_bytes([a, b, c, d]), f32::from_le_bytes([e, f, g, h])));
    }
    let (codes, &[a, b, c, d]) = row.split_last_chunk::<4>()?;
    Some((codes, f16::from_le_bytes([a, b]).to_f32(), f16::from_le_bytes([c, d]).to_f32()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_spread_and_odd_widths() {
        let flat = Tensor::f32(&[1, 4], vec![0.5; 4]);
        for bits in [8, 4, 2] {
            let packed = pack(&flat, bits, Ends::MinMax).unwrap();
            assert_eq!(unpack(&packed, bits).unwrap(), flat);
        }
        assert!(pack(&Tensor::f32(&[2, 3], vec![0.0; 6]), 4, Ends::MinMax).is_err());
        assert!(width(3, 8).is_err() && width(3, 5).is_err());
    }
}
