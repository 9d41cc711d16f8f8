//! The manager: a loop over the passes of a pipeline, with instrumentation around each.

use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use quantir_ir::text::{diff, print};
use quantir_ir::verify::verify;
use quantir_ir::{Diag, Graph};

use crate::check::same_meaning;
use crate::pass::{Changed, EditRecord, Options, Pass, PassCx};
use crate::pipeline::{Item, Pipeline};

/// When the manager prints the graph around a pass.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub enum Print {
    /// Never.
    #[default]
    Never,
    /// Around every pass.
    All,
    /// Around these passes.
    Passes(Vec<String>),
}

impl Print {
    fn wants(&self, pass: &str) -> bool {
        match self {
            Print::Never => false,
            Print::All => true,
            Print::Passes(names) => names.iter().any(|n| n == pass),
        }
    }
}

/// When the manager verifies the graph.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verify {
    /// Before the first pass and after each.
    Each,
    /// Before the first pass, where the phase changes, and at the end.
    Phases,
}

impl Default for Verify {
    fn default() -> Verify {
        if cfg!(debug_assertions) { Verify::Each } else { Verify::Phases }
    }
}

/// Runs pipelines. Fields are the options; [`Manager::default`] verifies and prints nothing.
#[derive(Clone, Default, Debug)]
pub struct Manager {
    /// When to verify.
    pub verify: Verify,
    /// Print the graph before these passes.
    pub print_before: Print,
    /// Print the graph after these passes.
    pub print_after: Print,
    /// Print the graph after a pass only if it changed.
    pub print_changed: bool,
    /// Print the difference that each pass makes.
    pub diff: bool,
    /// Evaluate the graph before and after each pass on inputs of this seed and compare within its effect.
    pub check_each: Option<u64>,
    /// Make only this many edits; the report names the last one.
    pub bisect: Option<u64>,
}

/// One pass or named pipeline that ran.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its text in the pipeline.
    pub name: String,
    /// How many named pipelines it is part of.
    pub depth: usize,
    /// Time in the pass alone; for a pipeline that of its passes.
    pub time: Duration,
    /// Time of verification, printing and checks around it.
    pub overhead: Duration,
    /// Edits that it made.
    pub edits: u64,
    /// Whether the graph changed.
    pub changed: bool,
    /// Nodes before and after.
    pub nodes: (usize, usize),
}

/// What a run did.
#[derive(Default)]
pub struct Report {
    /// Passes and pipelines in the order in which they started.
    pub steps: Vec<Step>,
    /// Counts by rule, rejections, typed values that passes left.
    pub cx: PassCx,
}

impl Report {
    /// Edits of all passes.
    pub fn edits(&self) -> u64 {
        self.cx.edits()
    }
    /// The last edit of a run with [`Manager::bisect`], if the limit was reached.
    pub fn last_edit(&self) -> Option<&EditRecord> {
        self.cx.edit_at_limit()
    }
    /// Whether any pass changed the graph.
    pub fn changed(&self) -> bool {
        self.steps.iter().any(|s| s.changed)
    }

    /// The time of each step as an indented tree.
    pub fn timing(&self) -> String {
        let top = || self.steps.iter().filter(|s| s.depth == 0);
        let total: Duration = top().map(|s| s.time).sum();
        let overhead: Duration = top().map(|s| s.overhead).sum();
        let mut out = String::new();
        let mut line = |depth: usize, name: &str, time: Duration, rest: String| {
            let share = if total.is_zero() { 0.0 } else { time.as_secs_f64() / total.as_secs_f64() * 100.0 };
            let ms = time.as_secs_f64() * 1e3;
            let text = format!("{ms:10.3} ms {share:5.1}%  {:indent$}{name}{rest}", "", indent = 2 * depth);
            out.push_str(text.trim_end());
            out.push('\n');
        };
        line(0, "passes", total, String::new());
        for s in &self.steps {
            let edits = match s.edits {
                0 => String::new(),
                1 => "  (1 edit)".into(),
                n => format!("  ({n} edits)"),
            };
            line(s.depth + 1, &s.name, s.time, edits);
        }
        let _ =
            writeln!(out, "{:10.3} ms         verification, checks, printing", overhead.as_secs_f64() * 1e3);
        out
    }

