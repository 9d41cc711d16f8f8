//! A fusion of one's own: a pattern of calls becomes one call of a class, and the back end quantizes that class.
//!
//! ```sh
//! cargo run --example custom_fusion
//! ```

use std::error::Error;

use quantir::ir::text::{parse, print};
use quantir::passes::fx::{fuse_fx, pattern};
use quantir::quant::backend::{
    BackendConfig, BackendPatternConfig, DType, DTypeConfig, FuserMethod, Pattern,
};

const MODEL: &str = r#"qir 1 float
graph @main(%x: f32[1,3,8,8]) {
  %w = const {data=rand(1)} : f32[3,3,1,1] @conv
  %conv = conv2d %x, %w : f32[1,3,8,8] @conv by "nn.Conv2d"
  %sum = add %conv, %x : f32[1,3,8,8] by "operator.add"
  %y = relu %sum : f32[1,3,8,8] @act by "nn.ReLU"
  return %y
}
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // The other operand of the sum is free, so that it becomes the second input of the fused call.
    let residual: Pattern = "%c = nn.Conv2d %x; %s = operator.add %c, %y; %r = nn.ReLU %s".parse()?;
    let mut g = parse(MODEL).map_err(|d| d[0].to_string())?;
    println!("{} occurrence of {residual}", pattern::find(&g, std::slice::from_ref(&residual)).len());

    let dtypes = DTypeConfig::new(DType::QUint8, DType::QUint8).weight(DType::QInt8).bias(DType::Float32);
    let backend = BackendConfig::new("residual").set_backend_pattern_config(
        BackendPatternConfig::new(residual)
            .add_dtype_config(dtypes)
            .set_fuser_method(FuserMethod::ConvAddRelu)
            .set_fused_module("nn.intrinsic.ConvAddReLU2d")
            .set_root_node("c")
            .set_extra_inputs(&["y"]),
    );
    for call in fuse_fx(&mut g, &backend)? {
        println!("{} -> {}", call.members.join(" + "), call.call);
    }
    print!("{}", print(&g));
    Ok(())
}
