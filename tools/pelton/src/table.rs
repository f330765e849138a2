//! Tables of plain text: columns as wide as their widest cell, numbers to the right.

/// The rows as lines, under their headings. Cells of `right` columns stand to the right.
pub fn table<const N: usize>(headings: [&str; N], right: [bool; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).zip(right).map(|((cell, width), right)| {
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line = padded.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let body = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    std::iter::once(line(headings)).chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = [["a".to_owned(), "1".to_owned()], ["long name".to_owned(), "1000".to_owned()]];
        assert_eq!(
            table(["name", "n"], [false, true], &rows),
            "name          n\na             1\nlong name  1000\n"
        );
        assert_eq!(table(["name", "n"], [false, true], &[]), "name  n\n");
    }
}
