//! Calibration: runs an observed graph over batches and collects what its observers say.
//!
//! **Determinism.** Each observer sees the batches in their order, whatever the number of threads: a batch that
//! reaches an observer waits there until the batch before it has passed all places of that observer. Batches so
//! follow each other through the graph like trains through stations; since they are claimed in order, the first one
//! never waits, and the result is bit for bit that of one thread.

mod pass;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use quantir_ir::entity::SideTable;
use quantir_ir::graph::Name;
use quantir_ir::interp::Hook;
use quantir_ir::{ObserverSpec, interp};
use quantir_quant::observer::States;
use quantir_quant::{Calibration, Entry, Observer};

use crate::prelude::*;

pub use pass::Calibrate;

/// The observers of a graph during calibration, shared by batches that run at the same time.
pub struct Observers {
    stations: Vec<Station>,
    /// The station of each observed value.
    of: SideTable<ValueId, Option<usize>>,
    failed: AtomicBool,
}

struct Station {
    name: Name,
    spec: ObserverSpec,
    /// Values that it observes in one run.
    places: Vec<ValueId>,
    state: Mutex<State>,
    next: Condvar,
}

struct State {
    observer: Observer,
    /// The batch whose turn it is.
    turn: usize,
    /// Places that this batch has yet to pass.
    left: usize,
}

impl Observers {
    /// New observers as `g` declares them. Those of constants are left out: convert computes them from the constants.
    pub fn new(g: &Graph) -> Result<Observers, Diag> {
        let mut all =
            Observers { stations: Vec::new(), of: SideTable::new(None), failed: AtomicBool::new(false) };
        let mut places: IndexMap<&Name, Vec<ValueId>> = IndexMap::new();
        for n in g.nodes() {
            if let Some(o) = g.get::<Observe>(n)
                && !g.is_const(o.x)
            {
                places.entry(&o.op.by.0).or_default().push(o.out);
            }
        }
        for (name, spec) in &g.observers {
            let Some(places) = places.swap_remove(name) else { continue };
            let observer = Observer::new(spec)
                .map_err(|e| Diag::error("calibration", format!("observer `${name}`: {e}")))?;
            for &v in &places {
                all.of[v] = Some(all.stations.len());
            }
            let state = State { observer, turn: 0, left: places.len() };
            all.stations.push(Station {
                name: name.clone(),
                spec: spec.clone(),
                places,
                state: Mutex::new(state),
                next: Condvar::new(),
            });
        }
        Ok(all)
    }

    /// As [`Observers::new`], going on from saved states; observers without one begin anew.
    ///
    /// # Errors
    /// A state that does not fit its observer, or whose observer the graph does not declare.
    pub fn restore(g: &Graph, states: &States) -> Result<Observers, Diag> {
        let mut all = Observers::new(g)?;
        for (name, state) in &states.entries {
            let unknown = || Diag::error("calibration", format!("the graph observes nothing by `${name}`"));
            let s = all.stations.iter_mut().find(|s| s.name == *name).ok_or_else(unknown)?;
            let observer = Observer::restore(&s.spec, state)
                .map_err(|e| Diag::error("calibration", format!("observer `${name}`: {e}")))?;
            s.state.get_mut().unwrap_or_else(PoisonError::into_inner).observer = observer;
        }
        Ok(all)
    }

    /// What all observers have accumulated; to be saved, looked at, or restored.
    pub fn states(&self) -> States {
        let of = |s: &Station| (s.name.clone(), s.lock().observer.state());
        States { entries: self.stations.iter().map(of).collect() }
    }

