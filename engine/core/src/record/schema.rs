//! Schemas: what a record is made of, by name and in order.
//!
//! Records are archived by place: of two fields that changed places, or two variants of an enum, nothing in the bytes tells. So whatever is
//! kept beyond the life of a program is kept beside the schema of its records, as text, and a program whose records are others
//! is refused with the record and the field by name: [`difference`] finds them.
//!
//! A schema has names of types, fields and variants, but not of modules, so a type may move. It is a constant, made by `#[pelton::record]`;
//! printing it is for starts only.

use crate::exchange::hash;
use crate::record::Record;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::any::TypeId;
use core::fmt;

/// The schema of another type. A function, because a type may contain itself.
pub type Of = fn() -> &'static Schema;

/// What a type of records is made of.
///
/// Two types have the same schema exactly if they print the same, and that is what is stored and compared:
///
/// ```
/// use pelton::Record;
///
/// let schema = <Vec<Option<(u64, String)>> as Record>::SCHEMA;
/// assert_eq!(schema.to_string(), "Vec<Option<(u64, String)>>");
/// ```
#[derive(Clone, Copy)]
pub enum Schema {
    /// A type without parts.
    Plain {
        /// Its name.
        name: &'static str,
    },
    /// What the standard library makes of other types: `Option`, `Vec`, `BTreeMap`.
    Generic {
        /// Its name.
        name: &'static str,
        /// The other types.
        of: &'static [Of],
    },
    /// A tuple.
    Tuple {
        /// Its parts.
        of: &'static [Of],
    },
    /// An array.
    Array {
        /// Its elements.
        of: Of,
        /// How many.
        len: usize,
    },
    /// A struct.
    Struct {
        /// Tells it from others, should it contain itself.
        id: TypeId,
        /// Its name, without the module.
        name: &'static str,
        /// Its fields; those of a tuple struct are called `0`, `1`, ...
        fields: &'static [Field],
    },
    /// An enum.
    Enum {
        /// Tells it from others, should it contain itself.
        id: TypeId,
        /// Its name, without the module.
        name: &'static str,
        /// Its variants.
        variants: &'static [Variant],
    },
}

/// Tells schemas from each other: XXH3 of the text that one prints. It is kept, so it never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId(pub u64);

impl SchemaId {
    /// That of the schema which prints `text`.
    ///
    /// ```
    /// use pelton_core::Record;
    /// use pelton_core::record::schema::SchemaId;
    ///
    /// let id = SchemaId::of(&<(u64, String)>::SCHEMA.to_string());
    /// assert_eq!(id.to_string(), "c0e40d32d9def80a");
    /// ```
    pub fn of(text: &str) -> Self {
        SchemaId(hash::bytes(text.as_bytes()))
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A field of a struct or of a variant.
#[derive(Clone, Copy)]
pub struct Field {
    name: &'static str,
    /// How rkyv was told to archive it, if not as usual.
    with: &'static str,
    of: Of,
}

/// A variant of an enum.
#[derive(Clone, Copy)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// The number that was given to it, if one was.
    pub number: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

impl Field {
    /// The field `name`, a `T`.
    pub const fn of<T: Record>(name: &'static str) -> Self {
        Field { name, with: "", of: || T::SCHEMA }
    }

    /// As `of`, for a field with attributes that say how it is archived.
    pub const fn with<T: Record>(name: &'static str, with: &'static str) -> Self {
        Field { name, with, of: || T::SCHEMA }
    }
}

/// The types that the one being printed is part of.
struct Within<'a> {
    id: TypeId,
    outer: Option<&'a Within<'a>>,
}

impl Schema {
    fn print(&self, f: &mut fmt::Formatter<'_>, within: Option<&Within<'_>>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, of: &[Of]| {
            of.iter().enumerate().try_for_each(|(at, of)| {
                f.write_str(if at == 0 { "" } else { ", " })?;
                of().print(f, within)
            })
        };
        match self {
            Schema::Plain { name } => f.write_str(name),
            Schema::Generic { name, of } => {
                write!(f, "{name}<")?;
                list(f, of)?;
                f.write_str(">")
            }
            Schema::Tuple { of } => {
                f.write_str("(")?;
                list(f, of)?;
                f.write_str(if of.len() == 1 { ",)" } else { ")" })
            }
            Schema::Array { of, len } => {
                f.write_str("[")?;
                of().print(f, within)?;
                write!(f, "; {len}]")
            }
            Schema::Struct { id, name, fields } => {
                if is_within(*id, within) {
                    return write!(f, "^{name}");
                }
                write!(f, "{name} ")?;
                print_fields(f, fields, Some(&Within { id: *id, outer: within }))
            }
            Schema::Enum { id, name, variants } => {
                if is_within(*id, within) {
                    return write!(f, "^{name}");
                }
                write!(f, "enum {name} {{")?;
                let within = Some(&Within { id: *id, outer: within });
                for (at, variant) in variants.iter().enumerate() {
                    write!(f, "{} {}", if at == 0 { "" } else { "," }, variant.name)?;
                    if !variant.number.is_empty() {
                        write!(f, " = {}", variant.number)?;
                    }
                    if !variant.fields.is_empty() {
                        f.write_str(" ")?;
                        print_fields(f, variant.fields, within)?;
                    }
                }
                f.write_str(" }")
            }
        }
    }
}

fn is_within(id: TypeId, mut within: Option<&Within<'_>>) -> bool {
    while let Some(Within { id: outer, outer: next }) = within {
        if *outer == id {
            return true;
        }
        within = *next;
    }
    false
}

fn print_fields(f: &mut fmt::Formatter<'_>, fields: &[Field], within: Option<&Within<'_>>) -> fmt::Result {
    f.write_str("{")?;
    for (at, Field { name, with, of }) in fields.iter().enumerate() {
        write!(f, "{} {name}: ", if at == 0 { "" } else { "," })?;
        of().print(f, within)?;
        if !with.is_empty() {
            write!(f, " as {with}")?;
        }
    }
    f.write_str(" }")
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, None)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first difference between two schemas as they were printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The innermost struct, variant or enum that holds all of it.
    pub within: String,
    /// The field or variant that was there before; none if there was one less.
    pub before: Option<String>,
    /// The field or variant in its place now; none if there is one less.
    pub now: Option<String>,
}

