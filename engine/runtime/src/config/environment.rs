//! The environment layer: variables named `PELTON_` and a key in capitals.
//!
//! Kubernetes and Docker put variables of this prefix into a process's environment for each service or container whose name begins with
//! `pelton`, and nobody can keep them from it. So a variable that names no key must not stop a start:
//!
//! ```text
//!  names a key                            read; a bad value is an error
//!  has the form of a service link         passed over
//!  nearly names a key                     an error with the key: it is a slip, and would be ignored in silence otherwise
//!  anything else                          passed over, and reported as a note
//! ```

use std::ffi::OsString;

use super::error::{ConfigPlace, Problem, ProblemKind, quote};
use super::keys::{KEYS, Key};
use super::layers::Entry;
use super::suggest::nearest;

const PREFIX: &str = "PELTON_";

/// Reads the variables that are ours out of an environment.
pub(super) fn entries(
    environment: &[(OsString, OsString)],
    entries: &mut Vec<Entry>,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<Problem>,
) {
    for (name, text) in environment {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX) || is_ours_otherwise(&name) {
            continue;
        }
        let place = ConfigPlace::Variable(name.to_string());
        let Some(key) = KEYS.iter().find(|key| key.variable() == name) else {
            if !is_link(&name, &text.to_string_lossy()) {
                unknown(&name, place, problems, notes);
            }
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

/// A variable that names no key: a problem if it nearly names one, a note otherwise.
fn unknown(name: &str, place: ConfigPlace, problems: &mut Vec<Problem>, notes: &mut Vec<Problem>) {
    // Compared without the prefix, which would make any two variables look alike.
    let variables: Vec<String> = KEYS.iter().map(Key::variable).collect();
    let bare = variables.iter().filter_map(|variable| variable.strip_prefix(PREFIX));
    let near = name.strip_prefix(PREFIX).and_then(|name| nearest(name, bare));
    let (into, message) = match near {
        Some(near) => (problems, format!("no key has this variable; did you mean `{PREFIX}{near}`?")),
        None => (notes, "no key has this variable, and it is passed over".to_owned()),
    };
    into.push(Problem { kind: ProblemKind::Unknown, place, message });
}

/// Whether a variable of our prefix belongs to our own builds and tests, which cargo hands on to what it runs.
fn is_ours_otherwise(name: &str) -> bool {
    matches!(name, "PELTON_BLESS" | "PELTON_RUSTC_VERSION") || name.starts_with("PELTON_TEST_")
}

/// Whether a variable has the form that Kubernetes and Docker give to those of a service, or a linked container, called `pelton` or
/// `pelton-ANYTHING`. No key has a name of that form.
///
/// ```text
///  PELTON_UI_SERVICE_HOST   PELTON_UI_SERVICE_PORT   PELTON_UI_SERVICE_PORT_HTTP
///  PELTON_UI_PORT=tcp://10.0.0.1:8080
///  PELTON_UI_PORT_8080_TCP=tcp://10.0.0.1:8080      and with _PROTO, _ADDR, _PORT, _PORT_START, _PORT_END
///  PELTON_UI_NAME=/web/pelton-ui                    PELTON_UI_ENV_ANYTHING
/// ```
fn is_link(name: &str, value: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let name = &name[PREFIX.len() - 1..];
    let of_port = |rest: &str| {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let protocol = |of: &&str| number.strip_prefix('_').and_then(|rest| rest.strip_prefix(*of));
        let behind = PROTOCOLS.iter().find_map(protocol);
        number.len() < rest.len()
            && matches!(behind, Some("" | "_PROTO" | "_ADDR" | "_PORT" | "_PORT_START" | "_PORT_END"))
    };
    let is_address = || {
        value
            .split_once("://")
            .is_some_and(|(scheme, _)| PROTOCOLS.iter().any(|p| p.eq_ignore_ascii_case(scheme)))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.contains("_ENV_")
        || name.ends_with("_PORT") && is_address()
        || name.ends_with("_NAME") && value.starts_with('/')
        || name.match_indices("_PORT_").any(|(at, word)| of_port(&name[at + word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> (Vec<Entry>, Vec<String>) {
        let (mut found, mut problems, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        entries(&[(name.into(), text.into())], &mut found, &mut problems, &mut notes);
        (found, problems.iter().map(Problem::to_string).collect())
    }

    fn noted(name: &str, text: &str) -> Vec<String> {
        let (mut found, mut problems, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        entries(&[(name.into(), text.into())], &mut found, &mut problems, &mut notes);
        assert!(found.is_empty() && problems.is_empty(), "{name}: {problems:?}");
        notes.iter().map(Problem::to_string).collect()
    }

    #[test]
    fn each_key_has_its_variable() {
        let (found, problems) = read("PELTON_TICK_BYTES_MAX", "64 KB");
        assert_eq!((found[0].key.name, problems.len()), ("tick.bytes_max", 0));
        assert_eq!(found[0].place, ConfigPlace::Variable("PELTON_TICK_BYTES_MAX".to_owned()));
    }

    #[test]
    fn a_misspelt_variable_is_an_error_with_a_suggestion() {
        assert_eq!(
            read("PELTON_SHRADS", "2").1,
            ["PELTON_SHRADS: no key has this variable; did you mean `PELTON_SHARDS`? [C03]"]
        );
        assert_eq!(read("PELTON_shards", "2").1.len(), 1, "names are in capitals");
        for slip in
            ["PELTON_CORE", "PELTON_MEMROY", "PELTON_KEYGROUPS", "PELTON_TICK_RECORD_MAX", "PELTON_DRIVERS"]
        {
            assert_eq!(read(slip, "2").1.len(), 1, "{slip}");
        }
    }

    #[test]
    fn a_variable_that_resembles_no_key_is_a_note() {
        for name in ["PELTON_THREADS", "PELTON_FAVOURITE", "PELTON_", "PELTON_UI_HOME", "PELTON_PORT"] {
            let note = format!("{name}: no key has this variable, and it is passed over [C03]");
            assert_eq!(noted(name, "2"), [note]);
        }
    }

    /// What `docker run --link` and Kubernetes set for services of these names, each with any of the values that are theirs.
    #[test]
    fn variables_of_service_links_are_passed_over() {
        for service in
            ["", "_UI", "_CORES", "_SHARDS", "_MEMORY", "_DATA", "_KEY_GROUPS", "_LOG", "_TICK", "_A_B_C"]
        {
            for (rest, value) in [
                ("SERVICE_HOST", "10.0.0.1"),
                ("SERVICE_PORT", "8080"),
                ("SERVICE_PORT_HTTP", "8080"),
                ("SERVICE_PORT_HTTPS_ALT", "8443"),
                ("PORT", "tcp://10.0.0.1:8080"),
                ("PORT", "udp://10.0.0.1:53"),
                ("PORT_8080_TCP", "tcp://10.0.0.1:8080"),
                ("PORT_8080_TCP_PROTO", "tcp"),
                ("PORT_8080_TCP_ADDR", "10.0.0.1"),
                ("PORT_8080_TCP_PORT", "8080"),
                ("PORT_8080_TCP_PORT_START", "8080"),
                ("PORT_53_UDP_ADDR", "10.0.0.1"),
                ("PORT_9_SCTP", "sctp://[fd00::1]:9"),
                ("NAME", "/web/pelton"),
                ("ENV_PATH", "/usr/bin"),
                ("ENV_PELTON_SHARDS", "2"),
            ] {
                let name = format!("PELTON{service}_{rest}");
                assert!(noted(&name, value).is_empty(), "{name}={value}");
            }
        }
    }

    #[test]
    fn no_key_has_the_form_of_a_link() {
        for key in KEYS {
            for value in ["tcp://10.0.0.1:80", "/a/b", "2"] {
                assert!(!is_link(&key.variable(), value), "{}", key.name);
            }
        }
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
        let (mut found, mut problems, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        let bytes = OsString::from_vec(vec![0x31, 0xff]);
        entries(&[("PELTON_CORES".into(), bytes)], &mut found, &mut problems, &mut notes);
        assert!(problems[0].message.contains("not UTF-8"), "{problems:?}");
    }

    #[test]
    fn variables_of_others_are_left_alone() {
        for name in ["PATH", "PELTONSHARDS", "PELTON_BLESS", "PELTON_RUSTC_VERSION", "PELTON_TEST_CHILD"] {
            assert!(noted(name, "2").is_empty(), "{name}");
        }
    }
}
