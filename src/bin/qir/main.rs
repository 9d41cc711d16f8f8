//! `qir`: the command line of quantir. Thin: every command is a few calls of the library.

/// Prints a line to standard output. A reader that has gone away (`qir … | head`) is no error; other failures end the
/// program as `println!` would.
macro_rules! say {
    ($($t:tt)*) => {{
        use std::io::Write;
        if let Err(e) = writeln!(std::io::stdout(), $($t)*)
            && e.kind() != std::io::ErrorKind::BrokenPipe
        {
            panic!("cannot write to standard output: {e}");
        }
    }};
}

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
            warn(&format!("error: {e}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard error; that nobody reads it is no error.
fn warn(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
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
