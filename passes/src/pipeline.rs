//! Pipelines as text: `fuse-conv-bn,const-fold{limit=1024},canon`.

use std::fmt;

use quantir_ir::Diag;
use quantir_ir::diag::did_you_mean;

use crate::pass::{Effect, Options, Pass};
use crate::registry::Registry;

/// Named pipelines may contain others up to this depth.
const DEPTH: u32 = 8;

/// A pass with its options, or a named pipeline.
#[derive(Clone)]
pub enum Item {
    /// A pass.
    Pass {
        /// The pass.
        pass: &'static dyn Pass,
        /// Its options.
        options: Options,
    },
    /// A named pipeline.
    Group {
        /// Its name.
        name: &'static str,
        /// What it consists of.
        items: Vec<Item>,
    },
}

/// A sequence of passes.
#[derive(Clone, Default)]
pub struct Pipeline {
    /// The items in order.
    pub items: Vec<Item>,
}

impl Pipeline {
    /// Parses pipeline text against a registry.
    ///
    /// Grammar: items separated by commas; an item is a name and optional options `{key=value,…}`. Fails with a
    /// `pipeline` diagnostic that marks the place; unknown names list the known ones.
    pub fn parse(text: &str, registry: &Registry) -> Result<Pipeline, Diag> {
        Ok(Pipeline { items: parse_items(text, registry, 0)? })
    }

    /// The pipeline of one pass without options.
    pub fn of(pass: &'static dyn Pass) -> Pipeline {
        Pipeline { items: vec![Item::Pass { pass, options: Options::new() }] }
    }

    /// Passes in order, named pipelines opened.
    pub fn passes(&self) -> Vec<&'static dyn Pass> {
        fn open(items: &[Item], out: &mut Vec<&'static dyn Pass>) {
            for item in items {
                match item {
                    Item::Pass { pass, .. } => out.push(*pass),
                    Item::Group { items, .. } => open(items, out),
                }
            }
        }
        let mut out = Vec::new();
        open(&self.items, &mut out);
        out
    }

    /// The effect of all passes together.
    pub fn effect(&self) -> Effect {
        self.passes().iter().fold(Effect::Exact, |e, p| e.then(p.info().effect))
    }
}

/// The text that parses to this pipeline.
impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, item) in self.items.iter().enumerate() {
            write!(f, "{}{item}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Group { name, .. } => f.write_str(name),
            Item::Pass { pass, options } => {
                f.write_str(pass.info().name)?;
                for (i, (k, v)) in options.iter().enumerate() {
                    write!(f, "{}{k}={v}", if i > 0 { "," } else { "{" })?;
                }
                f.write_str(if options.is_empty() { "" } else { "}" })
            }
        }
    }
}

fn parse_items(text: &str, registry: &Registry, depth: u32) -> Result<Vec<Item>, Diag> {
    if depth > DEPTH {
        return Err(Diag::error("pipeline", "pipelines contain each other"));
    }
    let mut items = Vec::new();
    for (at, piece) in split(text)? {
        let (name, options) = match piece.split_once('{') {
            None => (piece, ""),
            Some((name, rest)) => match rest.strip_suffix('}') {
                Some(inside) => (name.trim_end(), inside),
                None => {
                    return Err(Diag::error("pipeline", format!("text after the options of `{name}`"))
                        .label(at..at + piece.len(), "expected `,` after `}`"));
                }
            },
        };
        let place = at..at + name.len();
        if let Some((name, group)) = registry.pipeline(name) {
            if !options.is_empty() {
                return Err(Diag::error("pipeline", format!("pipeline `{name}` takes no options"))
                    .label(place, "a named pipeline"));
            }
            items.push(Item::Group { name, items: parse_items(group, registry, depth + 1)? });
            continue;
        }
        let Some(pass) = registry.pass(name) else {
            return Err(unknown(name, registry).label(place, "no pass and no pipeline has this name"));
        };
        items.push(Item::Pass {
            pass,
            options: parse_options(pass, options).map_err(|d| d.label(place, ""))?,
        });
    }
    Ok(items)
}

