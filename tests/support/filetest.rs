//! The filetest runner: one text in, success or a message out. `tests/filetests.rs` feeds it files.
//!
//! A file holds cases separated by lines `// ----`. A case is a graph, with directives in comments:
//!
//! - `// RUN: pipeline` runs passes; a case without it inherits that of the case before.
//! - `// CHECK: text`: a line of the difference holds the text, after the lines of earlier CHECKs. Text that starts
//!   with `+` or `-` looks at added or removed lines, other text at what the result holds (added and kept lines).
//! - `// CHECK-NOT: text`: no such line.
//! - `// REJECT: text`: a pass says that it left something alone, for a reason that holds the text.
//! - `// EVAL: none, because …`: the graph cannot be evaluated on random inputs.
//! - `//~ error[code]: text` at the end of a line: a diagnostic with this code points there and its message holds
//!   the text; `//~^` points to the line above. Diagnostics without a place match anywhere.
//! - `// ---- expect diff`: the difference follows, as comments. `QIR_BLESS=1` writes it.
//!
//! Each case is parsed, printed and parsed again (the text must come back), verified, run with verification
//! after each pass, compared with the expected difference, evaluated before and after on seeded inputs within
//! the effect that the passes declare, and run once more (a single pass must come to rest).

use std::fmt::Write;

use quantir_ir::text::{Options, diff, parse, print};
use quantir_ir::verify::verify_text;
use quantir_ir::{Diag, Graph};
use quantir_passes::manager::{Manager, Report, Verify};
use quantir_passes::{Pipeline, Registry, check};

const EXPECT: &str = "// ---- expect diff";
const SPLIT: &str = "// ----";

/// Runs a file. `Ok(None)`: all cases pass. `Ok(Some(text))`: `bless` is set and this is the new text.
pub fn run(text: &str, registry: &Registry, bless: bool) -> Result<Option<String>, String> {
    let mut out = String::new();
    let mut pipeline = None;
    let mut failures = String::new();
    for case in Case::split(text) {
        if let Some(own) = case.directive("RUN") {
            pipeline = Some(own.split("//~").next().unwrap_or("").trim().to_string());
        }
        match case.run(pipeline.as_deref(), registry, bless) {
            Ok(expect) => case.write(&mut out, expect.as_deref()),
            Err(message) => {
                case.write(&mut out, None);
                let _ = writeln!(failures, "in the case at line {}: {message}", case.line + 1);
            }
        }
    }
    match (failures.is_empty(), out == text) {
        (false, _) => Err(failures),
        (true, true) => Ok(None),
        (true, false) => Ok(Some(out)),
    }
}

/// One graph of a file.
struct Case<'t> {
    /// Line of the file that it starts in, from 0.
    line: usize,
    /// The line that separates it from the case before, if any.
    split: Option<&'t str>,
    source: &'t str,
    /// The block after `// ---- expect diff`, without that line.
    expect: Option<&'t str>,
}

/// An expected diagnostic.
#[derive(Debug)]
struct Expected {
    /// Line of the case's source, from 0.
    line: usize,
    code: String,
    text: String,
}

impl<'t> Case<'t> {
    fn split(text: &'t str) -> Vec<Case<'t>> {
        let mut cases = vec![Case { line: 0, split: None, source: "", expect: None }];
        let (mut start, mut at, mut in_expect) = (0, 0, false);
        for (i, line) in text.split_inclusive('\n').enumerate() {
            let case = cases.last_mut().expect("at least one case");
            let trimmed = line.trim_end();
            if trimmed == EXPECT {
                in_expect = true;
                start = at + line.len();
                case.expect = Some("");
            } else if trimmed == SPLIT || trimmed.starts_with("// ---- case") {
                let start_next = at + line.len();
                cases.push(Case { line: i + 1, split: Some(line), source: "", expect: None });
                (start, in_expect) = (start_next, false);
            } else {
                let piece = &text[start..at + line.len()];
                if in_expect { case.expect = Some(piece) } else { case.source = piece }
            }
            at += line.len();
        }
        cases
    }

    fn write(&self, out: &mut String, expect: Option<&str>) {
        out.push_str(self.split.unwrap_or(""));
        out.push_str(self.source);
        match (expect, self.expect) {
            (Some(new), _) => {
                if !out.ends_with('\n') {
                    out.push('\n');
                }
                let _ = write!(out, "{EXPECT}\n{new}");
            }
            (None, Some(old)) => {
                let _ = write!(out, "{EXPECT}\n{old}");
            }
            (None, None) => {}
        }
    }

    fn directives<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'t str> + 'a {
        let source: &'t str = self.source;
        source.lines().filter_map(move |l| {
            Some(
                l.trim_start().strip_prefix("//")?.trim_start().strip_prefix(word)?.strip_prefix(':')?.trim(),
            )
        })
    }
    fn directive(&self, word: &str) -> Option<&'t str> {
        self.directives(word).next()
    }

