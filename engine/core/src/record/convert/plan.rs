//! What has to be done to a value of one type so that it is one of another: found once, from the two types, by the names of fields and
//! variants.

use super::Unconvertible;
use super::layout::{Layout, behind, is_dense, layout, types};
use super::parse::{Field, Kind, Number, Type, Variant, is_same};
use crate::bounds::CONVERTED_BYTES_MAX;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How the bytes of a value are made from those of the value before; places are relative to where the two begin. What is not written is zero.
pub(super) enum Plan {
    /// Zeros: an empty value without anything out of line.
    Nothing,
    /// The same bytes.
    Copy(usize),
    /// A number with more room.
    Widen {
        from: Number,
        to: Number,
    },
    Text,
    NoText,
    /// A vector. The element before has so many bytes.
    Vec {
        before: usize,
        now: Layout,
        each: Box<Plan>,
    },
    /// An empty one, which points to where an element would be.
    NoVec {
        align: usize,
    },
    /// A box. What is in it had so many bytes before.
    Box {
        before: usize,
        now: Layout,
        of: Box<Plan>,
    },
    /// A box around an empty value, where there was none.
    NewBox {
        now: Layout,
        of: Box<Plan>,
    },
    Option {
        before: usize,
        now: usize,
        of: Box<Plan>,
    },
    /// A value that has become optional.
    Some {
        now: usize,
        of: Box<Plan>,
    },
    Parts(Vec<Part>),
    Array {
        len: usize,
        before: usize,
        now: usize,
        each: Box<Plan>,
    },
    Enum {
        name: String,
        ways: Vec<Way>,
    },
}

/// A part of a struct, a tuple or a variant.
pub(super) struct Part {
    pub(super) before: usize,
    pub(super) now: usize,
    pub(super) plan: Plan,
}

/// What becomes of the variant with one tag.
pub(super) struct Way {
    pub(super) tag: u8,
    pub(super) name: String,
    /// Its tag now, and its fields; none if it is gone.
    pub(super) now: Option<(u8, Vec<Part>)>,
}

/// The field that is being looked at, with all of its type.
#[derive(Clone, Copy)]
struct At<'a, 't> {
    /// The record and the field; none for what is in no record.
    field: Option<(&'a str, &'a str)>,
    before: &'a Type<'t>,
    now: &'a Type<'t>,
}

impl At<'_, '_> {
    fn name(&self) -> String {
        match self.field {
            Some((record, field)) => format!("the record `{record}`: field `{field}`"),
            None => "the record".to_string(),
        }
    }

    fn refused(&self, why: &str) -> Unconvertible {
        let At { before, now, .. } = self;
        Unconvertible { message: format!("{} was `{before}` and is `{now}` now, {why}", self.name()) }
    }

    fn other(&self) -> Unconvertible {
        self.refused("and nothing makes the one of the other")
    }
}

fn too_large() -> Unconvertible {
    Unconvertible {
        message: format!("a record of more than {CONVERTED_BYTES_MAX} bytes cannot be converted"),
    }
}

pub(super) fn layout_of(of: &Type<'_>) -> Result<Layout, Unconvertible> {
    layout(of).ok_or_else(too_large)
}

/// Where the value of an `Option` is in its bytes.
fn some(of: &Type<'_>) -> Result<usize, Unconvertible> {
    Ok(layout_of(of)?.align)
}

/// The plan for a record, with what people should know of it added to `notes`, and to `losses` what is dropped. Neither type has anything
/// strange in it.
pub(super) fn plan(
    before: &Type<'_>,
    now: &Type<'_>,
    notes: &mut Vec<String>,
    losses: &mut Vec<String>,
) -> Result<Plan, Unconvertible> {
    Planner { notes, losses }.value(&At { field: None, before, now }, before, now)
}

struct Planner<'n> {
    notes: &'n mut Vec<String>,
    losses: &'n mut Vec<String>,
}