/// Pieces between top-level commas with their offsets; empty text has none.
fn split(text: &str) -> Result<Vec<(usize, &str)>, Diag> {
    let mut pieces = Vec::new();
    let (mut start, mut open) = (0, None);
    let mut cut = |start: usize, end: usize| {
        let piece = &text[start..end];
        let at = start + (piece.len() - piece.trim_start().len());
        let piece = piece.trim();
        if piece.is_empty() {
            return Err(Diag::error("pipeline", "a pass name is missing").label(start..end, "nothing here"));
        }
        pieces.push((at, piece));
        Ok(())
    };
    if text.trim().is_empty() {
        return Ok(pieces);
    }
    for (i, c) in text.char_indices() {
        match (c, open) {
            ('{', None) => open = Some(i),
            ('{', Some(_)) => {
                return Err(
                    Diag::error("pipeline", "options within options").label(i..i + 1, "unexpected `{`")
                );
            }
            ('}', Some(_)) => open = None,
            ('}', None) => {
                return Err(Diag::error("pipeline", "`}` without `{`").label(i..i + 1, "unexpected `}`"));
            }
            (',', None) => {
                cut(start, i)?;
                start = i + 1;
            }
            _ => {}
        }
    }
    if let Some(i) = open {
        return Err(Diag::error("pipeline", "options have no end").label(i..i + 1, "expected `}` after this"));
    }
    cut(start, text.len())?;
    Ok(pieces)
}

fn parse_options(pass: &'static dyn Pass, text: &str) -> Result<Options, Diag> {
    let info = pass.info();
    let mut options = Options::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let Some((key, value)) = part.split_once('=') else {
            return Err(Diag::error("pipeline", format!("option `{part}` of `{}` has no value", info.name))
                .help(format!("write `{part}=value`")));
        };
        let (key, value) = (key.trim(), value.trim());
        let known = info.options.iter().map(|o| o.name);
        if !known.clone().any(|k| k == key) {
            let d = Diag::error("pipeline", format!("pass `{}` has no option `{key}`", info.name));
            let all: Vec<&str> = known.clone().collect();
            return Err(match did_you_mean(key, known) {
                Some(k) => d.help(format!("did you mean `{k}`?")),
                None if all.is_empty() => d.help("it takes no options"),
                None => d.help(format!("it takes {}", all.join(", "))),
            });
        }
        options.insert(key.into(), value.into());
    }
    Ok(options)
}

fn unknown(name: &str, registry: &Registry) -> Diag {
    let names = registry.names();
    let d = Diag::error("pipeline", format!("unknown pass `{name}`"))
        .note(format!("known passes and pipelines: {}", names.join(", ")));
    match did_you_mean(name, names.iter().copied()) {
        Some(k) => d.help(format!("did you mean `{k}`?")),
        None => d,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Pipeline, Diag> {
        Pipeline::parse(text, &Registry::standard())
    }

    #[test]
    fn text_round_trips() {
        for text in ["", "dce", "fuse-act,dce", "const-fold{limit=8},canon"] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        assert_eq!(parse(" dce , const-fold{ limit = 8 }").unwrap().to_string(), "dce,const-fold{limit=8}");
    }

    #[test]
    fn errors_say_what_is_known() {
        let e = parse("fuse-akt").err().unwrap();
        assert_eq!(e.help.as_deref(), Some("did you mean `fuse-act`?"));
        assert!(e.notes[0].contains("canon") && e.notes[0].contains("dce"), "{e}");
        for (text, message) in [
            ("dce,,dce", "a pass name is missing"),
            ("dce{", "options have no end"),
            ("dce}", "`}` without `{`"),
            ("dce{x=1}", "pass `dce` has no option `x`"),
            ("const-fold{limit}", "option `limit` of `const-fold` has no value"),
            ("const-fold{limit=1}x", "text after the options of `const-fold`"),
            ("canon{x=1}", "pipeline `canon` takes no options"),
        ] {
            assert_eq!(parse(text).err().unwrap().message, message, "{text}");
        }
    }
}
