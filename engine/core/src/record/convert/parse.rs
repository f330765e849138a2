//! Schemas as they were printed, read again.
//!
//! The text of an earlier program comes from a disk: what no schema prints is an error, and nesting has a limit, so that whoever walks the
//! types may recurse.

use crate::bounds::SCHEMA_DEPTH_MAX;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// What a record is made of, with the names of the text.
pub(super) enum Type<'a> {
    Number(Number),
    Bool,
    Char,
    Text,
    Time,
    Option(Box<Type<'a>>),
    Vec(Box<Type<'a>>),
    Box(Box<Type<'a>>),
    Tuple(Vec<Type<'a>>),
    Array(Box<Type<'a>>, usize),
    Struct(&'a str, Vec<Field<'a>>),
    Enum(&'a str, Vec<Variant<'a>>),
    /// A type whose archive is not known here, with the types that it is made of.
    Other(&'a str, Vec<Type<'a>>),
    /// The type so many levels further out, which contains itself.
    Outer(&'a str, usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Unsigned,
    Signed,
    Float,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) kind: Kind,
    pub(super) bytes: usize,
}

pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    pub(super) of: Type<'a>,
    /// How rkyv was told to archive it, if not as usual.
    pub(super) with: &'a str,
}

pub(super) struct Variant<'a> {
    pub(super) name: &'a str,
    /// The number that was given to it, if one was.
    pub(super) number: &'a str,
    /// The byte that says so in an archive: none if the number is an expression, or too large.
    pub(super) tag: Option<u8>,
    pub(super) fields: Vec<Field<'a>>,
}

/// Reads what a schema prints; none if no schema prints this.
pub(super) fn parse(text: &str) -> Option<Type<'_>> {
    let mut reader = Reader { rest: text, within: Vec::new(), depth: 0 };
    reader.of().filter(|_| reader.rest.is_empty())
}

struct Reader<'a> {
    rest: &'a str,
    /// The structs and enums that are being read, the outermost first.
    within: Vec<&'a str>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn of(&mut self) -> Option<Type<'a>> {
        if self.depth == SCHEMA_DEPTH_MAX {
            return None;
        }
        self.depth += 1;
        let of = self.any();
        self.depth -= 1;
        of
    }

    fn any(&mut self) -> Option<Type<'a>> {
        if self.is("(") {
            return Some(Type::Tuple(self.list(")")?));
        }
        if self.is("[") {
            let of = Box::new(self.of()?);
            self.must("; ")?;
            let (len, rest) = self.rest.split_once(']')?;
            self.rest = rest;
            return Some(Type::Array(of, len.parse().ok()?));
        }
        if self.is("^") {
            let name = self.name()?;
            let mut outer = self.within.iter().rev().enumerate().filter(|(_, outer)| **outer == name);
            // Of two types of one name nothing tells which is meant.
            return outer
                .next()
                .filter(|_| outer.next().is_none())
                .map(|(levels, _)| Type::Outer(name, levels));
        }
        if self.is("enum ") {
            let name = self.name()?;
            self.must(" {")?;
            self.within.push(name);
            let variants = self.variants()?;
            self.within.pop();
            return Some(Type::Enum(name, variants));
        }
        let name = self.name()?;
        if self.is(" {") {
            self.within.push(name);
            let fields = self.fields()?;
            self.within.pop();
            return Some(Type::Struct(name, fields));
        }
        if self.is("<") {
            let mut of = self.list(">")?;
            let make: fn(Box<Type<'a>>) -> Type<'a> = match (name, of.len()) {
                ("Option", 1) => Type::Option,
                ("Vec", 1) => Type::Vec,
                ("Box", 1) => Type::Box,
                _ => return Some(Type::Other(name, of)),
            };
            return of.pop().map(Box::new).map(make);
        }
        Some(plain(name))
    }

    /// Types with commas between them, and after one alone if it is a tuple.
    fn list(&mut self, end: &str) -> Option<Vec<Type<'a>>> {
        let mut of = Vec::new();
        while !self.is(end) {
            of.push(self.of()?);
            if !self.is(", ") {
                self.is(",");
                self.must(end)?;
                break;
            }
        }
        Some(of)
    }

    fn fields(&mut self) -> Option<Vec<Field<'a>>> {
        let mut fields = Vec::new();
        while !self.is(" }") {
            self.must(" ")?;
            let name = self.name()?;
            self.must(": ")?;
            let of = self.of()?;
            let with = if self.is(" as ") { self.run() } else { "" };
            fields.push(Field { name, of, with });
            if !self.is(",") {
                self.must(" }")?;
                break;
            }
        }
        Some(fields)
    }

    fn variants(&mut self) -> Option<Vec<Variant<'a>>> {
        let mut variants = Vec::new();
        let mut next = Some(0u8);
        while !self.is(" }") {
            self.must(" ")?;
            let name = self.name()?;
            let number = if self.is(" = ") { self.run() } else { "" };
            let fields = if self.is(" {") { self.fields()? } else { Vec::new() };
            let tag = if number.is_empty() { next } else { literal(number) };
            next = tag.and_then(|tag| tag.checked_add(1));
            variants.push(Variant { name, number, tag, fields });
            if !self.is(",") {
                self.must(" }")?;
                break;
            }
        }
        Some(variants)
    }

    fn is(&mut self, token: &str) -> bool {
        self.rest.strip_prefix(token).map(|rest| self.rest = rest).is_some()
    }

    fn must(&mut self, token: &str) -> Option<()> {
        self.is(token).then_some(())
    }

    fn name(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(name).filter(|name| !name.is_empty())
    }

    /// Code without spaces: all but the comma that may stand after it.
    fn run(&mut self) -> &'a str {
        let run = self.rest.split(' ').next().unwrap_or_default();
        let run = run.strip_suffix(',').unwrap_or(run);
        self.rest = &self.rest[run.len()..];
        run
    }
}

