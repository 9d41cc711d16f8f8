//! Real zero points in graphs: embedding tables have them, weights of products do not.

use pretty_assertions::assert_eq;
use quantir_ir::interp::run;
use quantir_ir::text::{parse, print};
use quantir_ir::{Elem, Tensor, verify};

const TABLE: &str = "\
qir 1 reference
quant !t = u4[0:15] axis 0 scale [0.1,0.5] zp f32[0.25,20]
graph @main(%x: f32[2,2]) {
  %q = quantize %x : u4!t[2,2]
  %y = dequantize %q : f32[2,2]
  return %y
}
";

#[test]
fn text_checks_and_meaning_know_them() {
    let g = parse(TABLE).unwrap();
    assert_eq!(print(&g), TABLE);
    assert!(verify(&g).is_empty());
    let x = Tensor::f32(&[2, 2], vec![0.5, -1.0, -9.0, 0.0]);
    let y = run(&g, &[x], &mut ()).unwrap();
    assert_eq!(y[0].elem, Elem::F32);
    assert_eq!(y[0].floats().unwrap().to_vec(), [0.475, -0.025, -9.0, -2.5]);
}

#[test]
fn they_are_refused_where_integers_are_needed_or_counts_differ() {
    let messages = |text: &str| match parse(text) {
        Ok(g) => verify(&g).into_iter().map(|d| d.message).collect::<Vec<_>>().join("\n"),
        Err(d) => d.into_iter().map(|d| d.message).collect::<Vec<_>>().join("\n"),
    };
    let short = TABLE.replace("f32[0.25,20]", "f32[0.25]");
    assert!(messages(&short).contains("zero points"), "{}", messages(&short));
    let infinite = TABLE.replace("f32[0.25,20]", "f32[0.25,inf]");
    assert!(messages(&infinite).contains("not finite"), "{}", messages(&infinite));
    let weight = "\
qir 1 integer
quant !x = u8[0:255] scale 0.1 zp 3
quant !w = i8[-128:127] axis 0 scale [0.1,0.5] zp f32[0.25,2]
graph @main(%x: u8!x[1,2], %w: i8!w[2,2]) {
  %y = qlinear %x, %w, _ : u8!x[1,2]
  return %y
}
";
    assert!(messages(weight).contains("integer zero points"), "{}", messages(weight));
}
