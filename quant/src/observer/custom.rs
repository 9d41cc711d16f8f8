//! Kinds of observers that users add: [`register`] makes every part of the compiler know them by their word.
//!
//! A kind of a user's is written exactly as the built-in ones, by implementing [`Accumulate`]; one call of [`register`] at the start of
//! a program opens texts, recipes, qconfigs and calibration to it. See `examples/custom_observer.rs`.
//!
//! Which kinds are known is the only state that a process shares. It can only grow, and a word never changes its
//! meaning, so results cannot depend on the order of registrations.

use std::any::{Any, TypeId};
use std::fmt::Debug;
use std::sync::{PoisonError, RwLock};

use quantir_ir::{ObserverSpec, Quant};

use crate::Error;
use crate::observer::{Accumulate, Observer, State, Stats};

/// An observer of a registered kind.
#[derive(Debug)]
pub struct Custom(Box<dyn Erased>);

/// [`Accumulate`] without its type.
trait Erased: Debug + Send + Sync {
    fn kind(&self) -> &'static str;
    fn passive(&self) -> bool;
    fn copy(&self) -> Box<dyn Erased>;
    fn any(self: Box<Self>) -> Box<dyn Any>;
    fn as_any(&self) -> &dyn Any;
    fn see(&mut self, data: &[f32], shape: &[usize]);
    fn merge(&mut self, later: Box<dyn Any>) -> Result<(), Error>;
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error>;
    fn stats(&self) -> Stats;
    fn state(&self) -> State;
}

impl<T: Accumulate> Erased for T {
    fn kind(&self) -> &'static str {
        T::KIND
    }
    fn passive(&self) -> bool {
        T::PASSIVE
    }
    fn copy(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }
    fn any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn see(&mut self, data: &[f32], shape: &[usize]) {
        Accumulate::see(self, data, shape);
    }
    fn merge(&mut self, later: Box<dyn Any>) -> Result<(), Error> {
        match later.downcast::<T>() {
            Ok(later) => Accumulate::merge(self, *later),
            Err(_) => Err(Error::Merge(T::KIND.into(), "an observer of another kind".into())),
        }
    }
    fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        Accumulate::params(self, spec)
    }
    fn stats(&self) -> Stats {
        Accumulate::stats(self)
    }
    fn state(&self) -> State {
        Accumulate::state(self)
    }
}

impl Clone for Custom {
    fn clone(&self) -> Custom {
        Custom(self.0.copy())
    }
}

impl Custom {
    pub(super) fn kind(&self) -> &'static str {
        self.0.kind()
    }
    pub(super) fn is_passive(&self) -> bool {
        self.0.passive()
    }
    pub(super) fn see(&mut self, data: &[f32], shape: &[usize]) {
        self.0.see(data, shape);
    }
    pub(super) fn merge(&mut self, later: Custom) -> Result<(), Error> {
        if self.kind() != later.kind() {
            return Err(Error::Merge(self.kind().into(), later.kind().into()));
        }
        self.0.merge(later.0.any())
    }
    pub(super) fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
        self.0.params(spec)
    }
    pub(super) fn stats(&self) -> Stats {
        self.0.stats()
    }
    pub(super) fn state(&self) -> State {
        self.0.state()
    }
    /// The observer itself, if it is of this type.
    pub fn get<T: Accumulate>(&self) -> Option<&T> {
        self.0.as_any().downcast_ref()
    }
}

struct Kind {
    word: &'static str,
    passive: bool,
    id: TypeId,
    new: fn(&ObserverSpec) -> Result<Custom, Error>,
    restore: fn(&ObserverSpec, &State) -> Result<Custom, Error>,
}

static KINDS: RwLock<Vec<Kind>> = RwLock::new(Vec::new());

/// Makes the kind `T` known by its word [`Accumulate::KIND`]. Doing so twice changes nothing.
///
/// Fails if the word is not of lower-case letters, digits and `_`, or if another kind has it.
pub fn register<T: Accumulate>() -> Result<(), Error> {
    let word = T::KIND;
    let refuse =
        |why: &str| Err(Error::Declaration(format!("observer `{word}` cannot be registered: {why}")));
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !(word.starts_with(|c: char| c.is_ascii_lowercase()) && word.chars().all(letters)) {
        return refuse("its word has other characters than lower-case letters, digits and `_`");
    }
    if Observer::KINDS.iter().any(|(k, _)| *k == word) {
        return refuse("a built-in kind has this word");
    }
    let mut kinds = KINDS.write().unwrap_or_else(PoisonError::into_inner);
    match kinds.iter().find(|k| k.word == word) {
        Some(k) if k.id == TypeId::of::<T>() => return Ok(()),
        Some(_) => return refuse("another type has this word"),
        None => {}
    }
    kinds.push(Kind {
        word,
        passive: T::PASSIVE,
        id: TypeId::of::<T>(),
        new: |spec| Ok(Custom(Box::new(T::new(spec)?))),
        restore: |spec, state| Ok(Custom(Box::new(T::restore(spec, state)?))),
    });
    Ok(())
}

