//! `qir print` and `qir diff`.

use quantir::ir::{text, view};
use quantir::{Error, file};

use crate::args::{Diff, Print};

pub fn print(a: Print) -> Result<(), Error> {
    let graph = file::load(&a.model)?;
    let out = if a.dot { view::to_dot(&graph) } else { text::print(&graph) };
    crate::out(&out)
}

pub fn diff(a: Diff) -> Result<(), Error> {
    let (x, y) = (file::load(&a.a)?, file::load(&a.b)?);
    crate::out(&text::diff::diff(&text::print(&x), &text::print(&y)))
}
