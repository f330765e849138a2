//! Rows that an earlier program archived, as the present one archives them.
//!
//! A job that has changed restores what it saved before, and its records may have changed with it: a field more, a field less, the same in another
//! order, a number with more room. rkyv archives by place, so such rows cannot be read as they are; but both programs' schemas are known, as the
//! text that they print, and say which field is where. A [`Conversion`] is found from the two texts, matches fields and variants by
//! their names, and makes bytes of bytes: exactly those that `encode` would have written.
//!
//! | before and now | |
//! |---|---|
//! | fields of a struct or a variant | matched by name; one that is gone is dropped, one that is new begins empty |
//! | variants of an enum | matched by name; one that is gone is an error where a row has it |
//! | numbers | to any number that holds every value exactly |
//! | `T` | to `Option<T>`, as `Some`; an `Option<T>` as well, to `Option<Option<T>>` |
//! | tuples, arrays | part by part, as many as before |
//! | `Vec`, `Option`, `Box` | as what is in them |
//! | names of structs and enums | make no difference |
//!
//! Anything else is refused with the record and the field by name. So is a change anywhere in a record with a `BTreeMap`, with a type that
//! contains itself, with a field that is archived `with` something, or with a variant whose number is an expression: how these are archived is not
//! known here. Nor does a schema say that a type without owned memory is dropped in a way of its own (`impl Drop`), or that an option of rkyv's
//! changes how all of a type is archived (`#[rkyv(as = ...)]`): rows of such types come out as other rows, or as an error when they are read.
//!
//! What an empty value is: 0, `false`, the epoch, `None`, no text, no elements, and of structs, tuples, arrays and boxes: all of their parts
//! empty. A `char` and an enum have none.

mod layout;
mod parse;
mod plan;
mod row;
#[cfg(test)]
mod tests;

use crate::bounds::FRAME_ALIGN;
use crate::fault::Fault;
use crate::record::rows::{HEADER, VARYING, header};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use layout::Layout;
use parse::Type;
use plan::Plan;
use row::Stop;

/// How the rows of an earlier program become rows of this one.
///
/// ```
/// use pelton::Record;
/// use pelton_core::record::convert::Conversion;
/// use pelton_core::record::rows::{decode, encode};
///
/// mod earlier {
///     #[pelton::record]
///     pub struct Totals {
///         pub orders: u32,
///         pub refunds: u32,
///         pub shop: String,
///     }
/// }
///
/// #[pelton::record]
/// struct Totals {
///     shop: String,
///     orders: u64,
///     cents: i64,
/// }
///
/// let before = <earlier::Totals as Record>::SCHEMA.to_string();
/// let now = <Totals as Record>::SCHEMA.to_string();
/// let conversion = Conversion::between(&before, &now)?.expect("they differ");
/// assert_eq!(
///     conversion.notes(),
///     [
///         "the record `Totals`: field `refunds` is gone, and its values are dropped",
///         "the record `Totals`: field `orders` was `u32` and is `u64` now",
///         "the record `Totals`: field `cents` is new and begins with 0",
///     ]
/// );
///
/// let mut saved = Vec::new();
/// encode(&mut saved, [&earlier::Totals { orders: 7, refunds: 1, shop: "north".to_string() }])?;
/// let mut converted = Vec::new();
/// conversion.block(&saved, &mut converted)?;
/// let totals = decode::<Totals>(&converted)?.next().expect("one row")?;
/// assert_eq!((totals.orders, totals.cents, totals.shop.as_str()), (7, 0, "north"));
///
/// let error = Conversion::between(&now, &before).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the record `Totals`: field `orders` was `u64` and is `u32` now, which does not hold every value"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Conversion {
    /// What rows are called in errors.
    record: String,
    before: Rows,
    now: Rows,
    plan: Plan,
    notes: Vec<String>,
    losses: Vec<String>,
}

/// How rows of one schema stand in a block.
struct Rows {
    layout: Layout,
    is_fixed: bool,
}

impl Rows {
    fn of(record: &Type<'_>) -> Result<Self, Unconvertible> {
        Ok(Rows { layout: plan::layout_of(record)?, is_fixed: layout::is_fixed(record) })
    }

    fn stride(&self) -> u32 {
        // A layout has fewer than 2^31 bytes.
        if self.is_fixed { self.layout.size as u32 } else { VARYING }
    }
}

