//! Typed values: what a key takes, how text and TOML become it, and how it is written back.
//!
//! A [`Kind`] holds the bounds that hold on every machine; the sentence that tells the user what is allowed is made
//! from the same numbers. What depends on the machine or on another key is checked later, in `limits`.

use crate::plan;
use std::fmt::{self, Write};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::cores::CoresSpec;
use super::count::parse_count;
use super::size::{format_size, parse_size};
use super::suggest::did_you_mean;

/// The longest name of something kept.
const NAME_MAX: usize = 64;

/// The type and bounds of a key's value.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A count of cores, a list of them, or `auto`.
    Cores,
    /// A whole number.
    Count {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// A size in bytes.
    Size {
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
        /// Whether only powers of two are allowed.
        power_of_two: bool,
    },
    /// One of a few words, each with its meaning.
    Choice(&'static [(&'static str, &'static str)]),
    /// `true` or `false`.
    Switch,
    /// A path; the empty text stands for none.
    Path,
    /// A name or number of something kept; the empty text stands for none.
    Name,
    /// Names of operators, with commas between them; the empty text stands for none.
    Uids,
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Which cores.
    Cores(CoresSpec),
    /// A whole number.
    Count(u64),
    /// A size in bytes.
    Size(u64),
    /// One of the words of a [`Kind::Choice`].
    Choice(&'static str),
    /// On or off.
    Switch(bool),
    /// The text of a [`Kind::Path`] or [`Kind::Name`]; empty for none.
    Text(String),
}

/// What a key is worth when no layer sets it.
#[derive(Clone, Copy, Debug)]
pub enum Fallback {
    /// This text, read as the key's kind.
    Fixed(&'static str),
    /// This text, or what the machine can give if that is less.
    WithinMachine(&'static str),
    /// This text, or a quarter of `buffer` if that is less.
    WithinBuffer(&'static str),
    /// The number of cores.
    OnePerCore,
}

/// Why a value was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What is wrong, if what is allowed does not say it.
    pub reason: String,
    /// The part of a TOML value that is at fault, if it is not the whole.
    pub span: Option<Range<usize>>,
}

impl Kind {
    /// What is allowed, as the end of a sentence.
    pub fn allowed(&self) -> String {
        match *self {
            Kind::Cores => {
                "a count (2), a list of CPU numbers ([0, 1] in the file, 0,1 or 0-3 elsewhere) or \"auto\""
                    .to_owned()
            }
            Kind::Count { min, max } => format!("a whole number from {min} to {max}"),
            Kind::Size { min, max, power_of_two } => format!(
                "a size such as \"64 KB\" or \"2 GB\", from {} to {}{}",
                format_size(min),
                format_size(max),
                if power_of_two { ", a power of two" } else { "" }
            ),
            Kind::Choice(words) => {
                let quoted = words.iter().map(|(word, _)| format!("\"{word}\""));
                let separators = ["", " or "].into_iter().chain(std::iter::repeat(", "));
                // From the last word backwards, so that the last separator is the word "or".
                quoted
                    .rev()
                    .zip(separators)
                    .fold(String::new(), |after, (word, separator)| word + separator + &after)
            }
            Kind::Switch => "true or false".to_owned(),
            Kind::Path => "a path, or \"\" for none".to_owned(),
            Kind::Name => format!(
                "a name of at most {NAME_MAX} letters, digits, `-`, `_` and `.`, or a number, perhaps with `@` and a number, or \"\" for none"
            ),
            Kind::Uids => "names of operators with commas between them, or \"\" for none".to_owned(),
        }
    }

    /// The largest size of this kind that is not above `bytes`, which is not below the least allowed.
    pub(super) fn at_most(&self, bytes: u64) -> u64 {
        match self {
            Kind::Size { power_of_two: true, .. } if !bytes.is_power_of_two() => {
                bytes.next_power_of_two() / 2
            }
            _ => bytes,
        }
    }

    /// Reads a value from a variable or flag.
    pub(super) fn read_text(&self, text: &str) -> Result<Value, Refusal> {
        // A path may begin or end with a blank; nothing else does.
        let text = if matches!(self, Kind::Path) { text } else { text.trim() };
        match *self {
            Kind::Cores => Ok(Value::Cores(CoresSpec::parse(text)?)),
            Kind::Count { .. } => self.count(parse_count(text).map_err(|_| "")?),
            Kind::Size { .. } => self.size(parse_size(text).ok_or("")?),
            Kind::Choice(words) => self.choice(words, text),
            Kind::Switch => match text {
                "true" | "on" => Ok(Value::Switch(true)),
                "false" | "off" => Ok(Value::Switch(false)),
                _ => Err("")?,
            },
            Kind::Path if text.contains('\0') => Err("no path holds a zero byte")?,
            Kind::Name if !is_name(text) => Err("")?,
            Kind::Uids if !uids(text).all(|uid| plan::is_uid(&uid)) => Err("")?,
            Kind::Path | Kind::Name | Kind::Uids => Ok(Value::Text(text.to_owned())),
        }
    }

    /// Reads a value from a configuration file.
    pub(super) fn read_toml(&self, value: &DeValue<'_>) -> Result<Value, Refusal> {
        match (*self, value) {
            (Kind::Cores, DeValue::Array(items)) => Ok(Value::Cores(cores_list(items)?)),
            (Kind::Cores, DeValue::Integer(_)) => Ok(Value::Cores(CoresSpec::count(integer(value)?)?)),
            (Kind::Count { .. }, DeValue::Integer(_)) => self.count(integer(value)?),
            (Kind::Size { .. }, DeValue::Integer(_)) => self.size(integer(value)?),
            (Kind::Switch, &DeValue::Boolean(on)) => Ok(Value::Switch(on)),
            // A checkpoint's number reads well without quotes.
            (Kind::Name, DeValue::Integer(_)) => Ok(Value::Text(integer(value)?.to_string())),
            (
                Kind::Cores | Kind::Size { .. } | Kind::Choice(_) | Kind::Path | Kind::Name | Kind::Uids,
                DeValue::String(text),
            ) => self.read_text(text),
            // What TOML itself writes without quotes must be so; it knows no `1M`.
            (Kind::Count { .. }, DeValue::String(text))
                if text.parse::<u64>().is_err() && parse_count(text).is_ok() =>
            {
                self.read_text(text)
            }
            (Kind::Count { .. } | Kind::Switch, DeValue::String(text)) if self.read_text(text).is_ok() => {
                Err("it must not be in quotes")?
            }
            _ => Err("it has the wrong type")?,
        }
    }

    fn count(&self, count: u64) -> Result<Value, Refusal> {
        match *self {
            Kind::Count { min, max } if (min..=max).contains(&count) => Ok(Value::Count(count)),
            _ => Err("")?,
        }
    }

    fn size(&self, bytes: u64) -> Result<Value, Refusal> {
        match *self {
            Kind::Size { min, .. } if bytes < min => Err("it is too small")?,
            Kind::Size { max, .. } if bytes > max => Err("it is too large")?,
            Kind::Size { power_of_two: true, .. } if !bytes.is_power_of_two() => Err(format!(
                "it is not a power of two; the nearest are {} and {}",
                format_size(bytes.next_power_of_two() / 2),
                format_size(bytes.next_power_of_two())
            ))?,
            _ => Ok(Value::Size(bytes)),
        }
    }

    fn choice(&self, words: &'static [(&str, &str)], text: &str) -> Result<Value, Refusal> {
        match words.iter().find(|(word, _)| *word == text) {
            Some((word, _)) => Ok(Value::Choice(word)),
            None => Err(did_you_mean(text, words.iter().map(|(word, _)| *word)).trim_start_matches("; "))?,
        }
    }
}

/// The accessors that a key's setter uses. A key's value is always of the key's kind, so another is our mistake.
impl Value {
    pub(super) fn count(&self) -> u64 {
        let Value::Count(count) = self else { panic!("{self:?} is not a count") };
        *count
    }

    pub(super) fn size(&self) -> u64 {
        let Value::Size(bytes) = self else { panic!("{self:?} is not a size") };
        *bytes
    }

    pub(super) fn word(&self) -> &'static str {
        let Value::Choice(word) = self else { panic!("{self:?} is not a word") };
        word
    }

    pub(super) fn on(&self) -> bool {
        let Value::Switch(on) = self else { panic!("{self:?} is not a switch") };
        *on
    }

    /// The text, if it is not the empty one that stands for none.
    pub(super) fn text(&self) -> Option<&str> {
        let Value::Text(text) = self else { panic!("{self:?} is not a text") };
        Some(text.as_str()).filter(|text| !text.is_empty())
    }

    pub(super) fn cores(&self) -> &CoresSpec {
        let Value::Cores(spec) = self else { panic!("{self:?} is not a choice of cores") };
        spec
    }
}

/// As it is written in the file.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Cores(spec) => spec.fmt(f),
            Value::Count(count) => count.fmt(f),
            Value::Size(bytes) => write!(f, "\"{}\"", format_size(*bytes)),
            Value::Choice(word) => write!(f, "\"{word}\""),
            Value::Switch(on) => on.fmt(f),
            Value::Text(text) => quoted(text, f),
        }
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Refusal { reason, span: None }
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// `text` as a TOML string on one line.
fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            c if c.is_control() => write!(f, "\\u{:04X}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// The names in a text of [`Kind::Uids`].
pub(super) fn uids(text: &str) -> impl Iterator<Item = String> {
    let none = text.trim().is_empty();
    text.split(',').filter(move |_| !none).map(|uid| uid.trim().to_owned())
}

/// Whether `text` may name a savepoint, and which request for it (`monday`, `monday@2`), or is empty. Such names are parts of paths on some tools'
/// command lines, so they are kept plain.
fn is_name(text: &str) -> bool {
    let (name, number) = text.split_once('@').map_or((text, None), |(name, number)| (name, Some(number)));
    let is_number =
        |number: &str| (1..=9).contains(&number.len()) && number.chars().all(|c| c.is_ascii_digit());
    name.len() <= NAME_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && number.is_none_or(|number| !name.is_empty() && is_number(number))
}

fn cores_list(items: &[Spanned<DeValue<'_>>]) -> Result<CoresSpec, Refusal> {
    let mut list = Vec::with_capacity(items.len());
    for item in items {
        let at = |refusal: Refusal| Refusal { span: Some(item.span()), ..refusal };
        let core = integer(item.get_ref()).map_err(at)? as usize;
        if list.contains(&core) {
            return Err(at(format!("core {core} is listed twice").into()));
        }
        list.push(core);
    }
    Ok(CoresSpec::list(list)?)
}

fn integer(value: &DeValue<'_>) -> Result<u64, Refusal> {
    let DeValue::Integer(digits) = value else { Err("it has the wrong type")? };
    Ok(u64::from_str_radix(digits.as_str(), digits.radix()).map_err(|_| "")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: Kind = Kind::Count { min: 1, max: 1024 };
    const RING: Kind = Kind::Size { min: 64 << 10, max: 1 << 30, power_of_two: true };
    const WORD: Kind = Kind::Choice(&[("glommio", ""), ("threads", "")]);

    fn toml(kind: Kind, text: &str) -> Result<Value, String> {
        let value = DeValue::parse(text).expect("valid TOML");
        kind.read_toml(value.get_ref()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn toml_and_text_give_the_same_values() {
        for (kind, in_toml, in_text, value) in [
            (COUNT, "1_000", "1000", Value::Count(1000)),
            (COUNT, "0x10", "16", Value::Count(16)),
            (RING, "\"1 MB\"", "1 MB", Value::Size(1 << 20)),
            (RING, "65536", "65536", Value::Size(65536)),
            (WORD, "\"threads\"", "threads", Value::Choice("threads")),
            (Kind::Switch, "false", "off", Value::Switch(false)),
            (Kind::Cores, "2", "2", Value::Cores(CoresSpec::Count(2))),
            (Kind::Cores, "[1, 0]", "1,0", Value::Cores(CoresSpec::List(vec![1, 0]))),
            (Kind::Cores, "\"auto\"", "auto", Value::Cores(CoresSpec::Auto)),
            (Kind::Path, "' a b'", " a b", Value::Text(" a b".to_owned())),
            (Kind::Path, "\"a\\\"\\\\\\n\\u0007\"", "a\"\\\n\u{7}", Value::Text("a\"\\\n\u{7}".to_owned())),
            (Kind::Path, "''", "", Value::Text(String::new())),
            (Kind::Name, "12", " 12", Value::Text("12".to_owned())),
            (Kind::Name, "'monday@2'", "monday@2", Value::Text("monday@2".to_owned())),
            (
                Kind::Uids,
                "'window-0, per.shop'",
                "window-0, per.shop",
                Value::Text("window-0, per.shop".to_owned()),
            ),
            (Kind::Name, "'before-1.2_x'", "before-1.2_x", Value::Text("before-1.2_x".to_owned())),
        ] {
            assert_eq!(toml(kind, in_toml).as_ref(), Ok(&value), "{in_toml}");
            assert_eq!(kind.read_text(in_text).as_ref(), Ok(&value), "{in_text}");
            assert_eq!(toml(kind, &value.to_string()), Ok(value), "what is written reads back");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        for (kind, text, reason) in [
            (COUNT, "0", ""),
            (COUNT, "1025", ""),
            (COUNT, "-1", ""),
            (COUNT, "99999999999999999999999", ""),
            (COUNT, "1.5", "wrong type"),
            (COUNT, "\"4\"", "not be in quotes"),
            (COUNT, "\"four\"", "wrong type"),
            (COUNT, "2020-01-01", "wrong type"),
            (RING, "\"32 KB\"", "too small"),
            (RING, "\"2 GB\"", "too large"),
            (RING, "100_000", "the nearest are 64 KB and 128 KB"),
            (RING, "\"lots\"", ""),
            (RING, "true", "wrong type"),
            (WORD, "\"glomio\"", "did you mean `glommio`?"),
            (WORD, "1", "wrong type"),
            (Kind::Switch, "\"true\"", "not be in quotes"),
            (Kind::Switch, "1", "wrong type"),
            (Kind::Cores, "0", "at least one core"),
            (Kind::Cores, "[]", "at least one core"),
            (Kind::Cores, "[0, 1, 0]", "core 0 is listed twice"),
            (Kind::Cores, "[0, -1]", ""),
            (Kind::Cores, "[\"0\"]", "wrong type"),
            (Kind::Cores, "1.0", "wrong type"),
            (Kind::Path, "1", "wrong type"),
            (Kind::Path, "\"a\\u0000b\"", "zero byte"),
            (Kind::Name, "\"a/b\"", ""),
            (Kind::Name, "\"@2\"", ""),
            (Kind::Name, "\"a@\"", ""),
            (Kind::Name, "\"a@b\"", ""),
            (Kind::Name, "true", "wrong type"),
            (Kind::Name, "-1", ""),
        ] {
            let refusal = toml(kind, text).expect_err(text);
            assert!(
                refusal.contains(reason) && refusal.is_empty() == reason.is_empty(),
                "{text}: {refusal:?}"
            );
        }
    }

    #[test]
    fn the_item_at_fault_is_pointed_at() {
        let text = "[0, 1, 0]";
        let value = DeValue::parse(text).expect("valid TOML");
        let refusal = Kind::Cores.read_toml(value.get_ref()).unwrap_err();
        assert_eq!(refusal.span, Some(7..8));
    }
}
