//! Counts, as people write them: `1000000`, `1_000_000`, `1,000,000`, `1e6`, `1M`, `2.5k`.
//!
//! Units are powers of 1,000. Parsing is exact: text that does not come to a whole number is refused, never rounded.

/// Units, each with its power of ten.
const UNITS: [(&str, u32); 5] = [("k", 3), ("K", 3), ("M", 6), ("G", 9), ("T", 12)];
/// More digits than any 64-bit number has, so that what is multiplied below cannot overflow 128 bits.
const DIGITS_MAX: usize = 38;

/// The number that `text` stands for.
///
/// ```
/// use pelton::config::parse_count;
///
/// for text in ["1000000", "1_000_000", "1,000,000", "1e6", "1M", "1000k", "0.001G"] {
///     assert_eq!(parse_count(text), Ok(1_000_000), "{text}");
/// }
/// assert_eq!(parse_count("0.5").unwrap_err(), "it is not a whole number");
/// ```
///
/// # Errors
/// The end of a sentence that says what is wrong with it.
pub fn parse_count(text: &str) -> Result<u64, &'static str> {
    const NO_NUMBER: &str = "it is not a whole number, such as 1000000, 1_000_000, 1e6, 1M or 2.5k";
    const TOO_LARGE: &str = "it is larger than 18446744073709551615, the largest number there is";
    let text = text.trim();
    if text.starts_with('-') && text.len() > 1 {
        return Err("it is negative");
    }
    let (text, unit) = UNITS
        .iter()
        .find_map(|&(unit, power)| Some((text.strip_suffix(unit)?.trim_end(), power)))
        .unwrap_or((text, 0));
    let (number, exponent) = match text.split_once(['e', 'E']) {
        None => (text, 0),
        // More than three digits of exponent are too large for anything but 0.
        Some((number, exponent)) => {
            let digits = exponent.strip_prefix('+').unwrap_or(exponent);
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            if unit > 0 || !plain {
                return Err(NO_NUMBER);
            }
            (number, digits.parse().unwrap_or(u32::MAX))
        }
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if number.ends_with('.') || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NO_NUMBER);
    }
    let whole = ungrouped(whole).ok_or(NO_NUMBER)?;
    let digits = format!("{whole}{}", fraction.trim_end_matches('0'));
    let places = fraction.trim_end_matches('0').len() as u32;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    if digits.len() > DIGITS_MAX {
        return Err(TOO_LARGE);
    }
    let value: u128 = digits.parse().map_err(|_| NO_NUMBER)?;
    let power = exponent.saturating_add(unit);
    if power < places {
        return Err("it is not a whole number");
    }
    let scale = 10u128.checked_pow(power - places).ok_or(TOO_LARGE)?;
    let value = value.checked_mul(scale).ok_or(TOO_LARGE)?;
    u64::try_from(value).map_err(|_| TOO_LARGE)
}

/// The digits of a whole number, without what sets thousands apart: `_` anywhere between digits, `,` only where thousands are.
fn ungrouped(whole: &str) -> Option<String> {
    let first = whole.bytes().next()?;
    let last = whole.bytes().last()?;
    if !first.is_ascii_digit() || !last.is_ascii_digit() {
        return None;
    }
    if whole.contains(',') {
        let groups: Vec<&str> = whole.split(',').collect();
        let sound = groups.iter().enumerate().all(|(at, group)| {
            let fits = if at == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 };
            fits && group.bytes().all(|byte| byte.is_ascii_digit())
        });
        return sound.then(|| groups.concat());
    }
    let digits = whole.replace('_', "");
    (!whole.contains("__") && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_spelling_of_a_count_is_read() {
        for (text, count) in [
            ("0", 0),
            ("007", 7),
            (" 12 ", 12),
            ("1_000", 1_000),
            ("1_0", 10),
            ("12,345,678", 12_345_678),
            ("1e6", 1_000_000),
            ("1E+6", 1_000_000),
            ("2.5e3", 2_500),
            ("1.50e1", 15),
            ("20k", 20_000),
            ("20K", 20_000),
            ("1.5M", 1_500_000),
            ("3 G", 3_000_000_000),
            ("1T", 1_000_000_000_000),
            ("1.0", 1),
            ("0e99999999999", 0),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_a_whole_number_is_refused_and_nothing_wraps() {
        for (text, says) in [
            ("", "such as"),
            ("many", "such as"),
            ("e6", "such as"),
            ("M", "such as"),
            ("1e", "such as"),
            ("1e6M", "such as"),
            ("1e-6", "such as"),
            (".5k", "such as"),
            ("1.", "such as"),
            ("1._5", "such as"),
            ("_1", "such as"),
            ("1__0", "such as"),
            ("1,00", "such as"),
            ("1,0000", "such as"),
            ("10 000", "such as"),
            ("1m", "such as"),
            ("1 MB", "such as"),
            ("0x10", "such as"),
            ("-1", "negative"),
            ("0.5", "it is not a whole number"),
            ("1.2345k", "it is not a whole number"),
            ("18446744073709551616", "larger than"),
            ("1e20", "larger than"),
            ("1e99999999999", "larger than"),
            ("20000000T", "larger than"),
            ("99999999999999999999999999999999999999999", "larger than"),
        ] {
            let error = parse_count(text).expect_err(text);
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_number_reads_back_however_it_is_grouped(count in any::<u64>()) {
            prop_assert_eq!(parse_count(&count.to_string()), Ok(count));
            let digits = count.to_string();
            let grouped = |mark: char| {
                let mut text = String::new();
                for (at, digit) in digits.chars().enumerate() {
                    if at > 0 && (digits.len() - at).is_multiple_of(3) {
                        text.push(mark);
                    }
                    text.push(digit);
                }
                text
            };
            prop_assert_eq!(parse_count(&grouped('_')), Ok(count));
            prop_assert_eq!(parse_count(&grouped(',')), Ok(count));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), number in "[0-9._,]{0,45}", unit in "[kKMGTe+0-9 ]{0,12}") {
            let _ = parse_count(&text);
            let _ = parse_count(&format!("{number}{unit}"));
        }
    }
}
