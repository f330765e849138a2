//! The environment layer: variables named `PELTON_` and a key in capitals.
//!
//! The prefix is ours, so a variable that names no key is an error: a misspelt one would otherwise be ignored in
//! silence. Excepted are the few that others set or that are not configuration.

use std::ffi::OsString;

use super::error::{Place, Problem, ProblemKind, quote};
use super::keys::{KEYS, Key};
use super::layers::Entry;
use super::suggest::nearest;

const PREFIX: &str = "PELTON_";

/// Reads the variables that are ours out of an environment.
pub(super) fn entries(
    environment: &[(OsString, OsString)],
    entries: &mut Vec<Entry>,
    problems: &mut Vec<Problem>,
) {
    for (name, text) in environment {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || is_foreign(&name) {
            continue;
        }
        let place = Place::Variable(name.to_string());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            problems.push(Problem { kind: ProblemKind::Unknown, place, message: unknown(&name) });
            continue;
        };
        match text.to_str() {
            Some(text) => Entry::read_text(key, text, place, entries, problems),
            None => {
                let message = format!("the value {} is not UTF-8", quote(&text.to_string_lossy()));
                problems.push(Problem { kind: ProblemKind::NotAllowed, place, message });
            }
        }
    }
}

fn unknown(name: &str) -> String {
    // Compared without the prefix, which would make any two variables look alike.
    let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let bare = variables.iter().filter_map(|variable| variable.strip_prefix(PREFIX));
    let near = name.strip_prefix(PREFIX).and_then(|name| nearest(name, bare));
    let suggestion = near.map_or_else(String::new, |near| format!("; did you mean `{PREFIX}{near}`?"));
    format!("no key has this variable{suggestion}")
}

/// Whether a variable of our prefix is no configuration: those that Kubernetes sets for a service named `pelton`,
/// and those of our own builds and tests, which cargo hands on to what it runs.
fn is_foreign(name: &str) -> bool {
    matches!(name, "PELTON_BLESS" | "PELTON_RUSTC_VERSION" | "PELTON_PORT" | "PELTON_SERVICE_HOST")
        || name.starts_with("PELTON_TEST_")
        || name.starts_with("PELTON_SERVICE_PORT")
        || name
            .strip_prefix("PELTON_PORT_")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> (Vec<Entry>, Vec<String>) {
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        entries(&[(name.into(), text.into())], &mut found, &mut problems);
        (found, problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn each_key_has_its_variable() {
        let (found, problems) = read("PELTON_TICK_BYTES_MAX", "64 KB");
        assert_eq!((found[0].key.name, problems.len()), ("tick.bytes_max", 0));
        assert_eq!(found[0].place, Place::Variable("PELTON_TICK_BYTES_MAX".to_owned()));
    }

    #[test]
    fn a_misspelt_variable_is_an_error_with_a_suggestion() {
        assert_eq!(
            read("PELTON_SHRADS", "2").1,
            ["PELTON_SHRADS: no key has this variable; did you mean `PELTON_SHARDS`? [C03]"]
        );
        assert_eq!(read("PELTON_shards", "2").1.len(), 1, "names are in capitals");
        assert_eq!(read("PELTON_THREADS", "2").1, ["PELTON_THREADS: no key has this variable [C03]"]);
        assert_eq!(read("PELTON_FAVOURITE", "2").1, ["PELTON_FAVOURITE: no key has this variable [C03]"]);
    }

    #[test]
    fn a_bad_value_names_the_variable() {
        assert_eq!(
            read("PELTON_SHARDS", "many").1,
            [
                "PELTON_SHARDS: `many` is not allowed for `shards` (allowed: a whole number from 1 to 1024) [C04]"
            ]
        );
        assert_eq!(read("PELTON_SHARDS", "").1.len(), 1, "an empty variable is not an unset one");
    }

    #[test]
    fn text_that_is_not_unicode_is_refused() {
        use std::os::unix::ffi::OsStringExt;
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        let bytes = OsString::from_vec(vec![0x31, 0xff]);
        entries(&[("PELTON_CORES".into(), bytes)], &mut found, &mut problems);
        assert!(problems[0].message.contains("not UTF-8"), "{problems:?}");
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        for name in [
            "PATH",
            "PELTONSHARDS",
            "PELTON_BLESS",
            "PELTON_RUSTC_VERSION",
            "PELTON_TEST_CHILD",
            "PELTON_PORT",
            "PELTON_PORT_8080_TCP_ADDR",
            "PELTON_SERVICE_HOST",
            "PELTON_SERVICE_PORT_HTTP",
        ] {
            let (found, problems) = read(name, "tcp://10.0.0.1:80");
            assert!(found.is_empty() && problems.is_empty(), "{name}: {problems:?}");
        }
    }
}
