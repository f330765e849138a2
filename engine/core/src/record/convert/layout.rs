//! Where rkyv puts the parts of a record, told from its schema alone.
//!
//! Structs and tuples are `repr(C)`, each number is aligned to its own size, and an enum is `repr(u8)`: the tag, and behind it the fields of
//! the variant, as in a struct that begins with the tag. What is owned lies out of line, and leaves 8 bytes of a text or a vector and 4 of a
//! box. The tests compare all of this with what rkyv does.

use super::parse::{Field, Number, Type, Variant};
use crate::bounds::CONVERTED_BYTES_MAX;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

/// Bytes and alignment of an archived value, without what lies out of line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) size: usize,
    pub(super) align: usize,
}

impl Layout {
    fn of(size: usize, align: usize) -> Self {
        Layout { size, align }
    }
}

/// The layout of a type in which nothing is strange; none if it is too large to be true.
pub(super) fn layout(of: &Type<'_>) -> Option<Layout> {
    let layout = match of {
        Type::Number(Number { bytes, .. }) => Layout::of(*bytes, *bytes),
        Type::Bool => Layout::of(1, 1),
        Type::Char => Layout::of(4, 4),
        Type::Time => Layout::of(8, 8),
        Type::Text | Type::Vec(_) => Layout::of(8, 4),
        Type::Box(_) => Layout::of(4, 4),
        Type::Option(of) => behind([&**of], 1)?.1,
        Type::Tuple(of) => behind(of, 0)?.1,
        Type::Array(of, len) => {
            let Layout { size, align } = layout(of)?;
            Layout::of(size.checked_mul(*len)?, align)
        }
        Type::Struct(_, fields) => behind(types(fields), 0)?.1,
        Type::Enum(_, variants) => {
            let mut all = Layout::of(1, 1);
            for variant in variants {
                let Layout { size, align } = behind(types(&variant.fields), 1)?.1;
                all = Layout::of(all.size.max(size), all.align.max(align));
            }
            Layout::of(all.size.next_multiple_of(all.align), all.align)
        }
        Type::Other(..) | Type::Outer(..) => return None,
    };
    Some(layout).filter(|layout| layout.size <= CONVERTED_BYTES_MAX)
}

pub(super) fn types<'a, 't>(fields: &'a [Field<'t>]) -> impl Iterator<Item = &'a Type<'t>> + Clone {
    fields.iter().map(|field| &field.of)
}

/// Where the parts begin that follow each other after `head` bytes, and the layout of all together.
pub(super) fn behind<'a, 't: 'a>(
    parts: impl IntoIterator<Item = &'a Type<'t>>,
    head: usize,
) -> Option<(Vec<usize>, Layout)> {
    let mut all = Layout::of(head, 1);
    let mut offsets = vec![];
    for part in parts {
        let Layout { size, align } = layout(part)?;
        let at = all.size.next_multiple_of(align);
        offsets.push(at);
        // Each is far below what a `usize` holds, but there may be many.
        all =
            Layout::of(at.checked_add(size).filter(|&end| end <= CONVERTED_BYTES_MAX)?, all.align.max(align));
    }
    Some((offsets, Layout::of(all.size.next_multiple_of(all.align), all.align)))
}

/// As [`is_fixed`](crate::record::is_fixed) of the type with this schema.
pub(super) fn is_fixed(of: &Type<'_>) -> bool {
    match of {
        Type::Number(_) | Type::Bool | Type::Char | Type::Time => true,
        Type::Text | Type::Vec(_) | Type::Box(_) | Type::Other(..) | Type::Outer(..) => false,
        Type::Option(of) => is_fixed(of),
        Type::Tuple(of) => of.iter().all(is_fixed),
        // Of no elements there is none to drop.
        Type::Array(of, len) => *len == 0 || is_fixed(of),
        Type::Struct(_, fields) => types(fields).all(is_fixed),
        Type::Enum(_, variants) => variants.iter().flat_map(|variant| types(&variant.fields)).all(is_fixed),
    }
}

/// Whether all bytes of the value are those of its numbers, so that they can be copied together.
pub(super) fn is_dense(of: &Type<'_>) -> bool {
    let without_gaps = |size: usize| layout(of).is_some_and(|layout| layout.size == size);
    let size = |of: &Type<'_>| layout(of).map_or(0, |layout| layout.size);
    match of {
        Type::Number(_) | Type::Bool | Type::Char | Type::Time => true,
        Type::Tuple(of) => of.iter().all(is_dense) && without_gaps(of.iter().map(size).sum()),
        Type::Struct(_, fields) => types(fields).all(is_dense) && without_gaps(types(fields).map(size).sum()),
        Type::Array(of, _) => is_dense(of),
        _ => false,
    }
}

/// What in the record has an archive that is not known here, if anything has.
pub(super) fn strange(of: &Type<'_>) -> Option<String> {
    within(of).map(|(record, found)| match record {
        Some((record, field)) => format!("the record `{record}`: field `{field}` {found}"),
        None => format!("the record {found}"),
    })
}

/// The innermost record and field, and what is strange about it.
type Found = (Option<(String, String)>, String);

fn within(of: &Type<'_>) -> Option<Found> {
    match of {
        Type::Option(of) | Type::Vec(of) | Type::Box(of) | Type::Array(of, _) => within(of),
        Type::Tuple(of) => of.iter().find_map(within),
        Type::Struct(name, fields) => within_fields(name, fields),
        Type::Enum(name, variants) => variants.iter().find_map(|variant| {
            let Variant { name: of, number, tag, fields } = variant;
            let numbered = || {
                let number = if number.is_empty() { "that follows such a one" } else { number };
                (None, format!("has the enum `{name}`, whose variant `{of}` has a number {number}"))
            };
            let name = format!("{name}::{of}");
            if tag.is_none() { Some(numbered()) } else { within_fields(&name, fields) }
        }),
        Type::Other(..) => Some((None, format!("has a `{of}`"))),
        Type::Outer(..) => Some((None, format!("has a `{of}` within a `{of}`"))),
        Type::Number(_) | Type::Bool | Type::Char | Type::Text | Type::Time => None,
    }
}

fn within_fields(name: &str, fields: &[Field<'_>]) -> Option<Found> {
    fields.iter().find_map(|field| {
        let here = || Some((name.to_string(), field.name.to_string()));
        if !field.with.is_empty() {
            return Some((here(), format!("is archived `{}`", field.with)));
        }
        within(&field.of).map(|(record, found)| (record.or_else(here), found))
    })
}
