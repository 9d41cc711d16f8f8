//! Observers: accumulators that see tensors and give a quantization.
//!
//! One file for each kind and one line in the list below; users add kinds of their own by [`register`]. An observer is a plain value: it can be merged with
//! another that saw later data, and asked for parameters at any time.
//!
//! Only finite numbers count. Infinities are counted ([`Stats::nonfinite`]) and otherwise ignored; asking for parameters when NaN
//! or nothing finite was seen is an error.
//!
//! **Order.** `minmax` does not depend on the order of batches. `moving_average` and `histogram` do, as in
//! PyTorch, so calibration feeds batches in order whatever the number of threads. [`Observer::merge`] joins
//! accumulators of consecutive shards; its result depends only on how batches were cut into shards.

pub mod custom;
pub mod entropy;
pub mod fixed;
pub mod histogram;
pub mod minmax;
pub mod moving_average;
pub mod mse;
pub mod passive;
pub mod percentile;
pub mod recording;
pub mod state;

use std::fmt;

use quantir_ir::ObserverSpec;
use quantir_ir::Quant;
use quantir_ir::diag::did_you_mean;

pub use custom::register;
pub use state::{State, States};

use crate::Error;

/// What an observer reports beside parameters.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stats {
    /// Smallest finite number seen; `+inf` if none.
    pub min: f32,
    /// Largest finite number seen; `−inf` if none. For `moving_average` both are averages.
    pub max: f32,
    /// Non-empty tensors seen.
    pub batches: u64,
    /// NaN and infinite numbers seen.
    pub nonfinite: u64,
}

impl Stats {
    /// Takes in a tensor's numbers; an empty one changes nothing.
    pub fn see(&mut self, data: &[f32]) {
        let seen = minmax::Seen::new(data);
        (self.min, self.max) = (self.min.min(seen.min), self.max.max(seen.max));
        self.nonfinite += seen.infinite + seen.nan;
        self.batches += u64::from(!data.is_empty());
    }
    /// Takes in what others saw later.
    pub fn merge(&mut self, later: &Stats) {
        (self.min, self.max) = (self.min.min(later.min), self.max.max(later.max));
        self.nonfinite += later.nonfinite;
        self.batches += later.batches;
    }

    fn state(&self) -> State {
        State::default()
            .with("min", [self.min.into()])
            .with("max", [self.max.into()])
            .with("batches", [self.batches as f64])
            .with("nonfinite", [self.nonfinite as f64])
    }
    fn restore(s: &State) -> Stats {
        let none = Stats::default();
        Stats {
            min: s.number("min", none.min.into()) as f32,
            max: s.number("max", none.max.into()) as f32,
            batches: s.count("batches"),
            nonfinite: s.count("nonfinite"),
        }
    }
}

impl Default for Stats {
    /// Nothing seen.
    fn default() -> Stats {
        Stats { min: f32::INFINITY, max: f32::NEG_INFINITY, batches: 0, nonfinite: 0 }
    }
}

/// One kind of observer.
pub trait Accumulate: Clone + fmt::Debug + Send + Sync + Sized + 'static {
    /// The word for it in texts.
    const KIND: &'static str;
    /// Its arguments, for messages: `(bins, target_bins)`.
    const ARGS: &'static str;
    /// Whether it only marks a value and never gives parameters.
    const PASSIVE: bool = false;
    /// An accumulator that has seen nothing; fails on arguments that make no sense.
    fn new(spec: &ObserverSpec) -> Result<Self, Error>;
    /// Sees a row-major tensor; an empty one changes nothing.
    fn see(&mut self, data: &[f32], shape: &[usize]);
    /// Takes in what `later` saw, as if after what this one saw.
    fn merge(&mut self, later: Self) -> Result<(), Error>;
    /// The quantization for the integers of `spec`.
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error>;
    /// What was seen.
    fn stats(&self) -> Stats;
    /// All that was accumulated; empty for kinds that cannot be saved.
    fn state(&self) -> State {
        State::default()
    }
    /// The accumulator with this state. Fails if it does not fit the declaration.
    fn restore(spec: &ObserverSpec, state: &State) -> Result<Self, Error> {
        match state.0.is_empty() {
            true => Self::new(spec),
            false => Err(state.unfit(spec, "this kind saves nothing")),
        }
    }
}

