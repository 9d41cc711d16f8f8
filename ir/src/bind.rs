//! Values of symbols for one run, from the shapes of its inputs.

use std::borrow::Cow;

use crate::diag::Diag;
use crate::dim::{Binding, Dim};
use crate::graph::Graph;
use crate::ops::{Op, Slice};
use crate::types::{Shape, Type};

/// Solves the symbols of `g` from the shapes of its inputs.
///
/// A symbol gets its value from each input dimension that is this symbol alone. Fails with an error of kind
/// `input` that names input, dimension and values: if the number of inputs or a rank differs, if a symbol would
/// have two values or one outside its declared range, or if a dimension that is a literal or an expression
/// evaluates to something else.
pub fn bind(g: &Graph, inputs: &[Vec<usize>]) -> Result<Binding, Diag> {
    let declared = g.inputs();
    if declared.len() != inputs.len() {
        return Err(Diag::error(
            "input",
            format!("graph `@{}` takes {}, {} given", g.name, count(declared.len(), "input"), inputs.len()),
        )
        .help(format!("give one tensor for each of: {}", names(g))));
    }
    let mut solved = Binding::new();
    // Where each symbol got its value, for the message about a second one.
    let mut origin: Vec<(usize, usize)> = Vec::new();
    for (i, (&v, shape)) in declared.iter().zip(inputs).enumerate() {
        let want = &g.ty(v).shape;
        if want.rank() != shape.len() {
            return Err(Diag::error(
                "input",
                format!(
                    "input `%{}` has {}, expected {}",
                    g.name_of(v),
                    count(shape.len(), "dimension"),
                    want.rank()
                ),
            )
            .note(format!("declared {want}, given {shape:?}"))
            .help("add or drop dimensions of length 1 so that the ranks agree"));
        }
        for (a, (d, &n)) in want.0.iter().zip(shape).enumerate() {
            let Some(sym) = d.as_sym() else { continue };
            let value = i64::try_from(n).unwrap_or(i64::MAX);
            match solved.get_full(sym) {
                None => {
                    in_range(g, sym, value).map_err(|d| d.note(at(g, i, a)))?;
                    solved.insert(sym.clone(), value);
                    origin.push((i, a));
                }
                Some((k, _, &first)) if first != value => {
                    return Err(Diag::error(
                        "input",
                        format!("`{sym}` is {first} in one input dimension and {value} in another"),
                    )
                    .note(format!("{first} in {}", at(g, origin[k].0, origin[k].1)))
                    .note(format!("{value} in {}", at(g, i, a)))
                    .help(format!("all dimensions declared as `{sym}` must have one length")));
                }
                Some(_) => {}
            }
        }
    }
    for (i, (&v, shape)) in declared.iter().zip(inputs).enumerate() {
        for (a, (d, &n)) in g.ty(v).shape.0.iter().zip(shape).enumerate() {
            let bad = |message: String| Diag::error("input", message).note(at(g, i, a));
            match d.eval(&solved) {
                Ok(want) if usize::try_from(want) == Ok(n) => {}
                Ok(want) => {
                    let what = if d.as_lit().is_some() { String::new() } else { format!("{d} = ") };
                    return Err(bad(format!(
                        "dimension {a} of input `%{}` is {n}, expected {what}{want}",
                        g.name_of(v)
                    ))
                    .help(format!("the input is declared as {}", g.ty(v).shape)));
                }
                Err(why) => {
                    return Err(bad(why)
                        .help("a symbol gets its value from an input dimension that is this symbol alone"));
                }
            }
        }
    }
    Ok(solved)
}

/// Whether `value` lies in the declared range of `sym`.
fn in_range(g: &Graph, sym: &str, value: i64) -> Result<(), Diag> {
    let Some(&(lo, hi)) = g.dims.0.get(sym) else { return Ok(()) };
    if value >= lo && hi.is_none_or(|hi| value <= hi) {
        return Ok(());
    }
    let range = match hi {
        Some(hi) => format!("{lo}..{hi}"),
        None => format!("{lo}.."),
    };
    Err(Diag::error("input", format!("`{sym}` would be {value}, outside its declared range {range}"))
        .help(format!("give another length, or declare a wider range: `dim {sym} = …`")))
}

fn at(g: &Graph, input: usize, axis: usize) -> String {
    let v = g.inputs()[input];
    format!("dimension {axis} of input `%{}` : {}", g.name_of(v), g.ty(v).shape)
}

fn names(g: &Graph) -> String {
    let all: Vec<String> = g.inputs().iter().map(|&v| format!("`%{}`", g.name_of(v))).collect();
    all.join(", ")
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// The type for these values of the symbols. Fails if a symbol has no value or a dimension becomes negative.
pub fn concrete(ty: &Type, b: &Binding) -> Result<Type, String> {
    if ty.shape.0.iter().all(|d| matches!(d, Dim::Lit(n) if *n >= 0)) {
        return Ok(ty.clone());
    }
    let dims: Result<Vec<Dim>, String> = ty
        .shape
        .0
        .iter()
        .map(|d| match d.eval(b)? {
            n if n < 0 => Err(format!("dimension {d} = {n} is negative")),
            n => Ok(Dim::Lit(n)),
        })
        .collect();
    Ok(ty.with_shape(Shape(dims?)))
}

/// The op for these values of the symbols: what its `eval` needs beside its result types.
pub fn concrete_op<'a>(op: &'a Op, b: &Binding) -> Result<Cow<'a, Op>, String> {
    Ok(match op {
        Op::Slice(s) if s.start.as_lit().is_none() || s.end.as_lit().is_none() => {
            let (start, end) = (Dim::Lit(s.start.eval(b)?), Dim::Lit(s.end.eval(b)?));
            Cow::Owned(Slice { start, end, ..s.clone() }.into())
        }
        _ => Cow::Borrowed(op),
    })
}
