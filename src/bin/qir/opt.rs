//! `qir opt`: passes on a graph.

use quantir::ir::text;
use quantir::passes::manager::{Print, Verify};
use quantir::passes::{self, Manager, Pipeline, Registry};
use quantir::{Error, file};

use crate::args::Opt;
use crate::table::table;

pub fn main(a: Opt) -> Result<(), Error> {
    let registry = Registry::standard();
    let Some(path) = a.file.as_ref().filter(|_| !a.list) else { return list(&registry) };
    for name in a.print_before.iter().chain(&a.print_after).filter(|n| *n != "all") {
        if registry.pass(name).is_none() {
            let known = registry.passes().iter().map(|p| p.info().name);
            let help = match quantir::ir::diag::did_you_mean(name, known) {
                Some(k) => format!("did you mean `{k}`?"),
                None => "list passes with `qir opt --list`".into(),
            };
            return Err(Error::Usage(format!("there is no pass `{name}`"), help));
        }
    }
    let pipeline = Pipeline::parse(&a.passes, &registry)?;
    for out in a.output.iter().chain(&a.repro) {
        file::check_output(out, [path.as_path()])?;
    }
    let mut graph = file::load(path)?;
    let manager = Manager {
        verify: if a.verify_each { Verify::Each } else { Verify::default() },
        print_before: which(&a.print_before),
        print_after: if a.print_changed && a.print_after.is_empty() {
            Print::All
        } else {
            which(&a.print_after)
        },
        print_changed: a.print_changed,
        diff: a.diff,
        check_each: a.check_each,
        bisect: a.bisect,
    };
    let mut printed = String::new();
    let ran = manager.run(&pipeline, &mut graph, &mut printed);
    crate::out(&printed)?;
    let report = match ran {
        Ok(report) => report,
        Err(e) => {
            if let (Some(out), passes::Error::Pass(f)) = (&a.repro, &e) {
                file::write_whole(out, f.reproducer().as_bytes())?;
                crate::warn(&format!("wrote the reproducer {}", out.display()));
            }
            return Err(e.into());
        }
    };
    if let Some(last) = report.last_edit() {
        crate::warn(&format!("stopped after edit {last}"));
    }
    if a.time {
        crate::warn(&report.timing());
    }
    match &a.output {
        Some(out) => file::save(&graph, out),
        None if a.diff => Ok(()),
        None => crate::out(&text::print(&graph)),
    }
}

fn which(names: &[String]) -> Print {
    match names {
        [] => Print::Never,
        _ if names.iter().any(|n| n == "all") => Print::All,
        _ => Print::Passes(names.to_vec()),
    }
}

fn list(registry: &Registry) -> Result<(), Error> {
    let mut t = table(&["pass", "phases", "what it does"]);
    for p in registry.passes() {
        let i = p.info();
        let phases = if i.phases.0 == i.phases.1 {
            i.phases.0.to_string()
        } else {
            format!("{} to {}", i.phases.0, i.phases.1)
        };
        t.add_row([i.name, &phases, i.summary]);
    }
    crate::out(&t.to_string())
}
