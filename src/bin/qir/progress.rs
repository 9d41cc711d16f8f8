//! Progress bars on standard error; silent when it is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `len` samples with the time left.
pub fn bar(what: &'static str, len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:12} [{bar:40}] {pos}/{len} samples, {eta} left")
        .expect("a valid template")
        .progress_chars("=> ");
    ProgressBar::new(len as u64).with_style(style).with_message(what)
}