/// A new observer of a registered kind; `None` if there is no such kind.
pub(super) fn new(spec: &ObserverSpec, state: Option<&State>) -> Option<Result<Custom, Error>> {
    let kinds = KINDS.read().unwrap_or_else(PoisonError::into_inner);
    let k = kinds.iter().find(|k| k.word == spec.kind)?;
    let (passive, new, restore) = (k.passive, k.new, k.restore);
    // The kind's own code must not run under the lock.
    drop(kinds);
    let checked = if passive { Ok(()) } else { crate::scheme::check(spec) };
    Some(checked.and_then(|()| match state {
        None => new(spec),
        Some(state) => restore(spec, state),
    }))
}

/// The words of all registered kinds.
pub fn registered() -> Vec<&'static str> {
    KINDS.read().unwrap_or_else(PoisonError::into_inner).iter().map(|k| k.word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObserverTemplate;
    use crate::scheme::quant_from_range;
    use quantir_ir::Storage;

    /// The largest magnitude, both ways.
    #[derive(Clone, Debug)]
    struct AbsMax(f32);

    impl Accumulate for AbsMax {
        const KIND: &'static str = "abs_max";
        const ARGS: &'static str = "no arguments";
        fn new(_spec: &ObserverSpec) -> Result<Self, Error> {
            Ok(AbsMax(0.0))
        }
        fn see(&mut self, data: &[f32], _shape: &[usize]) {
            self.0 = data.iter().fold(self.0, |m, x| m.max(x.abs()));
        }
        fn merge(&mut self, later: Self) -> Result<(), Error> {
            self.0 = self.0.max(later.0);
            Ok(())
        }
        fn params(&self, spec: &ObserverSpec) -> Result<Quant, Error> {
            quant_from_range(spec, &[-self.0], &[self.0])
        }
        fn stats(&self) -> Stats {
            Stats { min: -self.0, max: self.0, ..Stats::default() }
        }
    }

    /// Takes the word of another type.
    #[derive(Clone, Debug)]
    struct Thief;

    impl Accumulate for Thief {
        const KIND: &'static str = "abs_max";
        const ARGS: &'static str = "";
        fn new(_spec: &ObserverSpec) -> Result<Self, Error> {
            Ok(Thief)
        }
        fn see(&mut self, _data: &[f32], _shape: &[usize]) {}
        fn merge(&mut self, _later: Self) -> Result<(), Error> {
            Ok(())
        }
        fn params(&self, _spec: &ObserverSpec) -> Result<Quant, Error> {
            Err(Error::NoData)
        }
        fn stats(&self) -> Stats {
            Stats::default()
        }
    }

    #[test]
    fn a_registered_kind_is_as_good_as_a_built_in_one() {
        register::<AbsMax>().unwrap();
        register::<AbsMax>().unwrap();
        assert!(register::<Thief>().unwrap_err().to_string().contains("another type"));
        let t: ObserverTemplate = "abs_max i8[-127:127] symmetric".parse().unwrap();
        let spec = t.spec(0);
        let mut a = Observer::new(&spec).unwrap();
        let mut b = a.clone();
        a.see(&[1.0, -2.0], &[2]);
        b.see(&[3.0], &[1]);
        a.merge(b).unwrap();
        assert_eq!((a.kind(), a.params(&spec).unwrap().per_tensor()), ("abs_max", Some((3.0 / 127.0, 0))));
        let minmax = Observer::new(&ObserverSpec::new("minmax", Storage::U8)).unwrap();
        assert!(a.merge(minmax).is_err());
        assert_eq!(registered(), ["abs_max"]);
        let e = Observer::new(&ObserverSpec::new("abs_mix", Storage::U8)).unwrap_err().to_string();
        assert!(e.contains("did you mean `abs_max`"), "{e}");
    }
}
