//! Runs a graph: plans by input shape, memory by run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quantir_ir::interp::Hook;
use quantir_ir::{Graph, NodeId, Reason, Tensor};

use crate::error::RuntimeError;
use crate::plan::{Context, Memory, Plan, PlanOptions, StepInfo};

/// Plans that are kept; the one that was not used for the longest time goes first.
const PLANS_KEPT: usize = 16;

/// A graph that is ready to run, from several threads at once if need be.
///
/// Plans are made when input shapes are first met and kept; each run at the same time has memory of its own.
/// Results depend on no number of threads.
pub struct Executor {
    graph: Arc<Graph>,
    options: PlanOptions,
    pool: Option<rayon::ThreadPool>,
    plans: Mutex<Vec<Arc<Entry>>>,
}

struct Entry {
    shapes: Vec<Vec<usize>>,
    plan: Arc<Plan>,
    idle: Mutex<Vec<Context>>,
}

/// The time that one step took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// The step.
    pub step: StepInfo,
    /// The shortest time over all rounds.
    pub time: Duration,
}

impl Executor {
    /// An executor for `graph`. Fails if the threads cannot be started.
    pub fn new(graph: Arc<Graph>, options: PlanOptions) -> Result<Executor, RuntimeError> {
        let count = options.threads.max(1);
        let pool = match count {
            1 => None,
            _ => Some(
                rayon::ThreadPoolBuilder::new()
                    .num_threads(count)
                    .build()
                    .map_err(|e| RuntimeError::Threads { count, reason: e.to_string() })?,
            ),
        };
        Ok(Executor { graph, options, pool, plans: Mutex::new(Vec::new()) })
    }

    /// The graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The plan for inputs of these shapes.
    pub fn plan(&self, shapes: &[Vec<usize>]) -> Result<Arc<Plan>, RuntimeError> {
        Ok(self.entry(shapes)?.plan.clone())
    }

    fn entry(&self, shapes: &[Vec<usize>]) -> Result<Arc<Entry>, RuntimeError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(i) = plans.iter().position(|e| e.shapes == shapes) {
            let entry = plans.remove(i);
            plans.push(entry.clone());
            return Ok(entry);
        }
        let plan = Arc::new(Plan::build(&self.graph, shapes, &self.options)?);
        let entry = Arc::new(Entry { shapes: shapes.to_vec(), plan, idle: Mutex::new(Vec::new()) });
        if plans.len() >= PLANS_KEPT {
            plans.remove(0);
        }
        plans.push(entry.clone());
        Ok(entry)
    }

    /// Calls `f` with the plan for these inputs and memory to run in.
    fn with<R>(
        &self,
        inputs: &[Tensor],
        f: impl FnOnce(&Plan, &mut Context) -> Result<R, RuntimeError>,
    ) -> Result<R, RuntimeError> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
        let entry = self.entry(&shapes)?;
        let idle = entry.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut context = idle.unwrap_or_else(|| entry.plan.context());
        let result = f(&entry.plan, &mut context);
        entry.idle.lock().unwrap_or_else(PoisonError::into_inner).push(context);
        result
    }

    /// The outputs for these inputs.
    ///
    /// Fails if elements or dimensions of an input are not those that the graph declares, and if a step meets
    /// values that its op refuses.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, RuntimeError> {
        self.with(inputs, |plan, context| {
            let mut run = || plan.execute(context, inputs, None, |_, _| Ok(()));
            let result = match &self.pool {
                Some(pool) => pool.install(&mut run),
                None => run(),
            };
            result.map_err(|f| self.failure(f))
        })
    }

    /// As [`Executor::run`] with a hook that sees the values that it wants as soon as they are computed, in the
    /// graph's order. A value is shown as the row-major tensor that the interpreter would show, unless the hook says that the
    /// places of its elements do not matter ([`Hook::ordered`]); values that are
    /// not wanted cost nothing.
    pub fn run_with_hook(
        &self,
        inputs: &[Tensor],
        hook: &mut impl Hook,
    ) -> Result<Vec<Tensor>, RuntimeError> {
        let g = &self.graph;
        self.with(inputs, |plan, context| {
            let after = |steps: usize, memory: &Memory| {
                let values = match (steps, plan.node_of_step(steps)) {
                    (0, _) => g.inputs(),
                    (_, Some(n)) => {
                        hook.node(g, n);
                        &g.node(n).outs
                    }
                    _ => return Ok(()),
                };
                for &v in values {
                    if hook.wants(g, v)
                        && let Some(t) = memory.value(v, hook.ordered(g, v))
                    {
                        hook.value(g, v, &t?);
                    }
                }
                Ok(())
            };
            plan.execute(context, inputs, self.pool.as_ref(), after).map_err(|f| self.failure(f))
        })
    }

    /// The shortest time of each step over `rounds` runs.
    pub fn profile(&self, inputs: &[Tensor], rounds: usize) -> Result<Vec<StepTime>, RuntimeError> {
        self.with(inputs, |plan, context| {
            let mut times: Vec<Duration> = Vec::new();
            let mut run = || {
                for _ in 0..rounds.max(1) {
                    let mut last = Instant::now();
                    let after = |steps: usize, _: &Memory| {
                        let now = Instant::now();
                        if times.len() <= steps {
                            times.resize(steps + 1, Duration::MAX);
                        }
                        times[steps] = times[steps].min(now - last);
                        last = Instant::now();
                        Ok(())
                    };
                    plan.execute(context, inputs, None, after)?;
                }
                Ok(())
            };
            let result = match &self.pool {
                Some(pool) => pool.install(&mut run),
                None => run(),
            };
            result.map_err(|f| self.failure(f))?;
            let steps = times.iter().enumerate();
            Ok(steps.filter_map(|(i, &time)| Some(StepTime { step: plan.step_info(i)?, time })).collect())
        })
    }

    fn failure(&self, (node, reason): (Option<NodeId>, Reason)) -> RuntimeError {
        match node {
            None => RuntimeError::Inputs(reason),
            Some(n) => {
                let node = self.graph.node(n);
                let value = node.outs.first().map_or("", |&v| self.graph.name_of(v));
                let note = format!("in `{}` that computes `%{value}`", node.op.name());
                RuntimeError::Step(reason.diag("run").note(note).at(&node.loc))
            }
        }
    }
}