/// Declares the closed set of observers from `module::Type` lines.
macro_rules! observers {
    ($($module:ident :: $name:ident),* $(,)?) => {
        /// Any observer.
        #[derive(Clone, Debug)]
        #[allow(missing_docs)]
        pub enum Observer {
            $($name($module::$name),)*
            /// One of a kind that a user registered.
            Custom(custom::Custom),
        }

        impl Observer {
            /// The words of all built-in kinds with their arguments.
            pub const KINDS: &'static [(&'static str, &'static str)] =
                &[$(($module::$name::KIND, $module::$name::ARGS)),*];
            /// A new observer as declared. Fails on an unknown kind, arguments or range that make no sense.
            pub fn new(spec: &ObserverSpec) -> Result<Observer, Error> {
                $(if spec.kind == $module::$name::KIND {
                    if !$module::$name::PASSIVE {
                        crate::scheme::check(spec)?;
                    }
                    return Ok(Observer::$name($module::$name::new(spec)?));
                })*
                custom::new(spec, None).unwrap_or_else(|| Err(unknown(&spec.kind))).map(Observer::Custom)
            }
            /// The word for its kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Observer::$name(_) => $module::$name::KIND,)*
                    Observer::Custom(o) => o.kind(),
                }
            }
            /// Whether it only marks a value and never gives parameters.
            pub fn is_passive(&self) -> bool {
                match self {
                    $(Observer::$name(_) => $module::$name::PASSIVE,)*
                    Observer::Custom(o) => o.is_passive(),
                }
            }
            /// Sees a row-major tensor; an empty one changes nothing.
            pub fn see(&mut self, data: &[f32], shape: &[usize]) {
                match self {
                    $(Observer::$name(o) => o.see(data, shape),)*
                    Observer::Custom(o) => o.see(data, shape),
                }
            }
            /// Takes in what `later` saw, as if after what this one saw. Fails if the kinds or settings differ.
            pub fn merge(&mut self, later: Observer) -> Result<(), Error> {
                match (self, later) {
                    $((Observer::$name(a), Observer::$name(b)) => a.merge(b),)*
                    (Observer::Custom(a), Observer::Custom(b)) => a.merge(b),
                    (a, b) => Err(Error::Merge(a.kind().into(), b.kind().into())),
                }
            }
            /// The quantization for the integers of `spec`. Fails if nothing finite was seen.
            pub fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
                match self {
                    $(Observer::$name(o) => o.params(spec),)*
                    Observer::Custom(o) => o.params(spec),
                }
            }
            /// What was seen.
            pub fn stats(&self) -> Stats {
                match self {
                    $(Observer::$name(o) => o.stats(),)*
                    Observer::Custom(o) => o.stats(),
                }
            }
            /// All that was accumulated, to be saved; empty for kinds that keep nothing.
            pub fn state(&self) -> State {
                match self {
                    $(Observer::$name(o) => o.state(),)*
                    Observer::Custom(o) => o.state(),
                }
            }
            /// The observer with a saved state. Fails if it does not fit the declaration.
            pub fn restore(spec: &ObserverSpec, state: &State) -> Result<Observer, Error> {
                $(if spec.kind == $module::$name::KIND {
                    return Ok(Observer::$name($module::$name::restore(spec, state)?));
                })*
                let custom = custom::new(spec, Some(state));
                custom.unwrap_or_else(|| Err(unknown(&spec.kind))).map(Observer::Custom)
            }
        }
    };
}

observers! {
    minmax::MinMax,
    moving_average::MovingAverage,
    histogram::Histogram,
    percentile::Percentile,
    entropy::Entropy,
    mse::Mse,
    fixed::Fixed,
    passive::Placeholder,
    passive::Noop,
    passive::ReuseInput,
    passive::Identity,
    recording::Recording,
}

fn unknown(kind: &str) -> Error {
    let registered = custom::registered();
    let known = Observer::KINDS.iter().map(|k| k.0).chain(registered.iter().copied());
    Error::Declaration(match did_you_mean(kind, known.clone()) {
        Some(k) => format!("unknown observer `{kind}`; did you mean `{k}`?"),
        None => format!("unknown observer `{kind}`; known are: {}", known.collect::<Vec<_>>().join(", ")),
    })
}

/// Argument `i` of a declaration, or `default`.
fn arg(spec: &ObserverSpec, i: usize, default: f32) -> f32 {
    spec.args.get(i).copied().unwrap_or(default)
}

fn refuse_args(spec: &ObserverSpec, most: usize, usage: &str) -> Result<(), Error> {
    if spec.args.len() > most {
        return Err(Error::Declaration(format!("`{}` takes {usage}", spec.kind)));
    }
    Ok(())
}