fn plain(name: &str) -> Type<'_> {
    let of = |kind, bytes| Type::Number(Number { kind, bytes });
    match name {
        "u8" => of(Kind::Unsigned, 1),
        "u16" => of(Kind::Unsigned, 2),
        "u32" => of(Kind::Unsigned, 4),
        "u64" => of(Kind::Unsigned, 8),
        "u128" => of(Kind::Unsigned, 16),
        "i8" => of(Kind::Signed, 1),
        "i16" => of(Kind::Signed, 2),
        "i32" => of(Kind::Signed, 4),
        "i64" => of(Kind::Signed, 8),
        "i128" => of(Kind::Signed, 16),
        "f32" => of(Kind::Float, 4),
        "f64" => of(Kind::Float, 8),
        "bool" => Type::Bool,
        "char" => Type::Char,
        "String" => Type::Text,
        "EventTime" => Type::Time,
        _ => Type::Other(name, Vec::new()),
    }
}

/// The value of an integer literal of Rust's.
fn literal(number: &str) -> Option<u8> {
    let number = number.strip_suffix("u8").unwrap_or(number);
    let (digits, radix) = match number.get(..2) {
        Some("0x") => (&number[2..], 16),
        Some("0o") => (&number[2..], 8),
        Some("0b") => (&number[2..], 2),
        _ => (number, 10),
    };
    let mut value = None;
    for digit in digits.chars().filter(|&digit| digit != '_') {
        let digit = u8::try_from(digit.to_digit(radix)?).ok()?;
        value = Some(value.unwrap_or(0u8).checked_mul(radix as u8)?.checked_add(digit)?);
    }
    value
}

/// Whether rows of both types are the same bytes: whether they differ in the names of structs and enums at most.
pub(super) fn is_same(before: &Type<'_>, now: &Type<'_>) -> bool {
    let all = |before: &[Type<'_>], now: &[Type<'_>]| {
        before.len() == now.len() && before.iter().zip(now).all(|(before, now)| is_same(before, now))
    };
    match (before, now) {
        (Type::Number(before), Type::Number(now)) => before == now,
        (Type::Bool, Type::Bool)
        | (Type::Char, Type::Char)
        | (Type::Text, Type::Text)
        | (Type::Time, Type::Time) => true,
        (Type::Option(before), Type::Option(now))
        | (Type::Vec(before), Type::Vec(now))
        | (Type::Box(before), Type::Box(now)) => is_same(before, now),
        (Type::Tuple(before), Type::Tuple(now)) => all(before, now),
        (Type::Array(before, as_many), Type::Array(now, len)) => as_many == len && is_same(before, now),
        (Type::Struct(_, before), Type::Struct(_, now)) => are_same(before, now),
        (Type::Enum(_, before), Type::Enum(_, now)) => {
            let variant = |(before, now): (&Variant<'_>, &Variant<'_>)| {
                before.name == now.name
                    && before.tag == now.tag
                    && (before.tag.is_some() || before.number == now.number)
                    && are_same(&before.fields, &now.fields)
            };
            before.len() == now.len() && before.iter().zip(now).all(variant)
        }
        (Type::Other(was, before), Type::Other(is, now)) => was == is && all(before, now),
        (Type::Outer(_, before), Type::Outer(_, now)) => before == now,
        _ => false,
    }
}

fn are_same(before: &[Field<'_>], now: &[Field<'_>]) -> bool {
    let field = |(before, now): (&Field<'_>, &Field<'_>)| {
        before.name == now.name && before.with == now.with && is_same(&before.of, &now.of)
    };
    before.len() == now.len() && before.iter().zip(now).all(field)
}

/// The type as code has it: structs and enums by their names alone.
impl fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, of: &[Type<'_>]| {
            of.iter()
                .enumerate()
                .try_for_each(|(at, of)| write!(f, "{}{of}", if at == 0 { "" } else { ", " }))
        };
        match self {
            Type::Number(Number { kind, bytes }) => {
                let kind = match kind {
                    Kind::Unsigned => 'u',
                    Kind::Signed => 'i',
                    Kind::Float => 'f',
                };
                write!(f, "{kind}{}", bytes * 8)
            }
            Type::Bool => f.write_str("bool"),
            Type::Char => f.write_str("char"),
            Type::Text => f.write_str("String"),
            Type::Time => f.write_str("EventTime"),
            Type::Option(of) => write!(f, "Option<{of}>"),
            Type::Vec(of) => write!(f, "Vec<{of}>"),
            Type::Box(of) => write!(f, "Box<{of}>"),
            Type::Tuple(of) => {
                f.write_str("(")?;
                list(f, of)?;
                f.write_str(if of.len() == 1 { ",)" } else { ")" })
            }
            Type::Array(of, len) => write!(f, "[{of}; {len}]"),
            Type::Struct(name, _) | Type::Enum(name, _) | Type::Outer(name, _) => f.write_str(name),
            Type::Other(name, of) if of.is_empty() => f.write_str(name),
            Type::Other(name, of) => {
                write!(f, "{name}<")?;
                list(f, of)?;
                f.write_str(">")
            }
        }
    }
}
