//! Diagnostics for people: the line, a caret below the place, what to do.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::diag::{Diag, Severity};

/// A stretch of text longer than this is not shown as one; further labels in it become notes.
const MAX_STRETCH: usize = 1 << 18;

/// Renders diagnostics in the way of rustc. `text` is the file's name and contents that labels refer to;
/// without it, places are told in words. `color` adds terminal colours.
///
/// ```text
/// error[type]: input has 3 channels but the weight f32[8,4,3,3] with groups=1 expects 4
///  --> m.qir:4:8
///   |
/// 4 |   %y = conv2d %x, %w {stride=2} : f32[1,8,7,7] @features.0
///   |        ^^^^^^ in this `conv2d` of module `features.0`
/// ```
pub fn render(diags: &[Diag], text: Option<(&str, &str)>, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for (i, d) in diags.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        out.push_str(&renderer.render(&[group(d, text)]));
        out.push('\n');
    }
    out
}

fn group<'a>(d: &'a Diag, text: Option<(&'a str, &'a str)>) -> Group<'a> {
    let level = match d.severity {
        Severity::Note => Level::NOTE,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    };
    let mut group = Group::with_title(level.primary_title(d.message.as_str()).id(d.code));
    let mut shown = "";
    let mut file_shown = false;
    if let Some((file, text)) = text
        && let Some((primary, others)) = d.labels.split_first()
    {
        let stretch = lines_of(text, clamp(text, primary.start..primary.end));
        let mut all = stretch.clone();
        let mut far = Vec::new();
        for l in others {
            let lines = lines_of(text, clamp(text, l.start..l.end));
            let both = all.start.min(lines.start)..all.end.max(lines.end);
            if both.len() <= MAX_STRETCH { all = both } else { far.push(l) }
        }
        shown = &text[all.clone()];
        file_shown = true;
        let mut snippet = Snippet::source(shown).path(file).line_start(line_of(text, all.start));
        for (i, l) in d.labels.iter().enumerate() {
            if far.contains(&l) {
                continue;
            }
            let r = clamp(text, l.start..l.end);
            let kind = if i == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let a = kind.span(r.start - all.start..r.end - all.start);
            snippet = snippet.annotation(if l.text.is_empty() { a } else { a.label(l.text.as_str()) });
        }
        group = group.element(snippet);
        for l in far {
            let line = line_of(text, clamp(text, l.start..l.end).start);
            group = group.element(Level::NOTE.message(format!("line {line}: {}", l.text)));
        }
    }
    if let Some(p) = d.path.as_deref().filter(|p| !shown.contains(p)) {
        group = group.element(Level::NOTE.message(format!("in module `{p}`")));
    }
    if let Some(s) = d.span.as_ref().filter(|s| !file_shown || text.is_none_or(|(f, _)| *f != *s.file)) {
        group = group.element(Level::NOTE.message(format!("from {s}")));
    }
    for n in &d.notes {
        group = group.element(Level::NOTE.message(n.as_str()));
    }
    match &d.help {
        Some(h) => group.element(Level::HELP.message(h.as_str())),
        None => group,
    }
}

/// The nearest range that lies within the text and between characters.
fn clamp(text: &str, r: Range<usize>) -> Range<usize> {
    let floor = |at: usize| text.floor_char_boundary(at.min(text.len()));
    let start = floor(r.start);
    start..floor(r.end).max(start)
}

/// The range of the lines that a range touches, without the last line's end.
fn lines_of(text: &str, r: Range<usize>) -> Range<usize> {
    let start = text[..r.start].rfind('\n').map_or(0, |n| n + 1);
    let end = text[r.end..].find('\n').map_or(text.len(), |n| r.end + n);
    start..end
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1
}
