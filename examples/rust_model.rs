//! A model written in Rust, from its modules to integers.
//!
//! ```sh
//! cargo run --example rust_model
//! ```

use quantir::ir::Type;
use quantir::{
    Cx, Error, Model, Module, QConfigMapping, SessionOptions, Tensor, Traced, Tracer, Weights,
    functional as f, nn,
};

/// Two convolutions and a way around them.
struct Block {
    conv1: nn::Conv2d,
    bn1: nn::BatchNorm2d,
    conv2: nn::Conv2d,
}

impl Block {
    fn new(channels: usize) -> Block {
        Block {
            conv1: nn::Conv2d::new(channels, channels, 3).padding(1).bias(false),
            bn1: nn::BatchNorm2d::new(channels),
            conv2: nn::Conv2d::new(channels, channels, 3).padding(1),
        }
    }
}

impl Module for Block {
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let y = cx.call("conv1", &self.conv1, &x);
        let y = f::relu(&cx.call("bn1", &self.bn1, y));
        f::relu(&(cx.call("conv2", &self.conv2, y) + x))
    }
}

struct Net {
    stem: nn::Conv2d,
    blocks: nn::ModuleList<Block>,
    head: nn::Linear,
}

impl Module for Net {
    fn forward(&self, cx: &Cx, x: Traced) -> Traced {
        let mut x = f::relu(&cx.call("stem", &self.stem, x));
        for i in 0..self.blocks.len() {
            x = self.blocks.call(cx, "blocks", i, x);
        }
        let x = f::adaptive_avg_pool2d(&x, 1).flatten(1, -1);
        cx.call("head", &self.head, x)
    }
}

/// Numbers that look random, the same ones on every machine.
fn sample(seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f32::from((state >> 24) as u8) / 128.0 - 1.0
    };
    Tensor::f32(&[1, 3, 16, 16], (0..3 * 16 * 16).map(|_| next()).collect())
}

fn main() -> Result<(), Error> {
    let net = Net {
        stem: nn::Conv2d::new(3, 8, 3).stride(2).padding(1),
        blocks: nn::ModuleList::new([Block::new(8), Block::new(8)]),
        head: nn::Linear::new(8, 4),
    };
    // With `Weights::from_safetensors` the parameters are those of a trained model.
    let tracer = Tracer::new().weights(Weights::seeded(7)).input("x", Type::f32(&[1, 3, 16, 16]));
    let float = Model::trace(tracer, &net)?;
    let session = float.session(&SessionOptions::default())?;

    // Rules match on the paths and classes of the modules above.
    let mut mapping = QConfigMapping::native();
    mapping.set_module_name("stem", None);
    let integer = float
        .fuse()?
        .prepare(&mapping)?
        .calibrate_batches((0..16).map(|i| vec![sample(i)]))?
        .convert()?
        .lower()?;
    println!("{}", quantir::ir::text::print(integer.graph()));

    let input = [sample(99)];
    let quantized = integer.session(&SessionOptions::default())?.run(&input)?;
    println!("float   {:?}", session.run(&input)?[0].floats()?);
    println!("integer {:?}", quantized[0].floats()?);
    Ok(())
}
