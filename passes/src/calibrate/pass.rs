//! The pass `calibrate`, for tests and first looks: random data instead of a user's.
//!
//! The graph stays as it is; what observers saw goes to `convert`.
//!
//! ```qir
//! observer $act0 = minmax u8[0:255] affine
//! input %x: f32[1,4]
//! %x.o = observe %x {by=$act0} : f32[1,4]
//! =>
//! %x.o = observe %x {by=$act0} : f32[1,4]
//! ```

use crate::calibrate::calibrate_by_interpreter;
use crate::check::{bind_symbols, seeded_inputs};
use crate::prelude::*;

/// The pass `calibrate`: runs the interpreter on random inputs and leaves a `Calibration` for `convert`.
pub struct Calibrate;

const INFO: PassInfo = PassInfo::new("calibrate", "Calibrate on random inputs by the interpreter")
    .phases(Phase::Observed, Phase::Observed)
    .options(&[
        OptionInfo {
            name: "seed",
            default: "1",
            doc: "seed of the first batch; the next one has the next seed",
        },
        OptionInfo { name: "batches", default: "2", doc: "how many batches" },
    ]);

impl Pass for Calibrate {
    fn info(&self) -> &PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let seed: u64 = cx.option("seed")?;
        let batches: u64 = cx.option("batches")?;
        let binding = bind_symbols(g, 0);
        let inputs = (0..batches).map(|i| seeded_inputs(g, &binding, seed.wrapping_add(i)));
        let calibration = calibrate_by_interpreter(g, inputs.collect::<Vec<_>>(), 1)?;
        cx.provide(calibration);
        Ok(Changed::No)
    }
}