    fn expected_diags(&self) -> Result<Vec<Expected>, String> {
        let mut all = Vec::new();
        for (i, line) in self.source.lines().enumerate() {
            for note in line.split("//~").skip(1) {
                let ups = note.len() - note.trim_start_matches('^').len();
                let note = note.trim_start_matches('^').trim();
                let parsed = note
                    .strip_prefix("error[")
                    .or_else(|| note.strip_prefix("warning["))
                    .and_then(|n| n.split_once("]:"));
                let Some((code, text)) = parsed else {
                    return Err(format!("`//~ {note}` is not of the form `//~ error[code]: text`"));
                };
                let line = i.checked_sub(ups).ok_or("`//~^` points above the file")?;
                all.push(Expected { line, code: code.into(), text: text.trim().into() });
            }
        }
        Ok(all)
    }

    /// Runs the case; returns the new text of the expect block if it must be written.
    fn run(
        &self,
        pipeline: Option<&str>,
        registry: &Registry,
        bless: bool,
    ) -> Result<Option<String>, String> {
        let expected = self.expected_diags()?;
        match self.execute(pipeline, registry) {
            Err(diags) if expected.is_empty() => Err(render(&diags)),
            Err(diags) => self.match_diags(&diags, &expected).map(|()| None),
            Ok(_) if !expected.is_empty() => Err(format!(
                "expected `error[{}]: {}`, but all went well",
                expected[0].code, expected[0].text
            )),
            Ok(None) => Ok(None),
            Ok(Some(done)) => self.judge(&done, bless),
        }
    }

    /// Parse, round trip, verify, passes.
    fn execute(&self, pipeline: Option<&str>, registry: &Registry) -> Result<Option<Done>, Vec<Diag>> {
        let one = |d: Diag| vec![d];
        let before = verify_text(self.source, &Options::default())?;
        let text = print(&before);
        let again = parse(&text).map_err(|d| {
            one(Diag::error("round-trip", format!("the printed graph does not parse\n{}", render(&d))))
        })?;
        if print(&again) != text {
            let d = diff(&text, &print(&again));
            return Err(one(Diag::error(
                "round-trip",
                format!("printed, parsed, printed again differs\n{d}"),
            )));
        }
        // Without passes the manager still verifies.
        let nothing = pipeline.is_none();
        let pipeline = Pipeline::parse(pipeline.unwrap_or(""), registry).map_err(|mut d| {
            // Its labels point into the pipeline, not into the file.
            d.labels.clear();
            one(d)
        })?;
        let manager = Manager { verify: Verify::Each, ..Manager::default() };
        let mut after = before.clone();
        let report = manager.run(&pipeline, &mut after, &mut String::new()).map_err(|e| {
            if e.diags().is_empty() { one(Diag::error("pass", e.to_string())) } else { e.diags().to_vec() }
        })?;
        Ok((!nothing).then_some(Done { before, after, pipeline, report }))
    }

    fn match_diags(&self, diags: &[Diag], expected: &[Expected]) -> Result<(), String> {
        let line_of = |d: &Diag| match d.labels.first() {
            Some(l) => Some(self.source.get(..l.start)?.matches('\n').count()),
            None => d.span.as_ref().map(|s| s.line as usize - 1),
        };
        let fits = |d: &Diag, e: &Expected| {
            d.code == e.code && d.message.contains(&e.text) && line_of(d).is_none_or(|l| l == e.line)
        };
        for e in expected {
            if !diags.iter().any(|d| fits(d, e)) {
                let place = self.line + e.line + 1;
                let (code, text) = (&e.code, &e.text);
                return Err(format!(
                    "line {place}: expected `error[{code}]: {text}`, got\n{}",
                    render(diags)
                ));
            }
        }
        match diags.iter().find(|d| !expected.iter().any(|e| fits(d, e))) {
            Some(d) => Err(format!(
                "unexpected diagnostic\n{d}\nadd `//~ error[{}]: …` to the line it points to",
                d.code
            )),
            None => Ok(()),
        }
    }

