//! Sizes in bytes, as people write them: `2 GB`, `512 MB`, `64KiB`, `2Gi`, `1.5 GB`, or a plain number of bytes.
//!
//! Units are powers of 1,024 whichever spelling is used, since rings and pages are. Parsing is exact: text that does
//! not come to a whole number of bytes is refused, never rounded.

/// Units from the largest, each with its shift.
const UNITS: [(&str, u32); 5] = [("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10), ("B", 0)];

/// The bytes that `text` stands for.
///
/// ```
/// use pelton::config::parse_size;
///
/// assert_eq!(parse_size("64 KB"), Some(65_536));
/// assert_eq!(parse_size("1.5GiB"), Some(1_610_612_736));
/// assert_eq!(parse_size("2Gi"), Some(2 << 30));
/// assert_eq!(parse_size("a lot"), None);
/// ```
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let number_ends = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let shift = shift_of(unit.trim())?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') || fraction.len() > 12 {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(1 << shift)?;
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let part = fraction.parse::<u128>().ok()? << shift;
    (part % scale == 0).then(|| whole.checked_add((part / scale) as u64))?
}

/// `bytes` in the largest unit that keeps it exact, in the form that [`parse_size`] reads.
///
/// ```
/// use pelton::config::format_size;
///
/// assert_eq!(format_size(2 << 30), "2 GB");
/// assert_eq!(format_size(1_000), "1000 B");
/// ```
pub fn format_size(bytes: u64) -> String {
    let (unit, shift) = UNITS
        .into_iter()
        .find(|&(_, shift)| bytes != 0 && bytes.is_multiple_of(1 << shift))
        .unwrap_or(("B", 0));
    format!("{} {unit}", bytes >> shift)
}

/// `bytes` for a sentence: short rather than exact (`23.4 GB`).
pub(super) fn approximate_size(bytes: u64) -> String {
    match UNITS.into_iter().find(|&(_, shift)| bytes >= 1 << shift) {
        Some((unit, shift)) if !bytes.is_multiple_of(1 << shift) => {
            format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64)
        }
        _ => format_size(bytes),
    }
}

/// `GB`, `GiB`, `Gi` (as Kubernetes writes it) and `G` are one unit, in capitals or not; nothing and `B` are bytes.
fn shift_of(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_uppercase();
    let unit = unit.strip_suffix('B').unwrap_or(&unit);
    let letter = match unit.strip_suffix('I') {
        Some("") => return None,
        Some(letter) => letter,
        None => unit,
    };
    UNITS.into_iter().find(|(name, _)| name.trim_end_matches('B') == letter).map(|(_, shift)| shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_size_is_read() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512 B", 512),
            ("64 KB", 64 << 10),
            ("64kb", 64 << 10),
            ("64 KiB", 64 << 10),
            ("64 K", 64 << 10),
            (" 512 MB ", 512 << 20),
            ("2 GB", 2 << 30),
            ("2g", 2 << 30),
            ("1 TB", 1 << 40),
            ("0.5 KB", 512),
            ("1.25 MB", 1_310_720),
            ("64Ki", 64 << 10),
            ("512Mi", 512 << 20),
            ("2Gi", 2 << 30),
            ("2 gi", 2 << 30),
            ("1.5Gi", 3 << 29),
            ("1Ti", 1 << 40),
            ("1TiB", 1 << 40),
            ("64k", 64 << 10),
            ("512m", 512 << 20),
            ("512M", 512 << 20),
            ("2G", 2 << 30),
            ("1t", 1 << 40),
            ("7 b", 7),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_an_exact_size_is_refused() {
        for text in [
            "", " ", "GB", "-1", "1 XB", "1 GBs", "1e9", "1.", ".5 GB", "0.3 B", "0.1 KB", "1..5 GB",
            "2 G B", "2i", "2iB", "2 I", "2Bi", "2GBi", "2Gii", "2GiBB", "2BB", "2Xi", "2Pi",
        ] {
            assert_eq!(parse_size(text), None, "{text:?}");
        }
        assert_eq!(parse_size("99999999999999999999"), None);
        assert_eq!(parse_size("99999999 TB"), None, "must not wrap");
        assert_eq!(parse_size("16777215.9999999999999 TB"), None);
    }

    #[test]
    fn sentences_get_one_decimal() {
        assert_eq!(approximate_size(0), "0 B");
        assert_eq!(approximate_size(1 << 30), "1 GB");
        assert_eq!(approximate_size((23 << 30) + (400 << 20)), "23.4 GB");
    }

    proptest! {
        #[test]
        fn a_formatted_size_reads_back(bytes in any::<u64>()) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Some(bytes));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), number in "[0-9.]{0,30}", unit in "[kmgtb iB]{0,4}") {
            let _ = parse_size(&text);
            let _ = parse_size(&format!("{number}{unit}"));
        }
    }
}