    /// How often each rule was applied, most often first.
    pub fn statistics(&self) -> String {
        let mut rows: Vec<_> = self.cx.counts.iter().collect();
        rows.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        rows.into_iter().map(|(rule, n)| format!("{n:10} {rule}\n")).collect()
    }
}

/// Why a run stopped.
#[derive(thiserror::Error)]
pub enum Error {
    /// The graph was not valid before the first pass.
    #[error("the graph is not valid\n{}", join(.0))]
    Verify(Vec<Diag>),
    /// A pass failed, panicked, left an invalid graph, or changed the meaning.
    #[error("{0}")]
    Pass(Box<Failure>),
    /// The instrumentation could not write.
    #[error("cannot write the output of passes")]
    Write(#[from] fmt::Error),
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// The diagnostics.
    pub fn diags(&self) -> &[Diag] {
        match self {
            Error::Verify(diags) => diags,
            Error::Pass(f) => &f.diags,
            Error::Write(_) => &[],
        }
    }
}

/// A pass that failed, with the graph that it was given.
pub struct Failure {
    /// The pass with its options.
    pub pass: String,
    /// What went wrong.
    pub diags: Vec<Diag>,
    /// The graph before the pass.
    pub before: Graph,
}

impl Failure {
    /// The graph before the pass as a filetest: moved into `tests/filetests` it is the regression test.
    ///
    /// Large constants appear by hash only; to run the text as it is, save `before` as a model file.
    pub fn reproducer(&self) -> String {
        let mut out = format!("// RUN: {}\n", self.pass);
        for line in self.diags.iter().flat_map(|d| d.message.lines()) {
            let _ = writeln!(out, "// {line}");
        }
        out + &print(&self.before)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pass `{}` failed\n{}", self.pass, join(&self.diags))
    }
}

fn join(diags: &[Diag]) -> String {
    diags.iter().map(Diag::to_string).collect::<Vec<_>>().join("\n")
}

impl Manager {
    /// Runs a pipeline on `g`, with prints going to `out`.
    ///
    /// On error `g` is what the failing pass left; [`Failure::before`] is what it was given.
    pub fn run(&self, pipeline: &Pipeline, g: &mut Graph, out: &mut dyn Write) -> Result<Report, Error> {
        self.run_with(pipeline, g, out, PassCx::new())
    }

    /// As [`Manager::run`], with a context that carries inputs for passes.
    pub fn run_with(
        &self,
        pipeline: &Pipeline,
        g: &mut Graph,
        out: &mut dyn Write,
        cx: PassCx,
    ) -> Result<Report, Error> {
        let diags = verify(g);
        if !diags.is_empty() {
            return Err(Error::Verify(diags));
        }
        let mut run = Run {
            manager: self,
            g,
            out,
            report: Report { steps: Vec::new(), cx: cx.with_limit(self.bisect) },
            copy: None,
        };
        run.items(&pipeline.items, 0)?;
        let report = run.report;
        if self.verify == Verify::Phases {
            let diags = verify(g);
            if let (Some(last), false) = (pipeline.passes().last(), diags.is_empty()) {
                let pass = format!("…,{}", last.info().name);
                return Err(Error::Pass(Box::new(Failure { pass, diags, before: g.clone() })));
            }
        }
        Ok(report)
    }
}

/// State of one run.
struct Run<'a> {
    manager: &'a Manager,
    g: &'a mut Graph,
    out: &'a mut dyn Write,
    report: Report,
    /// A copy of the graph as it is, if no pass changed it since the copy was made.
    copy: Option<Graph>,
}

