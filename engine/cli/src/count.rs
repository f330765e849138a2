//! Counts on the command line: `1000000`, `1_000_000`, `1e6` and `1M` alike, in every flag that takes one.

use pelton_runtime::config::parse_count;
use std::ops::RangeInclusive;

/// What reads a flag's count, for `value_parser`.
///
/// ```
/// assert_eq!(pelton_cli::count("2.5k"), Ok(2_500));
/// assert!(pelton_cli::count("many").is_err());
/// ```
///
/// # Errors
/// When it is none.
pub fn count(text: &str) -> Result<u64, String> {
    parse_count(text).map_err(str::to_owned)
}

/// The same for a flag that takes counts within `range` only.
///
/// ```
/// let shards = pelton_cli::count_in(1..=64);
/// assert_eq!(shards("64"), Ok(64));
/// assert_eq!(shards("65").unwrap_err(), "it is not from 1 to 64");
/// ```
pub fn count_in(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| match count(text)? {
        number if range.contains(&number) => Ok(number),
        _ if *range.end() == u64::MAX => Err(format!("it is less than {}", range.start())),
        _ => Err(format!("it is not from {} to {}", range.start(), range.end())),
    }
}
