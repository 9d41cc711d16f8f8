//! How much a model file may ask for before it is refused.

use crate::Error;

/// Limits of an import, checked before memory is reserved.
///
/// The defaults load every model of a million nodes with ordinary attributes and refuse files that only exist to fill
/// memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nodes of the model, those of subgraphs and functions included.
    pub nodes: u64,
    /// Memory of the decoded structure (everything but weights), in bytes.
    pub structure_bytes: u64,
    /// The structure may need at most this many times its bytes in the file, plus 64 MiB.
    pub structure_ratio: u64,
    /// Nesting of messages; three levels for each nested subgraph.
    pub depth: usize,
    /// Dimensions of a tensor.
    pub rank: usize,
    /// Memory of constants that are not views of the file: typed fields, converted and computed constants, in bytes.
    pub constant_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            nodes: 1_000_000,
            structure_bytes: 4 << 30,
            structure_ratio: 64,
            depth: 64,
            rank: 16,
            constant_bytes: 4 << 30,
        }
    }
}

/// What an import has used of [`Limits::constant_bytes`].
#[derive(Debug)]
pub struct Budget {
    left: u64,
    limit: u64,
}

impl Budget {
    /// The full budget of `limits`.
    pub fn new(limits: &Limits) -> Budget {
        Budget { left: limits.constant_bytes, limit: limits.constant_bytes }
    }

    /// Takes `bytes` for `what`, or says that they are too many.
    pub fn charge(&mut self, bytes: u64, what: &str) -> Result<(), Error> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::Limit {
                what: format!("bytes of constants in memory, with {what}"),
                limit: self.limit,
                found: (self.limit - self.left).saturating_add(bytes),
                cure: "store large weights as raw or external data, or raise `Limits::constant_bytes`".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_refuses_what_it_does_not_have() {
        let mut budget = Budget::new(&Limits { constant_bytes: 10, ..Limits::default() });
        assert!(budget.charge(6, "a").is_ok());
        let text = budget.charge(6, "`b`").unwrap_err().to_string();
        assert!(text.contains("found 12, the limit is 10"), "{text}");
        assert!(budget.charge(u64::MAX, "c").is_err());
        assert!(budget.charge(4, "d").is_ok());
    }
}
