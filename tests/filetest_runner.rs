//! The filetest runner itself: what it refuses, and what it writes.

use quantir_passes::Registry;
use quantir_passes::prelude::*;

#[path = "support/filetest.rs"]
mod filetest;

const GRAPH: &str = "\
qir 1 float
graph @main(%x: f32[2]) {
  %a = identity %x : f32[2]
  %y = relu %a : f32[2]
  return %y
}
";
const EXPECT: &str = "\
// ---- expect diff
//   qir 1 float
//   graph @main(%x: f32[2]) {
// -   %a = identity %x : f32[2]
// -   %y = relu %a : f32[2]
// +   %y = relu %x : f32[2]
//     return %y
//   }
";

/// Turns relu into neg and back, so it neither keeps the meaning nor comes to rest.
struct Flips;
impl Pass for Flips {
    fn info(&self) -> &PassInfo {
        const INFO: PassInfo = PassInfo::new("flips", "Turn relu into neg and neg into relu").approximate();
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &mut PassCx) -> Result<Changed, Diag> {
        let n = g.nodes().last().expect("a node");
        let op: Op = if g.get::<Relu>(n).is_some() { Neg {}.into() } else { Relu {}.into() };
        let edit = Edit::fuse(g, g.node(n).outs[0], n, op).expect("an edit");
        Ok(Changed::from(cx.apply(g, "flips", n, edit)?.is_some()))
    }
}
struct Wrong;
impl Rewrite for Wrong {
    const INFO: PassInfo = PassInfo::new("wrong", "Turn relu into neg");
    fn rewrite(&self, g: &Graph, at: NodeId) -> Option<Edit> {
        Edit::fuse(g, g.get::<Relu>(at)?.out, at, Neg {})
    }
}

fn run(text: &str, bless: bool) -> Result<Option<String>, String> {
    filetest::run(text, &Registry::standard().with(&Flips).with(&Wrong), bless)
}

#[test]
fn blessing_writes_the_difference_and_nothing_else() {
    let head = format!("// RUN: identity\n// CHECK: + %y = relu %x\n{GRAPH}");
    let whole = format!("{head}{EXPECT}");
    let missing = run(&head, false).unwrap_err();
    assert!(
        missing.contains("no difference is expected yet") && missing.contains("QIR_BLESS=1"),
        "{missing}"
    );
    assert_eq!(run(&head, true).unwrap().as_deref(), Some(whole.as_str()));
    assert_eq!(run(&whole, false), Ok(None));
    assert_eq!(run(&whole, true), Ok(None));
    // A second case inherits the pipeline; the first stays as it is.
    let two = format!("{whole}// ----\n{GRAPH}");
    assert_eq!(run(&two, true).unwrap(), Some(format!("{two}{EXPECT}")));
    let stale = whole.replace("// -   %a", "// -   %b");
    let message = run(&stale, false).unwrap_err();
    assert!(
        message.contains("- // -   %b = identity") && message.contains("+ // -   %a = identity"),
        "{message}"
    );
}

#[test]
fn a_wrong_blessing_fails_all_the_same() {
    for (directive, message) in [
        ("CHECK: batch_norm", "CHECK: batch_norm\nnot found"),
        ("CHECK-NOT: + %y = relu", "CHECK-NOT: + %y = relu\nbut found"),
        ("REJECT: has other uses", "REJECT: has other uses\nnot found"),
        ("EVAL: none", "but the graph can be evaluated"),
    ] {
        let text = format!("// RUN: identity\n// {directive}\n{GRAPH}{EXPECT}");
        let e = run(&text, true).unwrap_err();
        assert!(e.contains(message), "{directive}: {e}");
    }
    // What went is no part of the result.
    run(&format!("// RUN: identity\n// CHECK-NOT: identity\n{GRAPH}{EXPECT}"), false).unwrap();
}

#[test]
fn meaning_rest_and_diagnostics_are_held_to() {
    let wrong = run(&format!("// RUN: wrong\n{GRAPH}"), true).unwrap_err();
    assert!(wrong.contains("the meaning changed") && wrong.contains("promises equal bits"), "{wrong}");
    let flips = run(&format!("// RUN: flips\n{GRAPH}"), true).unwrap_err();
    assert!(flips.contains("a second run changes the graph again"), "{flips}");
    let bad = GRAPH.replace("relu %a", "rellu %a");
    assert!(run(&bad, true).unwrap_err().contains("unknown op `rellu`"));
    let marked = bad.replace("rellu %a : f32[2]", "rellu %a : f32[2] //~ error[unknown-op]: unknown op");
    assert_eq!(run(&marked, false), Ok(None));
    let other = marked.replace("//~ error[unknown-op]", "//~ error[type]");
    assert!(run(&other, false).unwrap_err().contains("line 4: expected `error[type]"));
    let well = GRAPH.replace("return %y", "return %y //~ error[type]: no such thing");
    assert!(run(&well, false).unwrap_err().contains("but all went well"));
}
