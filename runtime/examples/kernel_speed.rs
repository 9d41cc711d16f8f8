//! Multiply-accumulate rates of the integer kernels on typical layers, one thread.
//!
//! `cargo run --release -p quantir-runtime --example kernel_speed [filter] [isa]`
//!
//! Each figure is the best of many short samples, beside the rate of bare dot products measured
//! in the same process.

use std::hint::black_box;
use std::time::Instant;

use quantir_runtime::isa::Isa;
use quantir_runtime::kernels::add::Add;
use quantir_runtime::kernels::lut::lookup;
use quantir_runtime::kernels::mul::Mul;
use quantir_runtime::kernels::pool::{Average, PoolGeometry, max_pool};
use quantir_runtime::kernels::quantize::{dequantize, quantize};
use quantir_runtime::kernels::{ConvGeometry, OutputRange, PackedConv, PackedGemm, Requant};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let filter = arguments.next().unwrap_or_default();
    let isas = match arguments.next() {
        Some(name) => vec![name.parse::<Isa>().expect("an instruction set")],
        None => Isa::available().into_iter().filter(|&isa| isa != Isa::Scalar).rev().collect(),
    };
    let peak = peak();
    println!("dot product peak {peak:.1} GMAC/s");
    for isa in isas {
        for layer in layers() {
            if layer.name.contains(&filter) {
                let (seconds, macs) = layer.time(isa);
                let rate = macs as f64 / seconds * 1e-9;
                println!(
                    "{isa:<11} {:<34} {:>9.1} us {rate:>7.1} GMAC/s {:>5.1} %",
                    layer.name,
                    seconds * 1e6,
                    100.0 * rate / peak
                );
            }
        }
        for (name, seconds, elements) in elementwise(isa, &filter) {
            let rate = elements as f64 / seconds * 1e-9;
            println!("{isa:<11} {name:<34} {:>9.1} us {rate:>7.1} G elements/s", seconds * 1e6);
        }
    }
}

/// Name, best seconds and elements of the kernels without weights.
fn elementwise(isa: Isa, filter: &str) -> Vec<(&'static str, f64, usize)> {
    const LEN: usize = 56 * 56 * 24;
    let (mut a, mut b, mut out) = (Buffer::new(LEN), Buffer::new(LEN), Buffer::new(LEN));
    let (a, b, out) = (a.bytes(), b.bytes(), out.bytes());
    let mut floats: Vec<f32> = (0..LEN).map(|i| i as f32 * 0.001).collect();
    let range = OutputRange::u8(10);
    let table: [u8; 256] = std::array::from_fn(|i| (i * 7) as u8);
    let mut results = Vec::new();
    let mut time = |name: &'static str, call: &mut dyn FnMut()| {
        if name.contains(filter) {
            results.push((name, best(call), LEN));
        }
    };
    let add = Add { a_zero: 3, a_scale: 0.07, b_zero: 9, b_scale: 0.06, inv: 10.0, out: range };
    time("add", &mut || add.run(isa, black_box(a), b, out));
    let mul = Mul { a_zero: 3, b_zero: 9, mult: 0.01, out: range };
    time("mul", &mut || mul.run(isa, black_box(a), b, out));
    time("lookup", &mut || lookup(isa, &table, black_box(a), out));
    time("quantize", &mut || quantize(isa, black_box(&floats), 3.0, &range, out));
    time("dequantize", &mut || dequantize(isa, black_box(a), 0.1, 4, &mut floats));
    let average = Average {
        x_zero: 3,
        x_scale: 0.1,
        y_scale: 0.1,
        count_padding: false,
        zero_inside: true,
        out: OutputRange::u8(3),
    };
    let global = PoolGeometry::global(1536, [1, 7, 7]);
    time("global average 7x7", &mut || average.run(isa, &global, black_box(a), out, 0..1));
    let mut max = PoolGeometry::global(24, [1, 56, 56]);
    (max.kernel, max.stride, max.output) = ([1, 3, 3], [1, 2, 2], [1, 28, 28]);
    (max.pad_begin, max.pad_end) = ([0, 1, 1], [0, 1, 1]);
    time("max pool 3x3 s2, 24 channels", &mut || max_pool(isa, &max, black_box(a), out, 0..28));
    results
}

enum Kind {
    Linear { m: usize, n: usize, k: usize },
    Conv(ConvGeometry),
}

struct Layer {
    name: String,
    kind: Kind,
}

