//! Instruction-set tiers that the kernels are written for.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A tier of kernels, ordered from the least to the most preferred.
///
/// Every tier computes the same bits; only the speed differs. Packed weights record the tier
/// they were laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// Plain Rust, the reference that the other tiers are compared with.
    Scalar,
    /// 256-bit integer vectors; products are widened to 16 bits so that nothing saturates.
    Avx2,
    /// 512-bit vectors with the byte dot product (`avx512f/bw/dq/vl/vnni`).
    Avx512Vnni,
}

impl Isa {
    /// All tiers, least preferred first.
    pub const ALL: [Isa; 3] = [Isa::Scalar, Isa::Avx2, Isa::Avx512Vnni];

    /// The most preferred tier of this machine.
    pub fn detect() -> Isa {
        if Isa::Avx512Vnni.is_available() {
            Isa::Avx512Vnni
        } else if Isa::Avx2.is_available() {
            Isa::Avx2
        } else {
            Isa::Scalar
        }
    }

    /// The tiers this machine can run, least preferred first. Never empty.
    pub fn available() -> Vec<Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
    }

    /// Whether this machine can run the tier.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Isa::Scalar => true,
            Isa::Avx2 => is_x86_feature_detected!("avx2"),
            Isa::Avx512Vnni => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
        }
    }

    /// Whether this machine can run the tier.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Isa::Scalar
    }

    /// This tier if the machine has it, otherwise the best one below that the machine has.
    pub fn or_available(self) -> Isa {
        if self.is_available() { self } else { self.min(Isa::detect()) }
    }

    /// The name used on the command line and in printed plans.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512Vnni => "avx512vnni",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A tier name that does not exist or that this machine cannot run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown or unavailable instruction set `{given}`; this machine has {present}")]
pub struct ParseIsaError {
    given: String,
    present: String,
}

impl FromStr for Isa {
    type Err = ParseIsaError;

    fn from_str(text: &str) -> Result<Isa, ParseIsaError> {
        let present = Isa::available();
        if let Some(&isa) = present.iter().find(|isa| isa.name() == text) {
            return Ok(isa);
        }
        let names: Vec<String> = present.iter().map(|isa| format!("`{isa}`")).collect();
        Err(ParseIsaError { given: text.to_owned(), present: names.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for isa in Isa::available() {
            assert_eq!(isa.to_string().parse::<Isa>(), Ok(isa));
        }
        let error = "sse9".parse::<Isa>().unwrap_err().to_string();
        assert!(error.contains("`sse9`") && error.contains("`scalar`"), "{error}");
    }

    #[test]
    fn detection_is_the_best_available() {
        assert_eq!(Isa::available().last(), Some(&Isa::detect()));
        assert_eq!(Isa::Scalar.or_available(), Isa::Scalar);
        assert!(Isa::Avx512Vnni.or_available() <= Isa::detect());
    }
}
