//! The likely meaning of a misspelt name.

/// The candidate nearest to `name`, if one is near enough to be worth offering.
///
/// Case and dashes are forgiven. A dotted candidate is also met by its last part alone, so that `records_max`
/// outside `[tick]` finds `tick.records_max`.
pub(super) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A name this long is no typing slip, and the distance takes time in proportion to its length.
    if name.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    let name = plain(name);
    let distance = |candidate: &str| {
        let candidate = plain(candidate);
        let whole = strsim::damerau_levenshtein(&name, &candidate);
        let parts = 1 + strsim::damerau_levenshtein(&last(&name), &last(&candidate));
        let (distance, len) = if whole <= parts { (whole, name.len()) } else { (parts, last(&name).len()) };
        (distance <= (len / 3).max(1)).then_some(distance)
    };
    let near = candidates.into_iter().filter_map(|candidate| Some((distance(candidate)?, candidate)));
    near.min_by_key(|&(distance, _)| distance).map(|(_, candidate)| candidate)
}

/// `; did you mean X?` for the nearest candidate, or nothing.
pub(super) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] =
        ["cores", "shards", "key_groups", "tick.records_max", "tick.bytes_max", "idle.spin_us"];

    #[test]
    fn slips_find_their_name() {
        for (slip, name) in [
            ("core", "cores"),
            ("shrads", "shards"),
            ("SHARDS", "shards"),
            ("key-groups", "key_groups"),
            ("keygroups", "key_groups"),
            ("records_max", "tick.records_max"),
            ("tick.record_max", "tick.records_max"),
            ("idle.records_max", "tick.records_max"),
            ("spin_us", "idle.spin_us"),
        ] {
            assert_eq!(nearest(slip, NAMES), Some(name), "{slip}");
        }
    }

    #[test]
    fn what_resembles_nothing_finds_nothing() {
        for name in ["parallelism", "", "x", "port", &"shards".repeat(20)] {
            assert_eq!(nearest(name, NAMES), None, "{name}");
        }
    }
}
