//! Tables on the terminal.

use comfy_table::{ContentArrangement, Table, presets};

/// A table with a header, without vertical lines.
pub fn table(header: &[&str]) -> Table {
    let mut t = Table::new();
    t.load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    t
}
