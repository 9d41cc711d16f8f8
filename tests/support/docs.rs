//! Documentation as data: the doc comments of a source text and the fenced `qir` blocks in them.

/// A line of documentation: its number from 1 and its text, without comment mark and the space behind it.
pub type Line<'t> = (usize, &'t str);

/// The lines of the doc comments (`//!` and `///`) of a Rust text, each comment a run of its own.
pub fn doc_runs(source: &str) -> Vec<Vec<Line<'_>>> {
    let mut runs: Vec<Vec<Line>> = Vec::new();
    let mut open = false;
    for (i, line) in source.lines().enumerate() {
        let line = line.trim_start();
        let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(text) = text.filter(|t| !t.starts_with('/')) else {
            open = false;
            continue;
        };
        if !open {
            runs.push(Vec::new());
        }
        open = true;
        runs.last_mut().unwrap().push((i + 1, text.strip_prefix(' ').unwrap_or(text)));
    }
    runs
}

/// A fenced block: the number of its first line and its text.
pub struct Block {
    /// Number of the line after the opening fence.
    pub line: usize,
    /// The lines between the fences.
    pub text: String,
}

/// The blocks that are fenced as exactly `language` among lines of Markdown; one without an end is an error.
pub fn fenced<'t>(lines: impl IntoIterator<Item = Line<'t>>, language: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    // Whether the open fence is in the language, and the block if so.
    let mut open: Option<(bool, Block)> = None;
    for (number, line) in lines {
        match (line.trim().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let block = Block { line: number + 1, text: String::new() };
                open = Some((info.trim() == language, block));
            }
            (Some(_), Some(_)) => {
                blocks.extend(open.take().and_then(|(wanted, block)| wanted.then_some(block)));
            }
            (None, Some((_, block))) => {
                block.text += line;
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    match open {
        Some((_, block)) => Err(format!("the block that starts on line {} has no end", block.line - 1)),
        None => Ok(blocks),
    }
}

/// The `qir` blocks in the doc comments of a Rust text.
pub fn qir_in_source(source: &str) -> Result<Vec<Block>, String> {
    let runs = doc_runs(source).into_iter().map(|run| fenced(run, "qir"));
    Ok(runs.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The `qir` blocks of a Markdown text.
pub fn qir_in_markdown(text: &str) -> Result<Vec<Block>, String> {
    fenced(text.lines().enumerate().map(|(i, l)| (i + 1, l)), "qir")
}
