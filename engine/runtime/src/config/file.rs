//! The file layer: `pelton.toml` read into entries, each with the line it stands on.
//!
//! The file is walked as a tree of spanned values, not deserialised into a struct, so that every misspelt key and bad
//! value is found in one pass and reported with its line.

use crate::bounds::FILE_BYTES_MAX;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigPlace, Problem, ProblemKind, quote};
use super::keys::{KEYS, find, is_section};
use super::layers::Entry;
use super::suggest::did_you_mean;

/// The text of a configuration file and the name it goes by in messages.
#[derive(Clone, Debug)]
pub struct FileText {
    /// The path, as it was named.
    pub path: PathBuf,
    /// The whole text.
    pub text: String,
}

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<FileText, ConfigError> {
    let refused = |line: usize, message: String| {
        let place = ConfigPlace::File { path: path.to_owned(), line };
        ConfigError::from(Problem { kind: ProblemKind::Unreadable, place, message })
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| refused(0, format!("the configuration file cannot be read: {}", reason(&error))))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(0, "the file is larger than 1 MB, which no configuration is".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        refused(line_of(valid, valid.len()), "the file is not UTF-8 text".to_owned())
    })?;
    Ok(FileText { path: path.to_owned(), text })
}

/// Reads the keys set in `file`. When the text is not TOML only that is reported, since the rest would be guesses.
pub(super) fn entries(file: &FileText, entries: &mut Vec<Entry>, problems: &mut Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    let mut walk = Walk { file, entries, problems: Vec::new() };
    if errors.is_empty() {
        walk.table("", table.get_ref());
    }
    let mut last = 0;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = walk.line(&span);
        // One slip often makes the rest of its line senseless too.
        if std::mem::replace(&mut last, line) == line {
            continue;
        }
        let text = file.text.lines().nth(line - 1).unwrap_or_default();
        walk.problem(
            ProblemKind::Syntax,
            &span,
            format!("{} is not TOML: {}", quote(text.trim()), error.message()),
        );
    }
    // Tables are kept in the order of their names; people mend a file from its top.
    walk.problems.sort_by_key(|&(line, _)| line);
    problems.extend(walk.problems.into_iter().map(|(_, problem)| problem));
}

struct Walk<'a> {
    file: &'a FileText,
    entries: &'a mut Vec<Entry>,
    problems: Vec<(usize, Problem)>,
}

impl Walk<'_> {
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let (name_span, span, name, value) = (name.span(), value.span(), name.get_ref(), value.get_ref());
            let full = format!("{prefix}{name}");
            // A quoted name with a dot in it is no path, whatever it looks like.
            let known = if name.contains('.') { None } else { find(&full) };
            match (known, value) {
                (Some(key), value) => match key.kind.read_toml(value) {
                    Ok(value) => {
                        let place = self.place(&span);
                        self.entries.push(Entry { key, value, place, literal: self.text(&span).to_owned() });
                    }
                    Err(refusal) => {
                        let literal = self.text(&span).to_owned();
                        let at = refusal.span.as_ref().unwrap_or(&span).clone();
                        self.problem(
                            ProblemKind::NotAllowed,
                            &at,
                            Entry::refusal(key, &literal, &refusal.reason),
                        );
                    }
                },
                (None, DeValue::Table(inner)) if prefix.is_empty() && is_section(name) => {
                    self.table(&format!("{name}."), inner);
                }
                (None, _) if prefix.is_empty() && is_section(name) => {
                    let (literal, example) = (quote(self.text(&span)), first_of(name));
                    let message = format!(
                        "`{name}` is a section, so {literal} is not allowed (allowed: `[{name}]`, then `{example} = ...`)"
                    );
                    self.problem(ProblemKind::NotAllowed, &span, message);
                }
                (None, value) => self.unknown(&full, value, &name_span),
            }
        }
    }

    fn unknown(&mut self, full: &str, value: &DeValue<'_>, span: &Range<usize>) {
        let sections = KEYS.iter().filter_map(|key| key.section().0);
        let names = KEYS.iter().map(|key| key.name);
        let (sort, suggestion) = if matches!(value, DeValue::Table(_)) {
            ("section", did_you_mean(full, sections))
        } else {
            ("key", did_you_mean(full, names))
        };
        self.problem(ProblemKind::Unknown, span, format!("there is no {sort} {}{suggestion}", quote(full)));
    }

    fn problem(&mut self, kind: ProblemKind, span: &Range<usize>, message: String) {
        let place = self.place(span);
        self.problems.push((self.line(span), Problem { kind, place, message }));
    }

    fn place(&self, span: &Range<usize>) -> ConfigPlace {
        ConfigPlace::File { path: self.file.path.clone(), line: self.line(span) }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        line_of(self.file.text.as_bytes(), span.start)
    }

    fn text(&self, span: &Range<usize>) -> &str {
        self.file.text.get(span.clone()).unwrap_or_default()
    }
}

