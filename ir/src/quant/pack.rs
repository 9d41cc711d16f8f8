//! Several codes in one byte, the earlier one in the lower bits.

use crate::diag::Reason;
use crate::tensor::Tensor;

/// The codes of `t`, `8 / bits` in a byte, over the whole tensor in row-major order, so that a row need not start a
/// byte; the last byte is filled with zeros. `bits` is 2 or 4.
///
/// `quint4x2` and `quint2x4` of PyTorch are stored so. Negative codes are stored in two's complement. Fails if a code
/// does not fit.
pub fn pack(t: &Tensor, bits: u32) -> Result<Vec<u8>, Reason> {
    let per = per_byte(bits)?;
    let (lo, hi) = (-(1i64 << (bits - 1)), (1i64 << bits) - 1);
    let ints = t.ints()?;
    if let Some(v) = ints.iter().find(|&&v| v < lo || v > hi) {
        return Err(Reason::new(format!("code {v} does not fit {bits} bits")));
    }
    let byte = |run: &[i64]| {
        let parts = run.iter().enumerate();
        parts.fold(0u8, |b, (k, &v)| b | ((v as u8) & (hi as u8)) << (k as u32 * bits))
    };
    Ok(ints.chunks(per).map(byte).collect())
}

/// The first `count` codes of packed bytes, as they were if `signed` says whether they are two's complement. Fails if
/// there are not exactly as many bytes as the codes fill.
pub fn unpack(bytes: &[u8], bits: u32, count: usize, signed: bool) -> Result<Vec<i64>, Reason> {
    let per = per_byte(bits)?;
    if bytes.len() != count.div_ceil(per) {
        return Err(Reason::new(format!("{} bytes do not hold {count} codes of {bits} bits", bytes.len())));
    }
    let code = |i: usize| {
        let v = i64::from(bytes[i / per] >> ((i % per) as u32 * bits)) & ((1 << bits) - 1);
        if signed && v >> (bits - 1) == 1 { v - (1 << bits) } else { v }
    };
    Ok((0..count).map(code).collect())
}

fn per_byte(bits: u32) -> Result<usize, Reason> {
    match bits {
        2 | 4 => Ok(8 / bits as usize),
        _ => Err(Reason::new(format!("codes of 2 or 4 bits are packed, not of {bits}"))),
    }
}
