//! Differences of two texts, line by line.

use similar::{ChangeTag, TextDiff};

/// Lines of context around each change.
pub const CONTEXT: usize = 3;

/// The difference of two texts: lines that went with `- `, lines that came with `+ `, three lines of context
/// around them, and `  ...` where equal lines are left out. `(no change)` if the texts are equal.
///
/// Names of values persist through passes, so for printed graphs this shows the change and nothing else.
pub fn diff(old: &str, new: &str) -> String {
    if old == new {
        return "(no change)\n".into();
    }
    let diff = TextDiff::from_lines(old, new);
    let mut out = String::new();
    // Where the last group ended in the old and the new text.
    let mut end = (0, 0);
    for group in diff.grouped_ops(CONTEXT) {
        let Some(first) = group.first() else { continue };
        if (first.old_range().start, first.new_range().start) != end {
            out.push_str("  ...\n");
        }
        for op in &group {
            for change in diff.iter_changes(op) {
                out.push_str(match change.tag() {
                    ChangeTag::Delete => "- ",
                    ChangeTag::Insert => "+ ",
                    ChangeTag::Equal => "  ",
                });
                out.push_str(change.value().trim_end_matches('\n'));
                out.push('\n');
            }
            end = (op.old_range().end, op.new_range().end);
        }
    }
    if end != (diff.old_len(), diff.new_len()) {
        out.push_str("  ...\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_far_from_a_change_are_left_out() {
        let old: String = (0..20).map(|i| format!("line {i}\n")).collect();
        let new = old.replace("line 10\n", "line ten\nand more\n");
        assert_eq!(
            diff(&old, &new),
            "  ...\n  line 7\n  line 8\n  line 9\n- line 10\n+ line ten\n+ and more\n  line 11\n  line 12\n  line 13\n  ...\n"
        );
        assert_eq!(diff(&old, &old), "(no change)\n");
        assert_eq!(diff("a\n", "b"), "- a\n+ b\n");
    }
}