impl Conversion {
    /// How rows of the schema that prints `before` become rows of the one that prints `now`; none if they are the same bytes.
    ///
    /// # Errors
    /// When the values of one cannot all be values of the other, or `before` is no schema.
    pub fn between(before: &str, now: &str) -> Result<Option<Conversion>, Unconvertible> {
        if before == now {
            return Ok(None);
        }
        let (before, now) = (parse(before)?, parse(now)?);
        if parse::is_same(&before, &now) {
            return Ok(None);
        }
        if let Some(strange) = layout::strange(&before).or_else(|| layout::strange(&now)) {
            return Err(Unconvertible {
                message: format!("{strange}, and has changed: it cannot be converted"),
            });
        }
        let (mut notes, mut losses) = (Vec::new(), Vec::new());
        let plan = plan::plan(&before, &now, &mut notes, &mut losses)?;
        let record = now.to_string();
        let (before, now) = (Rows::of(&before)?, Rows::of(&now)?);
        // How many there are would be all that is known of them, and damage could make it anything.
        if before.layout.size == 0 && now.layout.size > 0 {
            return Err(Unconvertible {
                message: format!("the record `{record}`: it had no bytes, and cannot get any"),
            });
        }
        Ok(Some(Conversion { record, before, now, plan, notes, losses }))
    }

    /// What people should know, a sentence each: fields whose values are dropped, fields that are new and what they begin with, what has
    /// got more room, variants that are gone.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Of the [notes](Self::notes) those that something is lost by: fields and variants that are gone. One that was given another name is gone, and
    /// another is new.
    pub fn losses(&self) -> &[String] {
        &self.losses
    }

    /// Appends to `into` the block that [`decode`](crate::record::rows::decode) reads, from one that
    /// [`encode`](crate::record::rows::encode) of the earlier program wrote.
    ///
    /// # Errors
    /// When the bytes are no block of such rows, or a row has a variant that is gone. Nothing is appended then.
    pub fn block(&self, before: &[u8], into: &mut Vec<u8>) -> Result<(), Fault> {
        let start = into.len();
        self.rows(before, into).map_err(|stop| {
            into.truncate(start);
            self.fault(stop)
        })
    }

    fn rows(&self, before: &[u8], into: &mut Vec<u8>) -> Result<(), Stop> {
        let Some((head, mut rest)) = before.split_at_checked(HEADER) else {
            return Err(Stop::Damage("a block ends within its header"));
        };
        let [count, stride] = numbers(head);
        if stride != self.before.stride() {
            return Err(Stop::Damage("its rows are of another size"));
        }
        let start = into.len();
        into.extend_from_slice(&header(count, self.now.stride()));
        let Layout { size, .. } = self.before.layout;
        if self.before.is_fixed && rest.len() as u64 != u64::from(count) * size as u64 {
            return Err(Stop::Damage("a block has another length than its rows"));
        }
        // Rows without bytes are nothing but their number.
        let mut rows = row::Rows::new(into);
        for _ in 0..if size == 0 { 0 } else { count } {
            let row = if self.before.is_fixed { take(&mut rest, size) } else { take_entry(&mut rest) };
            let row = row.ok_or(Stop::Damage("a block ends within a row"))?;
            let root = row.len().checked_sub(size).ok_or(Stop::Damage("bytes of a row are missing"))?;
            if self.now.is_fixed {
                rows.row(&self.plan, row, root, self.now.layout)?;
            } else {
                rows.entry(&self.plan, row, root, self.now.layout, start)?;
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(Stop::Damage("bytes are left over")) }
    }

    #[cold]
    fn fault(&self, stop: Stop) -> Fault {
        let record = &self.record;
        let message = match stop {
            Stop::Damage(what) => format!("what was saved of records of type {record} is damaged: {what}"),
            Stop::Gone(name, variant) => format!(
                "a record of type {record} that was saved cannot be restored: it has the variant `{name}::{variant}`, which is gone"
            ),
            Stop::TooLarge => {
                format!("a record of type {record} that was saved is too large to be converted")
            }
        };
        Fault::Restore { message }
    }
}

impl fmt::Debug for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversion").field("record", &self.record).field("notes", &self.notes).finish()
    }
}

fn parse(text: &str) -> Result<Type<'_>, Unconvertible> {
    parse::parse(text).ok_or_else(|| {
        let begin: String = text.chars().take(100).collect();
        let rest = if begin.len() < text.len() { "..." } else { "" };
        Unconvertible { message: format!("`{begin}{rest}` is no schema of a record that can be converted") }
    })
}

/// The two numbers of a header.
fn numbers(header: &[u8]) -> [u32; 2] {
    [0, 4].map(|at| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    rest.split_off(..len)
}

/// The bytes of a row with a header, and with padding behind it.
fn take_entry<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let [len, _] = numbers(take(rest, HEADER)?);
    let len = len as usize;
    take(rest, len.checked_next_multiple_of(FRAME_ALIGN)?)?.get(..len)
}

/// Why rows of an earlier program cannot become rows of this one: the record and the field by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Unconvertible {
    message: String,
}

impl fmt::Display for Unconvertible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Unconvertible {
    /// The same text as `Display`: it is what `main` prints of an error that it returns, and `unwrap` of one that it meets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::error::Error for Unconvertible {}
