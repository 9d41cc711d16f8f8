//! Conformance with PyTorch: every case of the golden vectors gives the recorded result, or has a line in
//! `docs/deviations.md`.
//!
//! # Adding an area
//!
//! One module for each area of the golden data, named as its folder, with one test:
//!
//! ```ignore
//! use crate::{deviations::Area, reader::Golden};
//!
//! #[test]
//! fn every_case() {
//!     let Some(golden) = Golden::open("observers") else { return }; // absent: neither vendored nor in QUANTIR_ZOO
//!     let mut area = Area::new("observers");
//!     for case in golden.cases() {
//!         area.case(case.id(), |parts| {
//!             let x = case.at("x").tensor();                    // panics count as failures of the case
//!             let want = case.at("y").tensor();
//!             parts.add("special", compare_special(&x, &want)); // a part has a deviation line of its own: `id:special`
//!             compare(&x, &want)                                // Result<(), String>: the case itself
//!         });
//!     }
//!     area.finish(); // prints `observers: N passed, M deviations`, fails if a case failed or a line is stale
//! }
//! ```
//!
//! Data is read from `tests/golden/<area>` if it lies there, else from `$QUANTIR_ZOO/golden/<area>`.

// Each area uses some of the accessors.
#[allow(dead_code)]
mod deviations;
#[allow(dead_code)]
mod reader;

mod backend_config;
mod eager;
mod fusion;
mod fx;
mod kernels;
mod numeric_suite;
mod observers;
mod pt2e;
mod qconfigs;
mod quantize;
