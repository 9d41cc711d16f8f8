//! The text format: [`print()`] and [`parse()`] are inverse.
//!
//! Line-oriented: a header, declarations, then one node per line.
//!
//! ```text
//! qir 1 <phase>
//! dim N = 1..64
//! quant !name = i8[-128:127] scale 0.5 zp 0 | axis 0 [group 32] scale [..] zp 0 | product(!a, !b) | dynamic
//! module @module.path = "class"
//! observer $name = kind(args) u8[0:127] affine | symmetric(axis)
//! graph @main(%x: f32[N,3], ...) {
//!   %a, %b = op %x, _, %y {attribute=value} : type, type @module.path by "call"
//!   return %a, %b as "name"
//! }
//! ```
//!
//! `_` stands for an absent optional operand, `//` starts a comment, attributes equal to their default are left
//! out. Names of letters, digits, `_` and `.` stand bare, all others in quotes: `%"a/b:0"`. Values are stored
//! under bare names that may collide; [`Names`] adds `.1`, `.2` among live values, so that the text is unique.
//!
//! **Invariant.** `print(parse(print(g))) == print(g)` to the byte, for every graph whose constants are found
//! again. Floats print in shortest round-trip form; NaN payloads and fused paths are not printed.

mod decl;
pub mod diff;
mod example;
mod lex;
mod names;
mod node;
mod parse;
mod print;
mod quant;
mod quote;
mod source;
mod types;
mod value;

pub use diff::diff;
pub use example::parse_example;
pub use names::Names;
pub use parse::{Blobs, MAX_ERRORS, Options, Parsed, parse, parse_keeping_blobs, parse_source, parse_with};
pub use print::{print, print_to, print_type};
pub use quote::{is_bare, is_symbol, number, quoted, sigil};
pub use source::{NodePlaces, SourceMap};

pub(crate) use example::dims_in;
pub(crate) use names::{nodes_in_order, quant_names};
pub(crate) use node::count;
pub(crate) use parse::suggest;
