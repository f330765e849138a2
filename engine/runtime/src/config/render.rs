//! What a person reads of a configuration: the effective values with their origins, and a file to start from.
//!
//! Both are TOML that reads back: `show` gives the same configuration again, and a template passes the check on the
//! machine it was made for.

use super::keys::KEYS;
use super::layers::Loaded;
use super::machine::Machine;
use super::value::{Fallback, Kind};

/// The effective configuration, one key a line, each with where it came from.
///
/// ```
/// use pelton::config::{Config, show};
///
/// let shown = show(&Config::load_with(None, &[("buffer", "64 KB")])?);
/// assert!(shown.contains("buffer"));
/// assert!(shown.contains("# flag --buffer"));
/// # Ok::<(), pelton::config::ConfigError>(())
/// ```
pub fn show(loaded: &Loaded) -> String {
    let rows: Vec<[String; 3]> = loaded
        .settings
        .iter()
        .map(|setting| [setting.key.name.to_owned(), setting.value.to_string(), setting.origin.to_string()])
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, values) = (width(0), width(1));
    let file = loaded.file.as_ref().map_or("none".to_owned(), |path| path.display().to_string());
    let mut text = format!("# file: {}\n# machine: {}\n", one_line(&file), loaded.machine.sentence());
    for note in &loaded.notes {
        text.push_str(&format!("# note: {}\n", one_line(&note.to_string())));
    }
    for [name, value, origin] in rows {
        text.push_str(&format!("{name:names$} = {value:values$}  # {}\n", one_line(&origin)));
    }
    text
}

/// A commented file with the suggested value of every key for `machine`.
///
/// ```
/// use pelton::config::{Machine, template};
///
/// assert!(template(&Machine::detect()).contains("[tick]"));
/// ```
pub fn template(machine: &Machine) -> String {
    let mut text = format!(
        "# The configuration of a Pelton engine.\n\
         # Suggested for a machine with {}.\n\
         # A key that is left out has its default. The environment (PELTON_...) and flags override this file.\n",
        machine.sentence()
    );
    let mut section = None;
    for key in KEYS {
        let (own, name) = key.section();
        if own != section {
            section = own;
            text.push_str(&format!("\n[{}]\n", own.unwrap_or_default()));
        }
        text.push('\n');
        comment(&mut text, key.doc);
        if let Kind::Choice(words) = key.kind {
            for (word, meaning) in words {
                comment(&mut text, &format!("  \"{word}\" {meaning}"));
            }
        }
        comment(&mut text, &format!("Allowed: {}.", key.kind.allowed()));
        comment(&mut text, &format!("Default: {}.", key.default.sentence(&key.kind)));
        text.push_str(&format!("{name} = {}\n", (key.suggest)(machine)));
    }
    text
}

impl Fallback {
    /// What the default is, on any machine, as it is written in the file.
    pub(super) fn sentence(&self, kind: &Kind) -> String {
        let written =
            |text: &str| kind.read_text(text).expect("a default is allowed for its key").to_string();
        match self {
            Fallback::OnePerCore => "the number of cores".to_owned(),
            Fallback::Fixed(text) => written(text),
            Fallback::WithinMachine(text) if matches!(kind, Kind::Size { power_of_two: true, .. }) => {
                format!("{}, or less where that is over half the machine's memory", written(text))
            }
            Fallback::WithinMachine(text) if matches!(kind, Kind::Size { .. }) => {
                format!("{}, or half the machine's memory if that is less", written(text))
            }
            Fallback::WithinMachine(text) => {
                format!("{}, or all of them on a smaller machine", written(text))
            }
            Fallback::WithinBuffer(text) => {
                format!("{}, or a quarter of `buffer` if that is less", written(text))
            }
        }
    }
}

/// Adds `text` as comment lines of a readable width.
fn comment(out: &mut String, text: &str) {
    const WIDTH: usize = 100;
    let indent = &text[..text.len() - text.trim_start().len()];
    let mut line = format!("#{indent}");
    for word in text.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = format!("#{indent}");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// A path may hold anything, and a comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