    /// Compares with what the file expects.
    fn judge(&self, done: &Done, bless: bool) -> Result<Option<String>, String> {
        let difference = diff(&print(&done.before), &print(&done.after));
        let lines: Vec<&str> = difference.lines().collect();

        let mut blessed = None;
        let block: String = lines.iter().map(|l| format!("// {l}").trim_end().to_string() + "\n").collect();
        if self.expect.map(str::trim_end) != Some(block.trim_end()) {
            if !bless {
                let old = self.expect.unwrap_or("");
                let what = if self.expect.is_some() {
                    "the difference is not the expected one"
                } else {
                    "no difference is expected yet"
                };
                return Err(format!(
                    "{what} (- expected, + now)\n{}\nif the new one is right, run with QIR_BLESS=1",
                    diff(old, &block)
                ));
            }
            blessed = Some(block);
        }
        self.checks(&lines)?;
        self.rejections(done)?;
        self.meaning(done)?;
        rest(done)?;
        Ok(blessed)
    }

    fn checks(&self, lines: &[&str]) -> Result<(), String> {
        let squeeze = |s: &str| s.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = lines.iter().map(|l| squeeze(l)).collect();
        let holds = |line: &str, text: &str| {
            let signed = |s: &str| s.starts_with(['+', '-']) && s.len() > 1;
            match text.chars().next() {
                Some(sign @ ('+' | '-')) if signed(text) => {
                    line.starts_with(sign) && line[1..].contains(text[1..].trim())
                }
                _ => !line.starts_with('-') && line.contains(text),
            }
        };
        let shown = || format!("in\n{}", lines.join("\n"));
        for text in self.directives("CHECK-NOT").map(squeeze) {
            if let Some(l) = lines.iter().find(|l| holds(l, &text)) {
                return Err(format!("CHECK-NOT: {text}\nbut found: {l}"));
            }
        }
        let mut from = 0;
        for text in self.directives("CHECK").map(squeeze) {
            match lines[from..].iter().position(|l| holds(l, &text)) {
                // A further CHECK may look at the same line.
                Some(i) => from += i,
                None => return Err(format!("CHECK: {text}\nnot found {}", shown())),
            }
        }
        Ok(())
    }

    fn rejections(&self, done: &Done) -> Result<(), String> {
        let given: Vec<String> = done
            .report
            .cx
            .rejections
            .iter()
            .map(|r| format!("{} %{}: {}", r.pass, r.node, r.reason))
            .collect();
        match self.directives("REJECT").find(|text| !given.iter().any(|r| r.contains(text))) {
            Some(text) => Err(format!("REJECT: {text}\nnot found in\n{}", given.join("\n"))),
            None => Ok(()),
        }
    }

    fn meaning(&self, done: &Done) -> Result<(), String> {
        let why_not = self.directive("EVAL").and_then(|e| e.strip_prefix("none"));
        let same = check::same_meaning(&done.before, &done.after, done.pipeline.effect(), 1);
        match (same, why_not) {
            (Err(d), _) => Err(format!(
                "the meaning changed\n{d}\n\nbefore\n{}\nafter\n{}",
                print(&done.before),
                print(&done.after)
            )),
            (Ok(false), None) => {
                Err("the graph cannot be evaluated on random inputs; say `// EVAL: none, because …`".into())
            }
            (Ok(true), Some(_)) => Err("`EVAL: none`, but the graph can be evaluated".into()),
            _ => Ok(()),
        }
    }
}

/// A pass that ran to its end finds nothing more to do.
fn rest(done: &Done) -> Result<(), String> {
    if done.before.phase() != done.after.phase() || done.pipeline.passes().len() != 1 {
        return Ok(());
    }
    let mut again = done.after.clone();
    match Manager::default().run(&done.pipeline, &mut again, &mut String::new()) {
        Ok(r) if r.edits() == 0 => Ok(()),
        Ok(_) => Err(format!(
            "a second run changes the graph again\n{}",
            diff(&print(&done.after), &print(&again))
        )),
        Err(e) => Err(format!("a second run fails\n{e}")),
    }
}

/// A case whose passes ran.
struct Done {
    before: Graph,
    after: Graph,
    pipeline: Pipeline,
    report: Report,
}

fn render(diags: &[Diag]) -> String {
    diags.iter().map(Diag::to_string).collect::<Vec<_>>().join("\n")
}