fn layers() -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut conv = |size: usize, ci: usize, co: usize, groups: usize, k: usize, s: usize| {
        let mut g = ConvGeometry::new_2d(ci, co, [size, size], [k, k]);
        (g.groups, g.stride) = (groups, [1, s, s]);
        (g.pad_begin, g.pad_end) = ([0, k / 2, k / 2], [0, k / 2, k / 2]);
        let kind = match (k, groups) {
            (1, _) => "pointwise".to_owned(),
            (_, 1) => format!("conv {k}x{k}"),
            _ => format!("depthwise {k}x{k}"),
        };
        let name = format!("{kind} s{s} {size}x{size} {ci}->{co}");
        layers.push(Layer { name, kind: Kind::Conv(g) });
    };
    conv(224, 3, 32, 1, 3, 2);
    for (size, ci, co) in [
        (112, 32, 16),
        (112, 16, 96),
        (56, 96, 24),
        (56, 24, 144),
        (28, 144, 40),
        (28, 40, 240),
        (14, 240, 80),
        (14, 80, 480),
        (14, 480, 112),
        (14, 672, 112),
        (7, 672, 192),
        (7, 192, 1152),
        (7, 1152, 320),
        (7, 320, 1280),
        (56, 64, 64),
        (14, 64, 384),
    ] {
        conv(size, ci, co, 1, 1, 1);
    }
    for (size, c, k, s) in [
        (112, 32, 3, 1),
        (112, 96, 3, 2),
        (56, 144, 3, 1),
        (56, 144, 5, 2),
        (28, 240, 5, 1),
        (28, 240, 3, 2),
        (14, 480, 3, 1),
        (14, 480, 5, 1),
        (14, 672, 5, 1),
        (14, 672, 5, 2),
        (7, 1152, 5, 1),
        (7, 1152, 3, 1),
        (7, 960, 3, 1),
    ] {
        conv(size, c, c, c, k, s);
    }
    conv(56, 64, 64, 1, 3, 1);
    conv(14, 256, 256, 1, 3, 1);
    for (m, n, k) in [(1, 1000, 1280), (128, 768, 768), (384, 384, 384)] {
        layers.push(Layer { name: format!("linear {m}x{k}->{n}"), kind: Kind::Linear { m, n, k } });
    }
    layers
}

impl Layer {
    /// Best seconds of a call, and its multiply-accumulates.
    fn time(&self, isa: Isa) -> (f64, usize) {
        // Widening and depthwise layers are followed by a rectifier, narrowing ones are not.
        let requant = |n: usize, k: usize| Requant {
            bias: vec![100; n],
            offset: vec![],
            mult: vec![0.5 / (75.0 * 100.0 * (k as f32).sqrt()) * 60.0; n],
            out: OutputRange::u8(if n > k || k <= 25 { 0 } else { 120 }),
        };
        match &self.kind {
            Kind::Linear { m, n, k } => {
                let weights: Vec<i8> = (0..n * k).map(|i| (i * 37 % 251) as i8).collect();
                let gemm = PackedGemm::new(isa, &weights, *n, *k, 7, &[], &requant(*n, *k)).expect("packs");
                let (mut a, mut out) = (Buffer::new(m * k), Buffer::new(m * n));
                let (a, out) = (a.bytes(), out.bytes());
                let seconds = best(|| gemm.run(black_box(a), *k, *m, out, *n));
                (seconds, m * n * k)
            }
            Kind::Conv(g) => {
                let count = g.channels_out * g.depth();
                let weights: Vec<i8> = (0..count).map(|i| (i * 37 % 251) as i8).collect();
                let conv =
                    PackedConv::new(isa, g.clone(), &weights, 7, &[], &requant(g.channels_out, g.depth()))
                        .expect("packs");
                let (mut x, mut out) =
                    (Buffer::new(g.input_len()), Buffer::new(conv.rows() * conv.row_len()));
                let (x, out) = (x.bytes(), out.bytes());
                let mut scratch = Buffer::new(conv.scratch_bytes());
                let scratch = scratch.bytes();
                let seconds = best(|| conv.run(black_box(x), out, scratch, 0..conv.rows()));
                (seconds, g.macs())
            }
        }
    }
}

/// Bytes that start at a cache line, as the buffers of a plan do.
struct Buffer {
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    fn new(len: usize) -> Buffer {
        Buffer { bytes: (0..len + 64).map(|i| (i * 91 % 241) as u8).collect(), len }
    }

    fn bytes(&mut self) -> &mut [u8] {
        let skip = self.bytes.as_ptr().align_offset(64);
        &mut self.bytes[skip..][..self.len]
    }
}

/// Least seconds per call over samples of about 0.3 ms.
fn best(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    call();
    let once = start.elapsed().as_secs_f64();
    let repeat = ((3e-4 / once) as usize).clamp(1, 1000);
    let mut least = f64::INFINITY;
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < 0.15 {
        let sample = Instant::now();
        for _ in 0..repeat {
            call();
        }
        least = least.min(sample.elapsed().as_secs_f64() / repeat as f64);
    }
    least
}

/// Billions of multiply-accumulates per second of the widest dot product alone.
fn peak() -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        const ROUNDS: usize = 20_000;
        let (name, per_round) =
            if Isa::Avx512Vnni.is_available() { (Isa::Avx512Vnni, 12 * 64) } else { (Isa::Avx2, 12 * 16) };
        if name.is_available() {
            // SAFETY: the tier was detected.
            let seconds = best(|| unsafe {
                if name == Isa::Avx512Vnni { x86::dots(ROUNDS) } else { x86::madds(ROUNDS) }
            });
            return (ROUNDS * per_round) as f64 / seconds * 1e-9;
        }
    }
    f64::NAN
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn dots(rounds: usize) {
        let mut acc = [_mm512_setzero_si512(); 12];
        let (x, w) = black_box((_mm512_set1_epi8(3), _mm512_set1_epi8(-2)));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm512_dpbusd_epi32(*acc, x, w);
            }
        }
        black_box(acc);
    }

    #[target_feature(enable = "avx2")]
    pub fn madds(rounds: usize) {
        let mut acc = [_mm256_setzero_si256(); 12];
        let mut x = black_box(_mm256_set1_epi16(3));
        let w = black_box(_mm256_set1_epi16(-2));
        for _ in 0..rounds {
            for acc in &mut acc {
                *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(x, w));
            }
            x = _mm256_xor_si256(x, acc[0]);
        }
        black_box((acc, x));
    }
}
