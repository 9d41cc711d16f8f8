//! Observers that see nothing and give no parameters: they say how a value is to be treated.

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::{Accumulate, Stats, refuse_args};

macro_rules! passive {
    ($($(#[$doc:meta])* $name:ident = $kind:literal, $does:literal;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name;

        impl Accumulate for $name {
            const KIND: &'static str = $kind;
            const ARGS: &'static str = "no arguments";
            const PASSIVE: bool = true;

            fn new(spec: &ObserverSpec) -> Result<Self, Error> {
                refuse_args(spec, 0, Self::ARGS)?;
                Ok($name)
            }
            fn see(&mut self, _data: &[f32], _shape: &[usize]) {}
            fn merge(&mut self, _later: Self) -> Result<(), Error> {
                Ok(())
            }
            fn params(&self, _spec: &ObserverSpec) -> Result<Quant, Error> {
                Err(Error::Passive { kind: $kind, does: $does })
            }
            fn stats(&self) -> Stats {
                Stats::default()
            }
        })*
    };
}

passive! {
    /// Says which numbers a value is to be converted to: `float16`, or integers whose parameters follow from each run's data (PyTorch's
    /// `PlaceholderObserver`).
    Placeholder = "placeholder", "says how a value is converted when the model runs";
    /// Marks a value that is left alone (PyTorch's `NoopObserver`).
    Noop = "noop", "leaves the value as it is";
    /// Marks a result that has the parameters of the op's input (PyTorch's `ReuseInputObserver`).
    ReuseInput = "reuse_input", "takes the parameters of the op's input";
    /// No observer (`torch.nn.Identity` in a qconfig).
    Identity = "identity", "leaves the value as it is";
}
