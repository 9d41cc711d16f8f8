//! Meaning of ops that models of PyTorch call, on numbers that can be checked by hand.

use pretty_assertions::assert_eq;
use quantir_ir::{interp, text, verify};

/// The result of the last line on constants: `lines` name their operands `%x`, `%i`, …
fn eval(lines: &str) -> Vec<f32> {
    let mut body = String::new();
    let mut last = "";
    for line in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
        body += &format!("  {line}\n");
        last = line.split([' ', ',']).next().unwrap();
    }
    let graph = format!("qir 1 float\ngraph @main() {{\n{body}  return {last}\n}}\n");
    let g = text::parse(&graph).unwrap_or_else(|d| panic!("{graph}\n{d:?}"));
    assert!(verify(&g).is_empty(), "{:?}", verify(&g));
    interp::run(&g, &[], &mut ()).unwrap()[0].floats().unwrap().into_owned()
}

#[test]
fn activations() {
    let x = "%x = const {data=[-2.0,-0.5,0.0,1.5]} : f32[4]\n";
    let of = |op: &str| eval(&format!("{x}%y = {op} : f32[4]"));
    assert_eq!(of("threshold %x {threshold=-1.0, value=9.0}"), [9.0, -0.5, 0.0, 1.5]);
    let celu = of("celu %x {alpha=2.0}");
    assert_eq!(celu[2..], [0.0, 1.5]);
    assert!((celu[0] - 2.0 * ((-1f32).exp() - 1.0)).abs() < 1e-6);
    let log = eval("%x = const {data=[-1.0,0.0,1e-10]} : f32[3]\n%y = log1p %x : f32[3]");
    assert_eq!(log, [f32::NEG_INFINITY, 0.0, 1e-10]);
}

