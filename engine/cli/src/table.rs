//! Tables of plain text: columns as wide as their widest cell, numbers to the right, no borders and no colours, so that they can be read in
//! a terminal and pasted anywhere.
//!
//! Where standard output is no terminal a table is never folded: a row is a line. In a terminal that is too narrow for it,
//!
//! 1. columns of minor importance are left out, the least important first;
//! 2. the widest column of text is folded between words;
//! 3. if that is not enough, each row becomes a block of lines, a heading and a value on each.
//!
//! What is shown is decided here; `comfy_table` measures, folds and pads.

use comfy_table::{CellAlignment, ColumnConstraint, Width, presets};

/// A column narrower than this is not folded.
const FOLDED_MIN: usize = 16;
const GAP: usize = 2;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    heading: &'static str,
    right: bool,
    minor: u8,
}

impl Column {
    /// A column of text.
    pub const fn text(heading: &'static str) -> Self {
        Column { heading, right: false, minor: 0 }
    }

    /// A column of numbers.
    pub const fn number(heading: &'static str) -> Self {
        Column { heading, right: true, minor: 0 }
    }

    /// The same, left out where there is no room for all; the higher `rank`, the sooner.
    #[must_use]
    pub const fn minor(self, rank: u8) -> Self {
        Column { minor: rank, ..self }
    }
}

/// A table.
///
/// ```
/// use pelton_cli::{Column, Table};
///
/// let mut table = Table::new([Column::text("job"), Column::number("tick")]);
/// table.row(["orders".to_owned(), "17".to_owned()]);
/// assert_eq!(table.fitted(None), "job     tick\norders    17\n");
/// ```
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Table { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, for standard output.
    pub fn to_text(&self) -> String {
        self.fitted(crate::terminal::stdout_width())
    }

    /// The table as lines of at most `limit` characters, if there is a limit.
    pub fn fitted(&self, limit: Option<usize>) -> String {
        let limit = limit.unwrap_or(usize::MAX);
        let mut table = plain();
        table.set_header(self.columns.iter().map(|column| column.heading));
        table.add_rows(&self.rows);
        let widths: Vec<usize> = table.column_max_content_widths().into_iter().map(usize::from).collect();
        let total = |shown: &[usize]| {
            shown.iter().map(|&column| widths[column]).sum::<usize>() + GAP * shown.len().saturating_sub(1)
        };
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        while total(&shown) > limit
            && let Some(least) = shown.iter().copied().max_by_key(|&column| self.columns[column].minor)
            && self.columns[least].minor > 0
        {
            shown.retain(|&column| column != least);
        }
        let excess = total(&shown).saturating_sub(limit);
        let mut folded = None;
        if excess > 0 {
            let text = shown.iter().copied().filter(|&column| !self.columns[column].right);
            match text.max_by_key(|&column| widths[column]) {
                Some(widest) if widths[widest] >= excess + FOLDED_MIN => {
                    folded = Some((widest, widths[widest] - excess));
                }
                _ => return self.blocks(limit),
            }
        }
        for (number, (column, text)) in self.columns.iter().zip(table.column_iter_mut()).enumerate() {
            let gap = if shown.last() == Some(&number) { 0 } else { GAP };
            text.set_padding((0, gap as u16));
            if column.right {
                text.set_cell_alignment(CellAlignment::Right);
            }
            if !shown.contains(&number) {
                text.set_constraint(ColumnConstraint::Hidden);
            }
            if let Some((_, width)) = folded.filter(|(widest, _)| *widest == number) {
                text.set_constraint(fixed(width + gap));
            }
        }
        format!("{}\n", table.trim_fmt())
    }

    /// Each row as a block of lines.
    fn blocks(&self, limit: usize) -> String {
        let width = self.columns.iter().map(|column| column.heading.chars().count()).max().unwrap_or(0);
        let block = |row: &Vec<String>| {
            let mut block = plain();
            let cells = self.columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            block.add_rows(cells.map(|(column, cell)| [column.heading, cell]));
            for (column, constraint) in
                [width + GAP, limit.saturating_sub(width + GAP)].into_iter().map(fixed).enumerate()
            {
                if let Some(column) = block.column_mut(column) {
                    column.set_constraint(constraint).set_padding((0, 0));
                }
            }
            format!("{}\n", block.trim_fmt())
        };
        self.rows.iter().map(block).collect::<Vec<_>>().join("\n")
    }
}

/// A table without lines, which asks no terminal for its width.
fn plain() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table
}

fn fixed(width: usize) -> ColumnConstraint {
    ColumnConstraint::Absolute(Width::Fixed(u16::try_from(width).unwrap_or(u16::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new([
            Column::text("name"),
            Column::number("events").minor(1),
            Column::number("seconds").minor(2),
            Column::text("what it does"),
        ]);
        for (name, events, seconds, about) in [
            ("count", "1,000", "1.00", "counts the events of each key in each window"),
            ("a longer name", "10", "12.00", "maps"),
        ] {
            table.row([name, events, seconds, about].map(str::to_owned));
        }
        table
    }

    #[test]
    fn without_a_limit_a_row_is_a_line() {
        let text = example().fitted(None);
        assert_eq!(text.lines().count(), 3);
        assert_eq!(text.lines().next(), Some("name           events  seconds  what it does"));
        assert_eq!(text.lines().last(), Some("a longer name      10    12.00  maps"));
        assert_eq!(Table::new([Column::text("a"), Column::number("b")]).fitted(Some(1)), "");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 30..100 {
            let text = example().fitted(Some(width));
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{width}:\n{text}");
            for part in ["counts", "maps", "a longer name"] {
                assert!(text.contains(part), "{width}: {part} is missing\n{text}");
            }
        }
    }

    #[test]
    fn minor_columns_leave_first_then_text_is_folded_then_rows_become_blocks() {
        let natural = example().fitted(None).lines().map(str::len).max().unwrap();
        assert!(example().fitted(Some(natural)).contains("seconds"));
        let without = example().fitted(Some(natural - 1));
        assert!(!without.contains("seconds") && without.contains("events"), "{without}");
        let folded = example().fitted(Some(50));
        assert!(
            folded.contains("name") && folded.lines().count() > 3 && !folded.contains("1,000"),
            "{folded}"
        );
        let blocks = example().fitted(Some(20));
        assert!(blocks.contains("events        1,000\nseconds       1.00\n"), "{blocks}");
        assert_eq!(blocks.matches("\n\n").count(), 1, "{blocks}");
    }
}
