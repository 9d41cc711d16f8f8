//! A module of one's own with a quantized form of one's own: float, then observed, then quantized.
//!
//! `Doubler` computes `2·x`. Quantized, it leaves the integers alone and doubles the scale.
//!
//! ```sh
//! cargo run --example custom_module
//! ```

use std::error::Error;

use quantir::fx::{ConvertCustomConfig, PrepareCustomConfig};
use quantir::ir::ops::Qlut;
use quantir::ir::text::{parse, print};
use quantir::ir::{Elem, Quant, Tensor};
use quantir::passes::calibrate::calibrate_by_interpreter;
use quantir::passes::fx::{convert_fx, prepare_fx};
use quantir::quant::BackendConfig;
use quantir::quant::defaults::get_default_qconfig_mapping;

const MODEL: &str = r#"qir 1 float
module @twice = "my.Doubler"
graph @main(%x: f32[2,4]) {
  %w = const {data=rand(1)} : f32[4,4] @fc
  %fc = linear %x, %w : f32[2,4] @fc by "nn.Linear"
  %two = const {data=splat(2)} : f32[]
  %y = mul %fc, %two : f32[2,4] @twice by "operator.mul"
  return %y
}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let mut g = parse(MODEL).map_err(|d| d[0].to_string())?;
    let prepare =
        PrepareCustomConfig::new().set_float_to_observed_mapping("my.Doubler", "my.ObservedDoubler");
    let mapping = get_default_qconfig_mapping("x86")?;
    prepare_fx(&mut g, &mapping, &BackendConfig::named("x86")?, &prepare)?;
    print!("{}", print(&g));

    let batch = Tensor::f32(&[2, 4], vec![0.5, -1.0, 2.0, 0.25, 1.5, -0.75, 0.0, 1.0]);
    let calibration = calibrate_by_interpreter(&g, [Ok(vec![batch])], 1)?;
    // The quantized form: a table that maps each integer to itself, under twice the scale.
    let convert =
        ConvertCustomConfig::new().set_observed_to_quantized_mapping("my.ObservedDoubler", |e, call| {
            let x = call.inputs[0];
            let q = e.ty(x).elem.quant().ok_or("the input is not quantized")?;
            let (scale, zero) = q.per_tensor().ok_or("the input has more than one scale")?;
            let twice = Quant::tensor(q.storage, 2.0 * scale, zero);
            let same: Vec<i64> = (0..256).collect();
            let table = e.constant(Tensor::from_ints(Elem::Quant(twice.into()), &[256], &same)?, "same");
            e.op(Qlut {}, [x, table])
        });
    convert_fx(&mut g, &calibration, &convert)?;
    print!("{}", print(&g));
    Ok(())
}
