//! PyTorch's default observers, fake quantizers, qconfigs and mappings, under PyTorch's names.
//!
//! Where PyTorch has a constant, here is a function without arguments; the lists [`OBSERVERS`], [`FAKE_QUANTS`] and [`QCONFIGS`] find
//! them by name. Values are those of PyTorch 2.5.1.

mod fake_quants;
mod mappings;
mod observers;
mod qconfigs;

pub use fake_quants::*;
pub use mappings::*;
pub use observers::*;
pub use qconfigs::*;

/// Declares functions without arguments and a list of them by name.
macro_rules! named {
    ($(#[$about:meta])* $list:ident: $ty:ty;
     $($(#[$doc:meta])* $name:ident => $value:expr;)*) => {
        $($(#[$doc])* pub fn $name() -> $ty { $value })*

        $(#[$about])*
        pub const $list: &[(&str, fn() -> $ty)] = &[$((stringify!($name), $name)),*];
    };
}
use named;

/// `2⁻¹²`: the least scale that QNNPACK's symmetric kernels take.
pub const QNNPACK_EPS: f32 = 1.0 / 4096.0;
