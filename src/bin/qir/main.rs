//! `qir`: the command line of quantir. Thin: every command is a few calls of the library.

/// Prints a line to standard output; fails as `println!` would, but not for a reader that has gone away.
macro_rules! say {
    ($($t:tt)*) => {
        if let Err(e) = crate::emit(&format!($($t)*)) {
            panic!("cannot write to standard output: {e}");
        }
    };
}

mod args;
mod bench;
mod compare;
mod explain;
mod inspect;
mod opt;
mod plan;
mod progress;
mod quantize;
mod report;
mod run;
mod table;
mod text;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        use std::io::Write;
        // A reader that has gone away (`qir … 2>&1 | head`) must not turn the message into a second panic.
        let _ = writeln!(
            std::io::stderr(),
            "error: internal error in qir: {info}\n  help: this is a bug; please report it with the command line and, \
             if you can, the model"
        );
    }));
    // Usage errors end with exit code 2 inside `parse`.
    let cli = Cli::parse();
    let json = cli.command.json();
    let done = match cli.command {
        Command::Quantize(a) => quantize::main(a),
        Command::Run(a) => run::main(a),
        Command::Bench(a) => bench::main(a),
        Command::Print(a) => text::print(a),
        Command::Diff(a) => text::diff(a),
        Command::Opt(a) => opt::main(a),
        Command::Explain(a) => explain::main(a),
        Command::Inspect(a) => inspect::main(a),
        Command::Compare(a) => compare::main(a),
        Command::PlanQuantization(a) => plan::main(a),
        Command::Report(a) => report::main(a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            match json {
                true => warn(&format!("{:#}", e.to_json())),
                false => warn(&format!("error: {e}")),
            }
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error; that nobody reads it is no error.
fn warn(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Writes text that ends in a line break to standard output.
fn out(text: &str) -> Result<(), quantir::Error> {
    if text.is_empty() {
        return Ok(());
    }
    emit(text.strip_suffix('\n').unwrap_or(text))
        .map_err(|source| quantir::Error::Io { path: "standard output".into(), source })
}

/// Writes a line to standard output; a reader that has gone away (`qir … | head`) is no error.
fn emit(line: &str) -> std::io::Result<()> {
    use std::io::Write;
    match writeln!(std::io::stdout(), "{line}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e),
        _ => Ok(()),
    }
}