impl Planner<'_> {
    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    fn lose(&mut self, note: String) {
        self.losses.push(note.clone());
        self.note(note);
    }

    /// The types are those of `at`, or parts of them.
    fn value(&mut self, at: &At<'_, '_>, before: &Type<'_>, now: &Type<'_>) -> Result<Plan, Unconvertible> {
        if is_dense(before) && is_same(before, now) {
            return Ok(Plan::Copy(layout_of(now)?.size));
        }
        if let Type::Option(inner) = now
            && options(now) > options(before)
        {
            self.note(format!("{} was `{}` and is `{}` now", at.name(), at.before, at.now));
            return Ok(Plan::Some { now: some(inner)?, of: Box::new(self.value(at, before, inner)?) });
        }
        Ok(match (before, now) {
            (Type::Number(from), Type::Number(to)) => {
                if !is_wider(*from, *to) {
                    return Err(at.refused("which does not hold every value"));
                }
                self.note(format!("{} was `{}` and is `{}` now", at.name(), at.before, at.now));
                Plan::Widen { from: *from, to: *to }
            }
            (Type::Text, Type::Text) => Plan::Text,
            (Type::Option(before), Type::Option(now)) => Plan::Option {
                before: some(before)?,
                now: some(now)?,
                of: Box::new(self.value(at, before, now)?),
            },
            (Type::Vec(before), Type::Vec(now)) => {
                let each = Box::new(self.value(at, before, now)?);
                let (before, now) = (layout_of(before)?.size, layout_of(now)?);
                // The length would be all that is known of them, and damage could make it anything.
                if before == 0 && now.size > 0 {
                    return Err(at.refused("and elements without bytes cannot get any"));
                }
                Plan::Vec { before, now, each }
            }
            (Type::Box(before), Type::Box(now)) => {
                let of = Box::new(self.value(at, before, now)?);
                Plan::Box { before: layout_of(before)?.size, now: layout_of(now)?, of }
            }
            (Type::Tuple(was), Type::Tuple(is)) if was.len() == is.len() => {
                let (Some((was_at, _)), Some((is_at, _))) = (behind(was, 0), behind(is, 0)) else {
                    return Err(too_large());
                };
                let places = was_at.into_iter().zip(is_at);
                let parts = was.iter().zip(is).zip(places).map(|((was, is), (before, now))| {
                    Ok(Part { before, now, plan: self.value(at, was, is)? })
                });
                Plan::Parts(parts.collect::<Result<_, Unconvertible>>()?)
            }
            (Type::Array(before, as_many), Type::Array(now, len)) if as_many == len => Plan::Array {
                len: *len,
                each: Box::new(self.value(at, before, now)?),
                before: layout_of(before)?.size,
                now: layout_of(now)?.size,
            },
            (Type::Struct(_, before), Type::Struct(name, now)) => {
                Plan::Parts(self.fields(name, before, now, 0)?)
            }
            (Type::Enum(_, before), Type::Enum(name, now)) => {
                let ways = before.iter().map(|variant| self.variant(name, variant, now));
                Plan::Enum { name: name.to_string(), ways: ways.collect::<Result<_, _>>()? }
            }
            _ => return Err(at.other()),
        })
    }

    fn variant(
        &mut self,
        name: &str,
        before: &Variant<'_>,
        now: &[Variant<'_>],
    ) -> Result<Way, Unconvertible> {
        let variant = format!("{name}::{}", before.name);
        let becomes = match now.iter().find(|now| now.name == before.name) {
            Some(now) => {
                Some((now.tag.unwrap_or_default(), self.fields(&variant, &before.fields, &now.fields, 1)?))
            }
            None => {
                self.lose(format!("the variant `{variant}` is gone, and no row can be restored that has it"));
                None
            }
        };
        Ok(Way { tag: before.tag.unwrap_or_default(), name: before.name.to_string(), now: becomes })
    }

    /// The fields of a struct, or those of a variant, which stand behind the `head` bytes of its tag.
    fn fields(
        &mut self,
        record: &str,
        before: &[Field<'_>],
        now: &[Field<'_>],
        head: usize,
    ) -> Result<Vec<Part>, Unconvertible> {
        let nameless = |fields: &[Field<'_>]| fields.first().is_some_and(|field| field.name == "0");
        // Of fields without names nothing tells which one is new, or gone.
        if nameless(before) && nameless(now) && before.len() != now.len() {
            let (before, now) = (before.len(), now.len());
            let message = format!(
                "the record `{record}`: it had {before} fields and has {now} now, and no names that tell which"
            );
            return Err(Unconvertible { message });
        }
        let (Some((was_at, _)), Some((is_at, _))) = (behind(types(before), head), behind(types(now), head))
        else {
            return Err(too_large());
        };
        for gone in before.iter().filter(|was| now.iter().all(|is| is.name != was.name)) {
            self.lose(format!(
                "the record `{record}`: field `{}` is gone, and its values are dropped",
                gone.name
            ));
        }
        let part = |(field, now): (&Field<'_>, usize)| {
            let of = &field.of;
            let was = before.iter().zip(&was_at).find(|(was, _)| was.name == field.name);
            let Some((was, &before)) = was else {
                let new = format!("the record `{record}`: field `{}` is new", field.name);
                let Some((plan, what)) = empty(of)? else {
                    let message = format!("{new}, and a `{of}` has no empty value to begin with");
                    return Err(Unconvertible { message });
                };
                self.note(format!("{new} and begins {what}"));
                return Ok(Part { before: 0, now, plan });
            };
            let at = At { field: Some((record, field.name)), before: &was.of, now: of };
            Ok(Part { before, now, plan: self.value(&at, &was.of, of)? })
        };
        now.iter().zip(is_at).map(part).collect()
    }
}

fn options(of: &Type<'_>) -> usize {
    match of {
        Type::Option(of) => 1 + options(of),
        _ => 0,
    }
}

/// Whether the one number's every value is exactly one of the other's.
fn is_wider(from: Number, to: Number) -> bool {
    let exact = |bytes: usize| if bytes == 4 { 24 } else { 53 };
    match (from.kind, to.kind) {
        (Kind::Float, Kind::Unsigned | Kind::Signed) | (Kind::Signed, Kind::Unsigned) => false,
        (Kind::Unsigned | Kind::Signed, Kind::Float) => from.bytes * 8 <= exact(to.bytes),
        _ => from.bytes < to.bytes,
    }
}

/// How a new value is written, and what it is; none if its type has no empty value.
fn empty(of: &Type<'_>) -> Result<Option<(Plan, &'static str)>, Unconvertible> {
    Ok(Some(match of {
        Type::Number(_) => (Plan::Nothing, "with 0"),
        Type::Bool => (Plan::Nothing, "with `false`"),
        Type::Time => (Plan::Nothing, "with the epoch"),
        Type::Option(_) => (Plan::Nothing, "with `None`"),
        Type::Text => (Plan::NoText, "without text"),
        Type::Vec(of) => (Plan::NoVec { align: layout_of(of)?.align }, "without elements"),
        Type::Box(of) => {
            let Some((plan, what)) = empty(of)? else {
                return Ok(None);
            };
            (Plan::NewBox { now: layout_of(of)?, of: Box::new(plan) }, what)
        }
        Type::Array(_, 0) => (Plan::Nothing, "without elements"),
        Type::Array(of, len) => {
            let Some((plan, _)) = empty(of)? else {
                return Ok(None);
            };
            let each = Box::new(plan);
            (Plan::Array { len: *len, before: 0, now: layout_of(of)?.size, each }, "with empty elements")
        }
        Type::Tuple(of) => return parts(of.iter()),
        Type::Struct(_, fields) => return parts(types(fields)),
        _ => return Ok(None),
    }))
}

fn parts<'a, 't: 'a>(
    of: impl Iterator<Item = &'a Type<'t>> + Clone,
) -> Result<Option<(Plan, &'static str)>, Unconvertible> {
    let (offsets, _) = behind(of.clone(), 0).ok_or_else(too_large)?;
    let mut parts = Vec::new();
    for (of, now) in of.zip(offsets) {
        let Some((plan, _)) = empty(of)? else {
            return Ok(None);
        };
        if !matches!(plan, Plan::Nothing) {
            parts.push(Part { before: 0, now, plan });
        }
    }
    let plan = if parts.is_empty() { Plan::Nothing } else { Plan::Parts(parts) };
    Ok(Some((plan, "with all of its parts empty")))
}