/// An open bracket in a printed schema.
struct Open<'a> {
    /// What is named before it, if its parts are fields or variants.
    name: Option<&'a str>,
    /// Where the part under way begins.
    part: usize,
}

/// In which field or variant `before` and `now` first differ, if in any: both may be lines with printed schemas in them. None as well where
/// the difference is in no record.
///
/// ```
/// use pelton_core::record::schema::difference;
///
/// let before = "sum by u64, keeping Totals { orders: u64, cents: u64 }";
/// let now = "sum by u64, keeping Totals { cents: u64, orders: u64 }";
/// let found = difference(before, now).unwrap();
/// assert_eq!(found.within, "Totals");
/// assert_eq!((found.before.as_deref(), found.now.as_deref()), (Some("orders: u64"), Some("cents: u64")));
/// ```
pub fn difference(before: &str, now: &str) -> Option<Difference> {
    let same = before.bytes().zip(now.bytes()).take_while(|(before, now)| before == now).count();
    if same == before.len() && same == now.len() {
        return None;
    }
    // Brackets and commas are single bytes, so the walk is by bytes; what is cut out begins and ends beside them.
    let mut open: Vec<Open<'_>> = Vec::new();
    for (at, byte) in before.bytes().enumerate().take(same) {
        match byte {
            b'{' => {
                let name = before[..at].trim_end();
                let name = name.rsplit([' ', '<', '(', '[']).next();
                open.push(Open { name: name.filter(|name| !name.is_empty()), part: at + 1 });
            }
            b'<' | b'(' | b'[' => open.push(Open { name: None, part: at + 1 }),
            b'}' | b'>' | b')' | b']' => drop(open.pop()),
            b',' => open.iter_mut().next_back().into_iter().for_each(|open| open.part = at + 1),
            _ => {}
        }
    }
    let Open { name, part } = open.into_iter().rfind(|open| open.name.is_some())?;
    let (mut of_before, mut of_now) = (parts(before, part), parts(now, part));
    let (mut before, mut now) = (of_before.next(), of_now.next());
    // Where one has a part more than the other, the one before it is the same.
    if before == now {
        (before, now) = (of_before.next(), of_now.next());
    }
    Some(Difference { within: name?.to_string(), before, now })
}