#[test]
fn movements() {
    let x = "%x = const {data=[1,2,3,4,5,6]} : i64[2,3]\n";
    let of = |op: &str| eval(&format!("{x}%y = {op}"));
    assert_eq!(of("flip %x {axes=[0,1]} : i64[2,3]"), [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
    assert_eq!(of("roll %x {axes=[1], shifts=[-1]} : i64[2,3]"), [2.0, 3.0, 1.0, 5.0, 6.0, 4.0]);
    assert_eq!(of("roll %x {axes=[0,1], shifts=[3,4]} : i64[2,3]"), [6.0, 4.0, 5.0, 3.0, 1.0, 2.0]);
    let twice = of("repeat %x {times=[1,1,2]} : i64[1,2,6]");
    assert_eq!(twice, [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 4.0, 5.0, 6.0]);
    let down = of("repeat %x {times=[2,1]} : i64[4,3]");
    assert_eq!(down[6..], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(of("cumsum %x {axis=0} : i64[2,3]"), [1.0, 2.0, 3.0, 5.0, 7.0, 9.0]);
    assert_eq!(of("cumsum %x {axis=1, exclusive=true} : i64[2,3]"), [0.0, 1.0, 3.0, 0.0, 4.0, 9.0]);
    assert_eq!(of("cumsum %x {axis=1, reverse=true} : i64[2,3]"), [6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
    let stacked = eval(&format!("{x}%y = stack %x, %x {{axis=2}} : i64[2,3,2]"));
    assert_eq!(stacked[..4], [1.0, 1.0, 2.0, 2.0]);
}

#[test]
fn shuffles_of_channels_and_pixels() {
    let x = "%x = const {data=[0,1,2,3,4,5,6,7]} : i64[1,8,1,1]\n";
    let of = |op: &str| eval(&format!("{x}%y = {op}"));
    assert_eq!(of("channel_shuffle %x {groups=2} : i64[1,8,1,1]"), [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
    assert_eq!(of("pixel_shuffle %x {factor=2} : i64[1,2,2,2]"), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let back = eval(
        "%x = const {data=seq} : f32[2,8,3,2]
         %s = pixel_shuffle %x {factor=2} : f32[2,2,6,4]
         %u = pixel_unshuffle %s {factor=2} : f32[2,8,3,2]
         %y = sub %u, %x : f32[2,8,3,2]",
    );
    assert!(back.iter().all(|v| *v == 0.0));
}

#[test]
fn bags() {
    let table = "%t = const {data=[1.0,10.0,2.0,20.0,3.0,-30.0]} : f32[3,2]
                 %i = const {data=[0,1,2,2]} : i64[4]
                 %o = const {data=[0,2,2]} : i64[3]
                 %e = const {data=[0,2,2,4]} : i32[4]
                 %w = const {data=[1.0,0.5,2.0,-1.0]} : f32[4]\n";
    let of = |op: &str| eval(&format!("{table}%y = {op} : f32[3,2]"));
    assert_eq!(of("embedding_bag %i, %t, %o"), [3.0, 30.0, 0.0, 0.0, 6.0, -60.0]);
    assert_eq!(of("embedding_bag %i, %t, %e {include_last_offset=true}"), [3.0, 30.0, 0.0, 0.0, 6.0, -60.0]);
    assert_eq!(of("embedding_bag %i, %t, %o {mode=mean}"), [1.5, 15.0, 0.0, 0.0, 3.0, -30.0]);
    assert_eq!(of("embedding_bag %i, %t, %o {mode=max}"), [2.0, 20.0, 0.0, 0.0, 3.0, -30.0]);
    assert_eq!(of("embedding_bag %i, %t, %o, %w"), [2.0, 20.0, 0.0, 0.0, 3.0, -30.0]);
    assert_eq!(of("embedding_bag %i, %t, %o {mode=mean, padding_idx=0}"), [2.0, 20.0, 0.0, 0.0, 3.0, -30.0]);
    let rows = eval(
        "%t = const {data=[1.0,2.0,3.0]} : f32[3,1]
         %i = const {data=[0,1,2,2]} : i64[2,2]
         %y = embedding_bag %i, %t {mode=mean} : f32[2,1]",
    );
    assert_eq!(rows, [1.5, 3.0]);
}

/// A quantized table with real zero points, and bags of it that are means and maxima indeed.
#[test]
fn quantized_bags() {
    let of = |mode: &str| {
        let graph = format!(
            "qir 1 integer\nquant !t = u8[0:255] axis 0 scale [0.5,1.0,2.0] zp f32[1.5,0.0,2.25]\n\
             graph @main() {{\n  %t = const {{data=[2,4,6,8,1,3]}} : u8!t[3,2]\n  \
             %i = const {{data=[0,2]}} : i64[1,2]\n  %y = qembedding_bag %i, %t {{mode={mode}}} : f32[1,2]\n  \
             return %y\n}}\n"
        );
        let g = text::parse(&graph).unwrap_or_else(|d| panic!("{graph}\n{d:?}"));
        interp::run(&g, &[], &mut ()).unwrap()[0].floats().unwrap().into_owned()
    };
    assert_eq!(of("sum"), [-2.25, 2.75]);
    assert_eq!(of("mean"), [-1.125, 1.375]);
    assert_eq!(of("max"), [0.25, 1.5]);
}

/// Masks, further keys and one sample.
#[test]
fn attention() {
    let base = "%q = const {data=rand(1)} : f32[2,3,4]
                %w = const {data=rand(2)} : f32[12,4]
                %o = const {data=rand(3)} : f32[4,4]
                %m = const {data=[0,1,1,0]} : bool[2,2]\n";
    let weights = |op: &str, shape: &str| {
        eval(&format!(
            "{base}%y, %p = multihead_attention {op} : f32[2,3,4], f32[{shape}]\n%z = identity %p : f32[{shape}]"
        ))
    };
    let masked = weights("%q, %q, %q, %w, _, _, _, _, %o, _, _, _, %m {heads=2}", "3,2,2");
    assert_eq!(masked, [1.0, 0.0, 0.0, 1.0].repeat(3));
    let zero = weights("%q, %q, %q, %w, _, _, _, _, %o {heads=2, add_zero_attn=true}", "3,2,3");
    let sums: Vec<f32> = zero.chunks(3).map(|r| r.iter().sum()).collect();
    assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-6) && zero.iter().all(|p| *p > 0.0), "{zero:?}");
    let each = weights("%q, %q, %q, %w, _, _, _, _, %o {heads=2, average_weights=false}", "3,2,2,2");
    let mean = weights("%q, %q, %q, %w, _, _, _, _, %o {heads=2}", "3,2,2");
    for (i, m) in mean.iter().enumerate() {
        let (n, rest) = (i / 4, i % 4);
        assert_eq!(*m, (each[n * 8 + rest] + each[n * 8 + 4 + rest]) / 2.0);
    }
}
