//! Which CPUs to use: a count, a list, or all of them.
//!
//! A [`CoresSpec`] is what the user wrote and means the same everywhere; binding it to a [`Machine`] gives CPU numbers
//! or says why this machine cannot. Reading never allocates more than [`CPU_LIST_MAX`] entries, whatever the text.

use crate::bounds::CPU_LIST_MAX;
use std::fmt;

use super::machine::Machine;

/// Which CPUs to use, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoresSpec {
    /// Every CPU that the process may use, or as many of them as its CPU quota keeps busy.
    Auto,
    /// This many, chosen by the engine.
    Count(usize),
    /// Exactly these.
    List(Vec<usize>),
}

impl CoresSpec {
    /// Reads `auto`, `2`, `0,1`, `0-3,8` or `[0, 1]`; a lone number is a count. The error is what is wrong.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("auto") {
            return Ok(CoresSpec::Auto);
        }
        if let Ok(count) = text.parse::<usize>() {
            return Self::count(count as u64);
        }
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        Self::list(parse_list(inner).ok_or("it is neither a count, a list nor `auto`")?)
    }

    /// `count` cores.
    pub(super) fn count(count: u64) -> Result<Self, String> {
        match usize::try_from(count) {
            Ok(0) => Err("the engine needs at least one core".to_owned()),
            Ok(count) if count <= CPU_LIST_MAX => Ok(CoresSpec::Count(count)),
            _ => Err(format!("no machine has more than {CPU_LIST_MAX} cores")),
        }
    }

    /// Exactly `list`, which must name each core once.
    pub(super) fn list(list: Vec<usize>) -> Result<Self, String> {
        if list.is_empty() {
            return Err("the list is empty, and the engine needs at least one core".to_owned());
        }
        if let Some(twice) = list.iter().enumerate().find(|&(i, core)| list[..i].contains(core)) {
            return Err(format!("core {} is listed twice", twice.1));
        }
        Ok(CoresSpec::List(list))
    }

    /// The CPU numbers this comes to on `machine`; the error is why it cannot.
    pub(super) fn bind(&self, machine: &Machine) -> Result<Vec<usize>, String> {
        let offers = || format!("this machine offers {}", machine.cpus_sentence());
        match self {
            CoresSpec::Auto => Ok(machine.pick(machine.usable())),
            CoresSpec::Count(count) if *count <= machine.cpus.len() => Ok(machine.pick(*count)),
            CoresSpec::Count(_) => Err(offers()),
            CoresSpec::List(list) => match list.iter().find(|core| !machine.cpus.contains(core)) {
                Some(absent) => Err(format!("there is no core {absent} to use; {}", offers())),
                None => Ok(list.clone()),
            },
        }
    }
}

impl fmt::Display for CoresSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CoresSpec::Auto => f.write_str("\"auto\""),
            CoresSpec::Count(count) => write!(f, "{count}"),
            CoresSpec::List(list) => write!(f, "{list:?}"),
        }
    }
}

/// Reads `0-3,8`, the form that Linux and `taskset` use. None for anything else, or for absurdly many.
pub(super) fn parse_list(text: &str) -> Option<Vec<usize>> {
    let mut list = Vec::new();
    if text.trim().is_empty() {
        return Some(list);
    }
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        if first > last || (last - first).saturating_add(list.len()) >= CPU_LIST_MAX {
            return None;
        }
        list.extend(first..=last);
    }
    Some(list)
}

/// The reverse of [`parse_list`] for an ascending list: `0-3,8`.
pub(super) fn format_list(ascending: &[usize]) -> String {
    let runs = ascending.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [one] => one.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_way_of_naming_cores_is_read() {
        for (text, spec) in [
            ("auto", CoresSpec::Auto),
            ("AUTO", CoresSpec::Auto),
            ("2", CoresSpec::Count(2)),
            ("0,1", CoresSpec::List(vec![0, 1])),
            ("3, 1", CoresSpec::List(vec![3, 1])),
            ("[1]", CoresSpec::List(vec![1])),
            ("0-2,8", CoresSpec::List(vec![0, 1, 2, 8])),
        ] {
            assert_eq!(CoresSpec::parse(text), Ok(spec), "{text:?}");
        }
    }

    #[test]
    fn senseless_cores_are_refused_with_the_reason() {
        for (text, reason) in [
            ("0", "at least one"),
            ("[]", "empty"),
            ("", "empty"),
            ("0,1,0", "core 0 is listed twice"),
            ("0-2,2", "core 2 is listed twice"),
            ("two", "neither"),
            ("-1", "neither"),
            ("3-1", "neither"),
            ("0-99999999999", "neither"),
            ("100000", "no machine"),
        ] {
            let error = CoresSpec::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_list_prints_as_runs() {
        assert_eq!(format_list(&[0]), "0");
        assert_eq!(format_list(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9, \\-\\[\\]auto]{0,24}", any in any::<String>()) {
            let _ = CoresSpec::parse(&text);
            let _ = CoresSpec::parse(&any);
        }
    }
}