impl Run<'_> {
    fn items(&mut self, items: &[Item], depth: usize) -> Result<(), Error> {
        for item in items {
            match item {
                Item::Pass { pass, options } => self.pass(*pass, options, item.to_string(), depth)?,
                Item::Group { name, items } => {
                    let at = self.report.steps.len();
                    let (edits, nodes) = (self.report.edits(), self.g.node_count());
                    let (time, overhead) = (Duration::ZERO, Duration::ZERO);
                    let name = (*name).into();
                    self.report.steps.push(Step {
                        name,
                        depth,
                        time,
                        overhead,
                        edits: 0,
                        changed: false,
                        nodes: (nodes, nodes),
                    });
                    self.items(items, depth + 1)?;
                    let (edits, nodes) = (self.report.edits() - edits, self.g.node_count());
                    let (head, inner) = self.report.steps[at..].split_at_mut(1);
                    for s in inner.iter().filter(|s| s.depth == depth + 1) {
                        head[0].time += s.time;
                        head[0].overhead += s.overhead;
                        head[0].changed |= s.changed;
                    }
                    head[0].edits = edits;
                    head[0].nodes.1 = nodes;
                }
            }
        }
        Ok(())
    }

    fn pass(
        &mut self,
        pass: &'static dyn Pass,
        options: &Options,
        text: String,
        depth: usize,
    ) -> Result<(), Error> {
        let m = self.manager;
        let info = pass.info();
        let started = Instant::now();
        if m.print_before.wants(info.name) {
            write!(self.out, "// before {text}\n{}", print(self.g))?;
        }
        let before = self.copy.take().unwrap_or_else(|| self.g.clone());
        let (edits, phase) = (self.report.edits(), self.g.phase());

        let clock = Instant::now();
        let outcome = self.guarded(pass, options);
        let time = clock.elapsed();

        let changed = match outcome {
            Ok(c) => c == Changed::Yes || self.report.edits() > edits,
            Err(d) => return Err(failure(text, vec![d], before)),
        };
        if m.verify == Verify::Each || self.g.phase() != phase {
            let diags = verify(self.g);
            if !diags.is_empty() {
                return Err(failure(text, diags, before));
            }
        }
        if let (Some(seed), true) = (m.check_each, changed)
            && let Err(d) =
                same_meaning(&before, self.g, info.effect.times(self.report.edits() - edits), seed)
        {
            return Err(failure(text, vec![d], before));
        }
        if m.diff && changed {
            let diff = diff(&print(&before), &print(self.g));
            write!(self.out, "// {text}\n{diff}")?;
        }
        if m.print_after.wants(info.name) || (m.print_changed && changed) {
            write!(self.out, "// after {text}\n{}", print(self.g))?;
        }
        let nodes = (before.node_count(), self.g.node_count());
        self.report.steps.push(Step {
            name: text,
            depth,
            time,
            overhead: started.elapsed().saturating_sub(time),
            edits: self.report.edits() - edits,
            changed,
            nodes,
        });
        if !changed {
            self.copy = Some(before);
        }
        Ok(())
    }

    /// Runs the pass; a panic becomes a diagnostic, so that a reproducer can be written.
    fn guarded(&mut self, pass: &'static dyn Pass, options: &Options) -> Result<Changed, Diag> {
        let info = pass.info();
        let phase = self.g.phase();
        let (first, last) = info.phases;
        if phase < first || phase > last {
            let allowed = if first == last { format!("`{first}`") } else { format!("`{first}` to `{last}`") };
            return Err(Diag::error(
                "phase",
                format!("pass `{}` does not take a graph of phase `{phase}`", info.name),
            )
            .help(format!("it takes graphs of phase {allowed}")));
        }
        let (g, cx) = (&mut *self.g, &mut self.report.cx);
        cx.enter(info, options);
        catch_unwind(AssertUnwindSafe(|| pass.run(g, cx))).unwrap_or_else(|payload| {
            let text = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Diag::error("panic", format!("pass `{}` panicked: {text}", info.name))
                .help("this is a bug; please report it with the reproducer"))
        })
    }
}

fn failure(pass: String, diags: Vec<Diag>, before: Graph) -> Error {
    Error::Pass(Box::new(Failure { pass, diags, before }))
}
