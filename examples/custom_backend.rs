//! A back end of one's own: which calls it quantizes, with which dtypes, and what it says to a qconfig it cannot serve.
//!
//! ```sh
//! cargo run --example custom_backend
//! ```

use std::error::Error;

use quantir::QConfigMapping;
use quantir::ir::text::{parse, print};
use quantir::passes::fx::{PrepareCustomConfig, prepare_fx};
use quantir::quant::QConfig;
use quantir::quant::backend::BackendConfig;

/// An accelerator with 7-bit activations; it computes linear layers, alone and with a relu, and nothing else.
const BACKEND: &str = r#"
name = "seven_bits"

[dtype_configs]
seven = "input quint8[0:127], output quint8[0:127], weight qint8, bias float32"

[[pattern]]
pattern = "nn.Linear"
dtype_configs = ["seven"]
root_module = "nn.Linear"

[[pattern]]
pattern = "nn.Linear, nn.ReLU"
dtype_configs = ["seven"]
fuser_method = "fuse_sequential"
fused_module = "nn.intrinsic.LinearReLU"

[[pattern]]
pattern = "nn.intrinsic.LinearReLU"
dtype_configs = ["seven"]
"#;

const MODEL: &str = r#"qir 1 float
graph @main(%x: f32[1,8]) {
  %w = const {data=rand(1)} : f32[4,8] @fc
  %fc = linear %x, %w : f32[1,4] @fc by "nn.Linear"
  %act = relu %fc : f32[1,4] @act by "nn.ReLU"
  %y = sigmoid %act : f32[1,4] by "torch.sigmoid"
  return %y
}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let backend = BackendConfig::from_toml(BACKEND)?;
    print!("{backend}");
    for activation in ["minmax u8[0:127] affine", "minmax u8 affine"] {
        let q = QConfig { activation: activation.parse()?, weight: "minmax i8 symmetric".parse()? };
        let mut mapping = QConfigMapping::new();
        mapping.set_global(Some(q));
        let mut g = parse(MODEL).map_err(|d| d[0].to_string())?;
        let report = prepare_fx(&mut g, &mapping, &backend, &PrepareCustomConfig::default())?;
        print!("\n// activations: {activation}\n{report}{}", print(&g));
    }
    Ok(())
}
