//! `Calibration`: what observers saw and the quantizations that follow, as a value with a text form.
//!
//! ```text
//! $act0 = min -2.1 max 2.64 n 32 -> u8[0:127] scale 0.037322834 zp 56
//! $w0 = min -0.5 max 0.5 n 1 -> i8[-128:127] axis 0 scale [0.0039,0.0021] zp 0
//! ```
//! One line for each observer in the order of its declaration; `n` counts batches, `nonfinite` follows it if any number seen was infinite
//! Empty lines and lines that start with `#` mean nothing. A line may be edited by hand: convert takes
//! the quantization as written.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use quantir_ir::diag::Diag;
use quantir_ir::{Name, Quant, Reason};

use crate::{Error, Stats};

/// What one observer found.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// What it saw.
    pub stats: Stats,
    /// The quantization that follows.
    pub quant: Arc<Quant>,
}

/// Observer name (without `$`) → what it found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Calibration {
    /// The entries in the order of the observers' declarations.
    pub entries: IndexMap<Name, Entry>,
}

impl Calibration {
    /// The quantization of an observer.
    pub fn quant(&self, observer: &str) -> Option<&Arc<Quant>> {
        self.entries.get(observer).map(|e| &e.quant)
    }

    /// Warnings for observers that saw infinities.
    pub fn warnings(&self) -> Vec<Diag> {
        let bad = self.entries.iter().filter(|(_, e)| e.stats.nonfinite > 0);
        bad.map(|(name, e)| {
            let mut d = Diag::error(
                "nonfinite",
                format!("`${name}` saw {} infinite numbers; they were ignored", e.stats.nonfinite),
            );
            d.severity = quantir_ir::Severity::Warning;
            d.help("look for the op that produces them, or for broken calibration data")
        })
        .collect()
    }

    /// Reads the text form. All lines that do not fit are reported at once.
    pub fn parse(text: &str) -> Result<Calibration, Error> {
        let mut c = Calibration::default();
        let mut diags = Vec::new();
        let mut at = 0;
        for (number, line) in text.split('\n').enumerate() {
            let range = at..at + line.len();
            at += line.len() + 1;
            let trimmed = line.trim();
            if trimmed.is_empty() || trimmed.starts_with('#') {
                continue;
            }
            let refused = match parse_line(trimmed) {
                Ok((name, entry)) => match c.entries.insert(name.into(), entry) {
                    None => continue,
                    Some(_) => format!("`${name}` has two lines"),
                },
                Err(e) => e,
            };
            diags.push(
                Diag::error("calibration", refused)
                    .label(range, "here")
                    .note(format!("in line {}", number + 1))
                    .help("a line looks like `$act0 = min 0.0 max 1.0 n 32 -> u8[0:255] scale 0.004 zp 0`"),
            );
        }
        if diags.is_empty() { Ok(c) } else { Err(Error::Text(diags)) }
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, e) in &self.entries {
            write!(f, "${name} = min {:?} max {:?} n {}", e.stats.min, e.stats.max, e.stats.batches)?;
            if e.stats.nonfinite > 0 {
                write!(f, " nonfinite {}", e.stats.nonfinite)?;
            }
            writeln!(f, " -> {}", e.quant)?;
        }
        Ok(())
    }
}

fn parse_line(line: &str) -> Result<(&str, Entry), String> {
    let (name, rest) = line.split_once('=').ok_or("no `=`")?;
    let name = name.trim().strip_prefix('$').ok_or("an observer's name starts with `$`")?;
    let (seen, quant) = rest.split_once("->").ok_or("no `->`")?;
    let mut stats = Stats { min: f32::INFINITY, max: f32::NEG_INFINITY, batches: 0, nonfinite: 0 };
    let mut words = seen.split_whitespace();
    while let Some(key) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{key}` has no value"))?;
        let bad = |_| format!("`{value}` is no number");
        match key {
            "min" => stats.min = value.parse().map_err(|_| bad(()))?,
            "max" => stats.max = value.parse().map_err(|_| bad(()))?,
            "n" => stats.batches = value.parse().map_err(|_| bad(()))?,
            "nonfinite" => stats.nonfinite = value.parse().map_err(|_| bad(()))?,
            _ => return Err(format!("unknown word `{key}`")),
        }
    }
    let quant: Quant = quant.parse().map_err(|e: Reason| e.message)?;
    quant.check(|_| None)?;
    Ok((name, Entry { stats, quant: Arc::new(quant) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;

    const TEXT: &str = "\
$act1 = min 0.0 max 2.2618766 n 32 -> u8[0:127] scale 0.016618658 zp 0
$act2 = min -1e-7 max 3e38 n 4 nonfinite 3 -> u8[0:255] scale 0.5 zp 3
$w0 = min -0.5 max 0.25 n 1 -> i8[-128:127] axis 0 scale [0.0014,0.0015] zp 0
$w1 = min inf max -inf n 0 -> i8[-128:127] axis 1 scale [0.25] zp [4]
$w2 = min -0.5 max 0.25 n 1 -> u8[0:255] axis 0 scale [0.0014,0.0015] zp f32[3.25,-7.5]
";

    #[test]
    fn printing_and_parsing_are_inverse() {
        let c = Calibration::parse(TEXT).unwrap();
        assert_eq!(c.to_string(), TEXT);
        assert_eq!(Calibration::parse(&format!("# by hand\n\n{c}")).unwrap(), c);
        assert_eq!(c.quant("act1").unwrap().per_tensor(), Some((0.016618658, 0)));
        assert_eq!(c.warnings().len(), 1);
    }

    #[test]
    fn lines_that_do_not_fit_are_all_reported() {
        let bad = "$a = min 0 -> u8[0:255] scale 0 zp 0\nb = \n$c = -> u8[0:255] scale 1 zp 300\n$d = -> u8[0:9] scale [1,2] zp 0";
        let Err(Error::Text(d)) = Calibration::parse(bad) else { panic!("refused") };
        let texts: Vec<&str> = d.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(
            texts,
            [
                "scale 0 is not positive and finite",
                "an observer's name starts with `$`",
                "zero point 300 lies outside the range [0:255]",
                "a list of scales needs `axis`",
            ]
        );
    }
}
