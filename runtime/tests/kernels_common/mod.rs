//! Seeded data for the kernel tests.

#![allow(dead_code, missing_docs)]

use quantir_runtime::isa::Isa;
use quantir_runtime::kernels::{OutputRange, Requant};

/// splitmix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    pub fn weights(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.next() as i8).collect()
    }
}

/// Parameters under which outputs of a reduction over `depth` spread over the type.
pub fn requant(random: &mut Random, channels: usize, depth: usize, signed: bool) -> Requant {
    let spread = 75.0 * 100.0 * (depth as f32).sqrt();
    let (least, greatest) = if signed { (-128, 127) } else { (0, 255) };
    let zero = least + random.below(256) as i32;
    let narrow = random.below(3);
    let lo = if narrow == 0 { least } else { least + random.below(40) as i32 };
    let hi = if narrow < 2 { greatest } else { greatest - random.below(40) as i32 };
    let offset = if random.below(2) == 0 { 0 } else { channels };
    Requant {
        offset: (0..offset).map(|_| (random.unit() - 0.5) * spread).collect(),
        bias: (0..channels).map(|_| ((random.unit() - 0.5) * spread) as i32).collect(),
        mult: (0..channels).map(|_| (0.3 + random.unit()) * 60.0 / spread).collect(),
        out: OutputRange { zero, lo, hi, signed, hard_swish: None },
    }
}

/// The vector tiers of this machine; the missing ones are printed.
pub fn vector_tiers() -> Vec<Isa> {
    for isa in Isa::ALL {
        if !isa.is_available() {
            println!("skipped: this machine has no {isa}");
        }
    }
    Isa::available().into_iter().filter(|&isa| isa != Isa::Scalar).collect()
}