/// The line, counted from 1, that byte `at` of `text` stands on.
fn line_of(text: &[u8], at: usize) -> usize {
    1 + text[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

fn first_of(section: &str) -> &'static str {
    let in_section = KEYS.iter().map(|key| key.section()).find(|key| key.0 == Some(section));
    in_section.map_or("", |key| key.1)
}

/// The system's words for `error`, without its number.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(text: &str) -> Vec<String> {
        let file = FileText { path: "p.toml".into(), text: text.to_owned() };
        let mut problems = Vec::new();
        entries(&file, &mut Vec::new(), &mut problems);
        problems.iter().map(Problem::to_string).collect()
    }

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(problems_of(text), expected, "{text}");
    }

    #[test]
    fn entries_carry_their_line_and_text() {
        let text = "# a comment\r\ncores = [0,\r\n  1]\r\n\r\n[tick]\r\nbytes_max = \"64 KB\"\r\n";
        let file = FileText { path: "p.toml".into(), text: text.to_owned() };
        let (mut found, mut problems) = (Vec::new(), Vec::new());
        entries(&file, &mut found, &mut problems);
        assert_eq!(problems, []);
        let seen: Vec<_> = found
            .iter()
            .map(|entry| (entry.key.name, entry.place.to_string(), entry.literal.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("cores", "p.toml:2".to_owned(), "[0,\r\n  1]"),
                ("tick.bytes_max", "p.toml:6".to_owned(), "\"64 KB\""),
            ]
        );
    }

    #[test]
    fn misspelt_names_are_reported_with_their_line_and_a_suggestion() {
        check("\nshrads = 2\n", &["p.toml:2: there is no key `shrads`; did you mean `shards`? [C03]"]);
        check("parallelism = 2", &["p.toml:1: there is no key `parallelism` [C03]"]);
        check(
            "[tikc]\nrecords_max = 1",
            &["p.toml:1: there is no section `tikc`; did you mean `tick`? [C03]"],
        );
        check(
            "[tick]\nrecord_max = 1",
            &["p.toml:2: there is no key `tick.record_max`; did you mean `tick.records_max`? [C03]"],
        );
        check("spin_us = 1", &["p.toml:1: there is no key `spin_us`; did you mean `idle.spin_us`? [C03]"]);
        check(
            "'tick.records_max' = 5",
            &["p.toml:1: there is no key `tick.records_max`; did you mean `tick.records_max`? [C03]"],
        );
    }

    #[test]
    fn bad_values_are_reported_with_what_is_allowed() {
        check(
            "shards = 0",
            &["p.toml:1: `0` is not allowed for `shards` (allowed: a whole number from 1 to 1024) [C04]"],
        );
        check(
            "cores = [\n  0,\n  1,\n  0,\n]",
            &["p.toml:4: `[\\n  0,\\n  1,\\n  0,\\n]` is not allowed for `cores`: core 0 is listed twice \
               (allowed: a count (2), a list of CPU numbers ([0, 1] in the file, 0,1 or 0-3 elsewhere) or \"auto\") [C04]"],
        );
        check(
            "driver = 'glomio'",
            &["p.toml:1: `'glomio'` is not allowed for `driver`: did you mean `glommio`? \
               (allowed: \"auto\", \"glommio\" or \"threads\") [C04]"],
        );
        check(
            "tick = 5",
            &[
                "p.toml:1: `tick` is a section, so `5` is not allowed (allowed: `[tick]`, then `records_max = ...`) [C04]",
            ],
        );
        check(
            "[shards]\nn = 1",
            &["p.toml:1: `[shards]` is not allowed for `shards`: it has the wrong type \
               (allowed: a whole number from 1 to 1024) [C04]"],
        );
    }

    #[test]
    fn every_problem_is_reported_from_the_top() {
        let lines: Vec<_> = problems_of("shards = 0\ncorse = 2\nbuffer = '3 MB'\n[idle]\nspin_us = true\n")
            .iter()
            .map(|problem| problem[..8].to_owned())
            .collect();
        assert_eq!(lines, ["p.toml:1", "p.toml:2", "p.toml:3", "p.toml:5"]);
    }

    #[test]
    fn what_is_not_toml_is_shown_with_its_line() {
        let problems = problems_of("cores = 2\nshards = = 3\nbogus = 1");
        assert!(problems[0].starts_with("p.toml:2: `shards = = 3` is not TOML: "), "{problems:?}");
        assert_eq!(problems.len(), 1, "no second report of the line, and no guesses: {problems:?}");
        assert_eq!(problems_of("a = = 1\nb = = 2").len(), 2);
        assert!(problems_of("cores = 1\ncores = 2")[0].starts_with("p.toml:2: "));
        assert!(problems_of("memory = 2 GB")[0].starts_with("p.toml:1: `memory = 2 GB` is not TOML: "));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let message = |path: &str| read(Path::new(path)).unwrap_err().to_string();
        assert_eq!(
            message("/nonexistent/p.toml"),
            "/nonexistent/p.toml: the configuration file cannot be read: there is no such file [C01]"
        );
        assert_eq!(message("/"), "/: the configuration file cannot be read: it is a directory [C01]");
        assert_eq!(
            message("/dev/zero"),
            "/dev/zero: the file is larger than 1 MB, which no configuration is [C01]"
        );
    }

    #[test]
    fn bytes_that_are_not_text_are_found() {
        let path = std::env::temp_dir().join(format!("pelton-not-text-{}.toml", std::process::id()));
        std::fs::write(&path, b"cores = 1\n# \xff\n").expect("the temporary directory takes a file");
        let error = read(&path).unwrap_err().to_string();
        std::fs::remove_file(&path).expect("it was just written");
        assert_eq!(error, format!("{}:2: the file is not UTF-8 text [C01]", path.display()));
    }
}