/// The fields or variants from `at` on, as far as the bracket around them.
fn parts(text: &str, at: usize) -> impl Iterator<Item = String> {
    let mut rest = text.get(at..);
    core::iter::from_fn(move || {
        let text = rest?;
        let mut depth = 0usize;
        let mut last = true;
        let end = text.bytes().position(|byte| {
            match byte {
                b'{' | b'<' | b'(' | b'[' => depth += 1,
                b'}' | b'>' | b')' | b']' if depth == 0 => return true,
                b'}' | b'>' | b')' | b']' => depth -= 1,
                b',' if depth == 0 => {
                    last = false;
                    return true;
                }
                _ => {}
            }
            false
        });
        let end = end.unwrap_or(text.len());
        rest = if last { None } else { text.get(end + 1..) };
        Some(text[..end].trim().to_string()).filter(|part| !part.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;

    fn text<T: Record>() -> String {
        T::SCHEMA.to_string()
    }

    #[test]
    fn types_print_as_they_are_written() {
        assert_eq!(text::<()>(), "()");
        assert_eq!(text::<(u8,)>(), "(u8,)");
        assert_eq!(text::<(u64, [bool; 3])>(), "(u64, [bool; 3])");
        assert_eq!(text::<BTreeMap<String, Vec<Box<f32>>>>(), "BTreeMap<String, Vec<Box<f32>>>");
        assert_eq!(
            text::<crate::Windowed<char, Option<i128>>>(),
            "Windowed { window: Window { start: EventTime, end: EventTime }, key: char, value: Option<i128> }"
        );
    }

    /// `within: before -> now`.
    fn found(before: &str, now: &str) -> Option<String> {
        let other_way = difference(now, before);
        let found = difference(before, now);
        let turned = found.clone().map(|found| Difference { before: found.now, now: found.before, ..found });
        assert_eq!(other_way, turned, "it is the same from the other side");
        found.map(|found| {
            let show = |part: Option<String>| part.unwrap_or_else(|| "-".to_string());
            alloc::format!("{}: {} -> {}", found.within, show(found.before), show(found.now))
        })
    }

    #[test]
    fn the_difference_is_named() {
        let is = |before: &str, now: &str, expected: &str| {
            assert_eq!(found(before, now).as_deref(), Some(expected), "{before} | {now}");
        };
        is("Bid { a: u64, b: u64 }", "Bid { b: u64, a: u64 }", "Bid: a: u64 -> b: u64");
        is("Bid { a: u64 }", "Bid { a: u32 }", "Bid: a: u64 -> a: u32");
        is("Bid { a: u64 }", "Bid { a: u64, b: u64 }", "Bid: - -> b: u64");
        is("Bid { a: u64, b: u64, c: u64 }", "Bid { a: u64, c: u64 }", "Bid: b: u64 -> c: u64");
        is("Bid { auction: u64 }", "Bid { auctioneer: u64 }", "Bid: auction: u64 -> auctioneer: u64");
        is("enum Side { Buy, Sell }", "enum Side { Sell, Buy }", "Side: Buy -> Sell");
        is("enum Side { Buy }", "enum Side { Buy, Sell }", "Side: - -> Sell");
        is("enum Side { Buy }", "enum Side { Buy = 2 }", "Side: Buy -> Buy = 2");
        is("enum E { A { x: u8, y: u8 } }", "enum E { A { y: u8, x: u8 } }", "A: x: u8 -> y: u8");
        // In the innermost record, whatever is around it and before it.
        is(
            "k by (u64, Key { a: u8 }), keeping Option<Vec<Bid { a: (u8, u8), b: X { c: bool } }>>",
            "k by (u64, Key { a: u8 }), keeping Option<Vec<Bid { a: (u8, u16), b: X { c: bool } }>>",
            "Bid: a: (u8, u8) -> a: (u8, u16)",
        );
        is(
            "by u64, keeping O { in: Option<I { p: u8, q: u8 }>, z: u8 }",
            "by u64, keeping O { in: Option<I { q: u8, p: u8 }>, z: u8 }",
            "I: p: u8 -> q: u8",
        );
        // After a record that is the same, and with letters of more than one byte.
        is("A { x: u8 } and B { é: u8 }", "A { x: u8 } and B { è: u8 }", "B: é: u8 -> è: u8");
    }

    #[test]
    fn there_may_be_none_to_name() {
        assert_eq!(found("Bid { a: u64 }", "Bid { a: u64 }"), None);
        assert_eq!(found("Bid { a: u64 }", "Offer { a: u64 }"), None);
        assert_eq!(found("(u64, u32)", "(u32, u64)"), None);
        assert_eq!(found("", "x"), None);
    }

    #[test]
    fn no_text_is_a_reason_to_panic() {
        let texts = ["", "{", "}", "a { b", "{}{}{", "é { ü", "a { b, , }", ">>>", "a { b }} }"];
        for before in texts {
            for now in texts {
                let _ = difference(before, now);
            }
        }
    }
}
