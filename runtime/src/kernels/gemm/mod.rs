//! `u8 × i8 → i32 → u8/i8` matrix product with requantization, for linear layers and, through
//! row offsets, for convolutions.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(crate) mod pack;
pub(crate) mod scalar;
pub(crate) mod tile;

use pack::{Panels, Segment, choose_isa};
use tile::{Destination, Rows};

use super::epilogue::Requant;
use super::error::KernelError;
use crate::isa::Isa;

/// A linear layer's weights, bias and multipliers, packed for one tier.
///
/// ```
/// use quantir_runtime::isa::Isa;
/// use quantir_runtime::kernels::{OutputRange, PackedGemm, Requant};
///
/// let requant = Requant { bias: vec![10, -10], offset: vec![], mult: vec![0.5, 0.25], out: OutputRange::u8(3) };
/// let gemm = PackedGemm::new(Isa::detect(), &[1, 2, 3, -1, 0, 1], 2, 3, 1, &[], &requant)?;
/// let mut out = [0; 2];
/// gemm.run(&[5, 6, 7], 3, 1, &mut out, 2);
/// // (4·1 + 5·2 + 6·3 + 10) · 0.5 + 3 and (−4 + 6 − 10) · 0.25 + 3
/// assert_eq!(out, [24, 1]);
/// # Ok::<(), quantir_runtime::kernels::KernelError>(())
/// ```
#[derive(Clone)]
pub struct PackedGemm {
    panels: Panels,
    k: usize,
}

impl PackedGemm {
    /// Packs `weights`, row-major `[n][k]`.
    ///
    /// `x_zero` is the zero point of the `u8` input; `w_zero` holds one zero point per output or
    /// is empty for zeros. [`isa`](Self::isa) tells the tier that was packed for, which is the
    /// scalar one when a weight minus its zero point is no byte or a multiplier is so large that
    /// outputs may leave `i32`.
    pub fn new(
        isa: Isa,
        weights: &[i8],
        n: usize,
        k: usize,
        x_zero: i32,
        w_zero: &[i32],
        requant: &Requant,
    ) -> Result<PackedGemm, KernelError> {
        requant.check(n)?;
        let isa = choose_isa(isa, weights, k, x_zero, w_zero, requant)?;
        let segments = vec![Segment { offset: 0, len: k }];
        Ok(PackedGemm { panels: Panels::new(isa, weights, segments, x_zero, w_zero, requant), k })
    }

    /// The tier that runs.
    pub fn isa(&self) -> Isa {
        self.panels.isa
    }

    /// Output columns.
    pub fn n(&self) -> usize {
        self.panels.n
    }

    /// Input columns.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Computes `m` rows: row `i` of the input starts at `a[i * lda]` and has `k` bytes, row `i`
    /// of the output starts at `out[i * ldc]` and has `n`. Bytes of `out` between rows are kept.
    ///
    /// # Panics
    ///
    /// If a slice is too short for its rows or a row stride is below the row's length.
    pub fn run(&self, a: &[u8], lda: usize, m: usize, out: &mut [u8], ldc: usize) {
        if m == 0 {
            return;
        }
        assert!(lda >= self.k || m == 1, "input row stride {lda} is below the {} columns", self.k);
        assert!(a.len() >= (m - 1) * lda + self.k, "input has {} bytes, too few for {m} rows", a.len());
        let out = Destination::new(out, ldc, m, 0, self.n());
        // The last group of a row is completed without a byte behind the row, see `Rows::tail`.
        tile::run(&self.panels, a, 0, Rows::Strided { stride: lda }, m, out);
    }
}