    /// The hook for batch number `batch`; each number from 0 must be run once, by one thread after the other or at the
    /// same time if batches are started in order.
    pub fn seat(&self, batch: usize) -> Seat<'_> {
        Seat { all: self, batch }
    }

    /// Wakes all batches that wait, so that they end; for when one has failed.
    fn fail(&self) {
        self.failed.store(true, Ordering::SeqCst);
        for s in &self.stations {
            // The lock makes sure that a batch which is about to wait sees the flag.
            drop(s.lock());
            s.next.notify_all();
        }
    }

    /// What the observers say. Fails for those that saw nothing finite, naming all of them.
    pub fn finish(self, g: &Graph) -> Result<Calibration, Diag> {
        let mut c = Calibration::default();
        let mut bad = Vec::new();
        for s in self.stations {
            let state = s.state.into_inner().unwrap_or_else(PoisonError::into_inner);
            if state.observer.is_passive() {
                continue;
            }
            match state.observer.params(&s.spec) {
                Ok(q) => {
                    let entry = Entry { stats: state.observer.stats(), quant: q.into() };
                    c.entries.insert(s.name, entry);
                }
                Err(e) => {
                    let at = s.places.first().map(|&v| g.name_of(v).to_string()).unwrap_or_default();
                    bad.push(format!("`${}` at `%{at}`: {e}", s.name));
                }
            }
        }
        if bad.is_empty() {
            return Ok(c);
        }
        let message = format!("{} of the observers have no parameters", bad.len());
        Err(bad.into_iter().fold(Diag::error("calibration", message), Diag::note))
    }
}

impl Station {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state once it is the turn of `batch`; `None` if calibration has failed meanwhile.
    fn turn(&self, batch: usize, failed: &AtomicBool) -> Option<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while state.turn < batch {
            if failed.load(Ordering::SeqCst) {
                return None;
            }
            state = self.next.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some(state)
    }

    fn pass_on(&self, state: &mut State) {
        state.turn += 1;
        state.left = self.places.len();
        self.next.notify_all();
    }
}

/// A batch's hook: shows observed values to the observers when it is the batch's turn.
pub struct Seat<'a> {
    all: &'a Observers,
    batch: usize,
}

impl Hook for Seat<'_> {
    fn wants(&mut self, _g: &Graph, v: ValueId) -> bool {
        self.all.of[v].is_some()
    }
    /// Only parameters along an axis depend on where elements lie.
    fn ordered(&mut self, _g: &Graph, v: ValueId) -> bool {
        self.all.of[v].is_none_or(|i| self.all.stations[i].spec.axis.is_some())
    }
    fn value(&mut self, _g: &Graph, v: ValueId, t: &Tensor) {
        let Some(station) = self.all.of[v].map(|i| &self.all.stations[i]) else { return };
        let Some(mut state) = station.turn(self.batch, &self.all.failed) else { return };
        if state.turn > self.batch {
            return;
        }
        // Observed values are `f32`, which the verifier makes sure of.
        if let Ok(data) = t.floats() {
            state.observer.see(&data, &t.shape);
        }
        state.left -= 1;
        if state.left == 0 {
            station.pass_on(&mut state);
        }
    }
}

impl Seat<'_> {
    /// Ends the batch: observers that it did not reach wait for it no longer.
    pub fn finish(self) {
        for s in &self.all.stations {
            if let Some(mut state) = s.turn(self.batch, &self.all.failed)
                && state.turn == self.batch
            {
                s.pass_on(&mut state);
            }
        }
    }
}

/// Calibrates `g` over batches, each the graph's inputs, by `run`: the interpreter or any executor that takes a hook.
///
/// Batches run on `threads` threads; the result does not depend on how many. Fails with the first error of the batches or of
/// `run`, in the order of batches, or if an observer saw nothing finite.
pub fn calibrate<B, R>(g: &Graph, batches: B, threads: usize, run: R) -> Result<Calibration, Diag>
where
    B: IntoIterator<Item = Result<Vec<Tensor>, Diag>>,
    B::IntoIter: Send,
    R: Fn(&[Tensor], &mut Seat<'_>) -> Result<(), Diag> + Sync,
{
    let observers = Observers::new(g)?;
    let source = Mutex::new(batches.into_iter().enumerate());
    let error: Mutex<Option<(usize, Diag)>> = Mutex::new(None);
    let work = || {
        loop {
            if observers.failed.load(Ordering::SeqCst) {
                return;
            }
            // Claiming and numbering under one lock keeps the order of starts that turns rely on.
            let claimed = source.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((batch, inputs)) = claimed else { return };
            let mut seat = observers.seat(batch);
            let done = inputs.and_then(|inputs| run(&inputs, &mut seat));
            match done {
                Ok(()) => seat.finish(),
                Err(d) => {
                    let mut first = error.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|(b, _)| batch < *b) {
                        *first = Some((batch, d.note(format!("in calibration batch {batch}"))));
                    }
                    drop(first);
                    observers.fail();
                    return;
                }
            }
        }
    };
    match threads {
        0 | 1 => work(),
        _ => std::thread::scope(|s| (0..threads).for_each(|_| drop(s.spawn(work)))),
    }
    if let Some((_, d)) = error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(d);
    }
    observers.finish(g)
}

