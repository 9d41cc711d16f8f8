//! Numbers for spatial axes.

use quantir_ir::Reason;
use quantir_ir::attr::{Pads, PerAxis};

/// Numbers for each spatial axis: one for all, or one for each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spatial(pub(super) Vec<i64>);

macro_rules! spatial {
    ($($t:ty),*) => {$(
        impl From<$t> for Spatial {
            fn from(n: $t) -> Spatial {
                Spatial(vec![n as i64])
            }
        }
        impl<const N: usize> From<[$t; N]> for Spatial {
            fn from(n: [$t; N]) -> Spatial {
                Spatial(n.iter().map(|&n| n as i64).collect())
            }
        }
        impl From<&[$t]> for Spatial {
            fn from(n: &[$t]) -> Spatial {
                Spatial(n.iter().map(|&n| n as i64).collect())
            }
        }
        impl From<($t, $t)> for Spatial {
            fn from(n: ($t, $t)) -> Spatial {
                Spatial(vec![n.0 as i64, n.1 as i64])
            }
        }
        impl From<($t, $t, $t)> for Spatial {
            fn from(n: ($t, $t, $t)) -> Spatial {
                Spatial(vec![n.0 as i64, n.1 as i64, n.2 as i64])
            }
        }
    )*};
}
spatial!(i32, i64, u32, usize);

impl Spatial {
    /// The number of axis `i`.
    pub(in crate::trace) fn at(&self, i: usize) -> i64 {
        if self.0.len() == 1 { self.0[0] } else { self.0.get(i).copied().unwrap_or(1) }
    }
    pub(in crate::trace) fn numbers(&self, what: &str, rank: usize) -> Result<Vec<u32>, Reason> {
        if self.0.len() != 1 && self.0.len() != rank {
            return Err(Reason::new(format!(
                "`{what}` has {} entries for {rank} spatial axes",
                self.0.len()
            )));
        }
        (0..rank)
            .map(|i| {
                u32::try_from(self.at(i))
                    .map_err(|_| Reason::new(format!("`{what}` is {}, but must not be negative", self.at(i))))
            })
            .collect()
    }
    pub(super) fn per_axis(&self, what: &str, rank: usize) -> Result<PerAxis, Reason> {
        Ok(PerAxis::of(&self.numbers(what, rank)?))
    }
    pub(super) fn pads(&self, rank: usize) -> Result<Pads, Reason> {
        let both: Vec<(u32, u32)> = self.numbers("padding", rank)?.into_iter().map(|n| (n, n)).collect();
        Ok(Pads::of(&both))
    }
}
