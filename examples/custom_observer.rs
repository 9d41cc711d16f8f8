//! An observer of one's own, in one file: three standard deviations around the mean.
use std::path::Path;

use quantir::data::{Dataset, Normalize};
use quantir::evaluate::compare;
use quantir::ir::{ObserverSpec, Quant};
use quantir::quant::observer::{Accumulate, register};
use quantir::quant::{Error, Stats, scheme::quant_from_range};
use quantir::{Float, Model, QConfigMapping, SessionOptions};

#[derive(Clone, Debug, Default)]
struct ThreeSigma {
    sums: [f64; 3], // how many numbers, their sum, that of their squares
    stats: Stats,
}

impl Accumulate for ThreeSigma {
    const KIND: &'static str = "three_sigma";
    const ARGS: &'static str = "no arguments";

    fn new(_spec: &ObserverSpec) -> Result<Self, Error> {
        Ok(Self::default())
    }
    fn see(&mut self, data: &[f32], _shape: &[usize]) {
        self.stats.see(data);
        for x in data.iter().map(|&x| f64::from(x)) {
            self.sums = [self.sums[0] + 1.0, self.sums[1] + x, self.sums[2] + x * x];
        }
    }
    fn merge(&mut self, later: Self) -> Result<(), Error> {
        self.sums = std::array::from_fn(|i| self.sums[i] + later.sums[i]);
        self.stats.merge(&later.stats);
        Ok(())
    }
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        let [n, sum, squares] = self.sums;
        let (mean, variance) = (sum / n, (squares / n - (sum / n).powi(2)).max(0.0));
        let reach = 3.0 * variance.sqrt();
        quant_from_range(spec, &[(mean - reach) as f32], &[(mean + reach) as f32])
    }
    fn stats(&self) -> Stats {
        self.stats
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    register::<ThreeSigma>()?;
    let mapping = QConfigMapping::from_toml("global = { activation = \"three_sigma u8 affine\" }")?;
    let digits = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/digits").join(name);
    let float = Model::<Float>::load(&digits("digits_cnn.onnx"))?.fuse()?;
    let n: Normalize = "0,16".parse()?;
    let data = Dataset::open(&digits("calibration.npz"), float.graph(), n.clone())?;
    let test = Dataset::open(&digits("test.npz"), float.graph(), n)?;
    let observed = float.clone().prepare(&mapping)?.calibrate(&data, &Default::default())?;
    let int8 = observed.convert()?.lower()?;
    let options = SessionOptions::default();
    let result = compare(&float.session(&options)?, &int8.session(&options)?, &test, &|_| {})?;
    println!("top-1 (float, int8): {:?}", result.top1);
    Ok(())
}
