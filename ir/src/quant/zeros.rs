//! Zero points of several scales.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{list, same_bits};
use crate::text::number;

/// Zero points of per-axis and per-group parameters.
#[derive(Clone, Debug)]
pub enum Zeros {
    /// The same for all.
    All(i32),
    /// One for each scale.
    Each(Arc<[i32]>),
    /// One real number for each scale, as embedding tables have (`per_channel_affine_float_qparams`). It is added
    /// before rounding and may lie outside the range.
    Float(Arc<[f32]>),
}

impl Zeros {
    /// The zero point of scale number `i`; a real one is rounded.
    pub fn at(&self, i: usize) -> i32 {
        match self {
            Zeros::All(z) => *z,
            Zeros::Each(z) => z[i],
            Zeros::Float(z) => z[i].round_ties_even() as i32,
        }
    }

    /// Number of zero points, if there is one for each scale.
    pub fn count(&self) -> Option<usize> {
        match self {
            Zeros::All(_) => None,
            Zeros::Each(z) => Some(z.len()),
            Zeros::Float(z) => Some(z.len()),
        }
    }

    /// The zero points number `start..end`.
    pub fn slice(&self, start: usize, end: usize) -> Option<Zeros> {
        Some(match self {
            Zeros::All(z) => Zeros::All(*z),
            Zeros::Each(z) => Zeros::Each(z.get(start..end)?.into()),
            Zeros::Float(z) => Zeros::Float(z.get(start..end)?.into()),
        })
    }
}

impl PartialEq for Zeros {
    fn eq(&self, other: &Zeros) -> bool {
        match (self, other) {
            (Zeros::All(a), Zeros::All(b)) => a == b,
            (Zeros::Each(a), Zeros::Each(b)) => a == b,
            (Zeros::Float(a), Zeros::Float(b)) => same_bits(a, b),
            _ => false,
        }
    }
}
impl Eq for Zeros {}

impl Hash for Zeros {
    fn hash<H: Hasher>(&self, h: &mut H) {
        std::mem::discriminant(self).hash(h);
        match self {
            Zeros::All(z) => z.hash(h),
            Zeros::Each(z) => z.hash(h),
            Zeros::Float(z) => z.iter().for_each(|z| z.to_bits().hash(h)),
        }
    }
}

impl fmt::Display for Zeros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Zeros::All(z) => write!(f, "{z}"),
            Zeros::Each(z) => list(f, z.iter()),
            Zeros::Float(z) => {
                f.write_str("f32")?;
                list(f, z.iter().map(|x| number(*x)))
            }
        }
    }
}