/// [`calibrate`] by the reference interpreter, which is slow.
pub fn calibrate_by_interpreter<B>(g: &Graph, batches: B, threads: usize) -> Result<Calibration, Diag>
where
    B: IntoIterator<Item = Result<Vec<Tensor>, Diag>>,
    B::IntoIter: Send,
{
    calibrate(g, batches, threads, |inputs, seat| {
        interp::run(g, inputs, seat).map(|_| ()).map_err(|e| e.diag().clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quantir_ir::{Loc, Storage};

    /// `x` seen by `$a` at two places and by `$b` once.
    fn observed() -> Graph {
        let mut g = Graph::new("main", Phase::Observed);
        let x = g.input("x", Type::f32(&[4]));
        let observe = |g: &mut Graph, x, by: &str| {
            let by = ops::observe::ObserverName(by.into());
            g.push(Observe { by }, [x], "o", Loc::default()).unwrap()
        };
        let a = observe(&mut g, x, "a");
        let y = g.push(Neg {}, [a], "y", Loc::default()).unwrap();
        let b = observe(&mut g, y, "b");
        let c = observe(&mut g, b, "a");
        g.output("c", c);
        for (name, kind) in [("a", "moving_average"), ("b", "histogram")] {
            let spec = ObserverSpec::new(kind, Storage::U8);
            g.observers.insert(name.into(), spec);
        }
        g
    }

    fn batches(n: usize) -> Vec<Result<Vec<Tensor>, Diag>> {
        (0..n)
            .map(|i| {
                Ok(vec![Tensor::f32(&[4], (0..4).map(|k| ((i * 37 + k * 11) % 23) as f32 - 7.5).collect())])
            })
            .collect()
    }

    #[test]
    fn any_number_of_threads_gives_the_same_calibration() {
        let g = observed();
        let one = calibrate_by_interpreter(&g, batches(40), 1).unwrap();
        assert_eq!(one.entries["a"].stats.batches, 80);
        for threads in [2, 3, 8] {
            assert_eq!(calibrate_by_interpreter(&g, batches(40), threads).unwrap(), one);
        }
    }

    /// T43, T51: calibration goes on from states that were saved as text.
    #[test]
    fn saved_states_go_on() {
        let g = observed();
        let show = |o: &Observers, batches: Vec<Result<Vec<Tensor>, Diag>>| {
            for (i, b) in batches.into_iter().enumerate() {
                let mut seat = o.seat(i);
                interp::run(&g, &b.unwrap(), &mut seat).unwrap();
                seat.finish();
            }
        };
        let whole = Observers::new(&g).unwrap();
        show(&whole, batches(9));
        let mut rest = batches(9);
        let late = rest.split_off(4);
        let first = Observers::new(&g).unwrap();
        show(&first, rest);
        let text = first.states().to_string();
        let second = Observers::restore(&g, &States::parse(&text).unwrap()).unwrap();
        show(&second, late);
        assert_eq!(second.states(), whole.states());
        assert_eq!(second.finish(&g).unwrap(), whole.finish(&g).unwrap());
        assert!(Observers::restore(&g, &States::parse("$zz : min [0]").unwrap()).is_err());
    }

    #[test]
    fn a_failing_batch_ends_calibration() {
        let g = observed();
        for threads in [1, 4] {
            let mut all = batches(20);
            all[7] = Err(Diag::error("data", "no such file"));
            let e = calibrate_by_interpreter(&g, all, threads).unwrap_err();
            assert_eq!(e.message, "no such file");
            assert_eq!(e.notes, ["in calibration batch 7"]);
        }
        let e = calibrate_by_interpreter(&g, batches(0), 2).unwrap_err();
        assert!(e.notes[0].contains("`$a` at `%o`: the observer saw no data"), "{e}");
    }
}
