//! `qir`: the command line of quantir. Thin: every command is a few calls of the library.

mod args;
mod bench;
mod explain;
mod inspect;
mod opt;
mod progress;
mod quantize;
mod run;
mod table;
mod text;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("error: internal error in qir: {info}");
        eprintln!("  help: this is a bug; please report it with the command line and, if you can, the model");
    }));
    // Usage errors end with exit code 2 inside `parse`.
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Quantize(a) => quantize::main(a),
        Command::Run(a) => run::main(a),
        Command::Bench(a) => bench::main(a),
        Command::Print(a) => text::print(a),
        Command::Diff(a) => text::diff(a),
        Command::Opt(a) => opt::main(a),
        Command::Explain(a) => explain::main(a),
        Command::Inspect(a) => inspect::main(a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output; a closed pipe (`qir print m | head`) is no error.
fn out(text: &str) -> Result<(), quantir::Error> {
    use std::io::Write;
    if text.is_empty() {
        return Ok(());
    }
    let mut o = std::io::stdout().lock();
    match o
        .write_all(text.as_bytes())
        .and_then(|()| if text.ends_with('\n') { Ok(()) } else { o.write_all(b"\n") })
    {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(quantir::Error::Io { path: "standard output".into(), source: e })
        }
        _ => Ok(()),
    }
}
