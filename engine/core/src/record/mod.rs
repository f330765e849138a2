//! What may travel between shards, and how one record is written and read.
//!
//! A record is an ordinary Rust value that rkyv can archive. A type without owned memory (`!needs_drop`) archives
//! to a fixed number of bytes, which are written straight into the frame and read with a copy; any other is written as
//! an entry with a length, and read by rebuilding the value.
//!
//! This file holds the unsafe code that writes and reads archived bytes.

pub mod convert;
pub mod heap;
pub mod key;
pub mod rows;
pub mod schema;

use crate::fault::Fault;
use crate::record::schema::Schema;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr::NonNull;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{Failure, Fallible, Strategy};
use rkyv::ser::{Allocator, Positional, Writer};
use rkyv::validation::archive::ArchiveValidator;
use rkyv::{Archive, Deserialize, Place, Serialize};

/// Everything that a record needs from a serializer, over a span of a frame.
pub type Encoder = Strategy<Span, Failure>;
/// What rebuilds an archived record.
pub type Decoder = Strategy<(), Failure>;
/// What says whether bytes are an archived record, before they are taken for one.
pub type Checker<'a> = Strategy<ArchiveValidator<'a>, Failure>;

/// A value that can travel between shards.
///
/// Put [`#[pelton::record]`](https://docs.rs/pelton) on a struct or an enum to make it one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between shards: it is not a `Record`",
    label = "this type is not a `Record`",
    note = "put `#[pelton::record]` on the definition of `{Self}`; each of its fields must be a `Record` too \
            (integers, floats, `bool`, `String`, `Option`, `Vec`, `BTreeMap`, tuples, arrays, other records)"
)]
pub trait Record:
    Sized
    + Archive<Archived: Deserialize<Self, Decoder> + for<'a> CheckBytes<Checker<'a>>>
    + Serialize<Encoder>
    + 'static
{
    /// What the type is made of: field by field, in order.
    const SCHEMA: &'static Schema;

    /// Bytes that the value owns on the heap, as allocations take them ([`allocated`](heap::allocated)); what lies in the value itself is not
    /// among them. Counts against the memory limit where values are kept, so it must be the same for a value that has not changed, and take no
    /// longer for a large one.
    fn heap_bytes(&self) -> usize;
}

/// What the record attribute asks of a field's type instead of `Archived<T>: Deserialize<T, D>`: the same, in a form that names no type which
/// may not be there, so that the compiler has one thing less to say of a field that is no record.
pub trait Rebuilt<D: Fallible + ?Sized>: Archive<Archived: Deserialize<Self, D>> + Sized {}
impl<T: Archive<Archived: Deserialize<T, D>>, D: Fallible + ?Sized> Rebuilt<D> for T {}

/// As [`Rebuilt`], instead of `Archived<T>: CheckBytes<C>`.
pub trait Checked<C: Fallible + ?Sized>: Archive<Archived: CheckBytes<C>> {}
impl<T: Archive<Archived: CheckBytes<C>>, C: Fallible + ?Sized> Checked<C> for T {}

/// A value as it lies in a frame: text and lists are read in place.
pub type Archived<T> = <T as Archive>::Archived;

/// Whether every value of `T` archives to the same number of bytes, with nothing out of line.
pub const fn is_fixed<T>() -> bool {
    !core::mem::needs_drop::<T>()
}

/// A span of a frame that a record is being written to.
#[derive(Debug)]
pub struct Span {
    start: *mut u8,
    len: usize,
    written: usize,
    /// Whether something did not fit.
    full: bool,
}

impl Fallible for Span {
    type Error = Failure;
}

impl Positional for Span {
    fn pos(&self) -> usize {
        self.written
    }
}

impl Writer<Failure> for Span {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.len() > self.len - self.written {
            self.full = true;
            return Err(Failure);
        }
        // SAFETY: the span was claimed for writing, and the check above keeps the copy inside of it.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(self.written), bytes.len()) };
        self.written += bytes.len();
        Ok(())
    }
}

// SAFETY: every block comes from the global allocator with the layout that it is returned with.
unsafe impl Allocator<Failure> for Span {
    unsafe fn push_alloc(&mut self, layout: Layout) -> Result<NonNull<[u8]>, Failure> {
        if layout.size() == 0 {
            return Ok(NonNull::slice_from_raw_parts(NonNull::dangling(), 0));
        }
        // SAFETY: the size is not zero.
        let ptr = NonNull::new(unsafe { alloc(layout) }).ok_or(Failure)?;
        Ok(NonNull::slice_from_raw_parts(ptr, layout.size()))
    }

    unsafe fn pop_alloc(&mut self, ptr: NonNull<u8>, layout: Layout) -> Result<(), Failure> {
        if layout.size() != 0 {
            // SAFETY: the caller returns a block of `push_alloc` with its own layout.
            unsafe { dealloc(ptr.as_ptr(), layout) };
        }
        Ok(())
    }
}

/// Writes a record of fixed size at `at`.
///
/// # Safety
/// `at` must be valid for writing `size_of::<T::Archived>()` bytes and aligned for it.
///
/// # Panics
/// When a type without owned memory archives something out of line, which only a custom rkyv wrapper can do.
#[inline(always)]
pub unsafe fn write_fixed<T: Record>(value: &T, at: *mut u8) {
    let mut nowhere = Span { start: at, len: 0, written: 0, full: false };
    let Ok(resolver) = value.serialize(Strategy::wrap(&mut nowhere)) else {
        panic!("{} has no owned memory but archives some", core::any::type_name::<T>());
    };
    // SAFETY: the caller vouches for the place; padding bytes are not read by anyone.
    let place = unsafe { Place::new_unchecked(0, at.cast::<T::Archived>()) };
    value.resolve(resolver, place);
}

/// Why a record was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// There was no room for it.
    Full,
    /// A part of it cannot be archived: a custom rkyv wrapper said so.
    Refused,
}

/// Writes a record with what it owns at `at`, and returns the bytes used, the root being the last of them.
///
/// # Errors
/// When `len` bytes do not suffice, or a part of the record refuses.
///
/// # Safety
/// `at` must be valid for writing `len` bytes and aligned to 16.
pub unsafe fn write_entry<T: Record>(value: &T, at: *mut u8, len: usize) -> Result<usize, NotWritten> {
    let mut span = Span { start: at, len, written: 0, full: false };
    let Ok(resolver) = value.serialize(Strategy::wrap(&mut span)) else {
        return Err(if span.full { NotWritten::Full } else { NotWritten::Refused });
    };
    let root = span.written.next_multiple_of(align_of::<T::Archived>());
    let end = root + size_of::<T::Archived>();
    if end > len {
        return Err(NotWritten::Full);
    }
    // SAFETY: the root lies inside of the span and is aligned, since `at` is.
    let place = unsafe { Place::new_unchecked(root, at.add(root).cast::<T::Archived>()) };
    value.resolve(resolver, place);
    Ok(end)
}

/// Rebuilds a record.
///
/// # Panics
/// When a custom rkyv wrapper fails to rebuild a value that it archived itself.
#[inline(always)]
pub fn read<T: Record>(archived: &T::Archived) -> T {
    match rebuild(archived) {
        Some(value) => value,
        None => panic!("{} cannot be rebuilt from its own archive", core::any::type_name::<T>()),
    }
}

/// Rebuilds a record from bytes that were checked, but may be of another making; none if a custom rkyv wrapper cannot.
#[inline(always)]
pub(crate) fn rebuild<T: Record>(archived: &T::Archived) -> Option<T> {
    archived.deserialize(Strategy::wrap(&mut ())).ok()
}

/// Archives a record with what it owns into an aligned place, with zeros between its parts, and hands the bytes to
/// `take`. Small ones need no allocation.
pub(crate) fn with_archived<T: Record, R>(value: &T, take: impl FnOnce(&[u8]) -> R) -> Result<R, Fault> {
    let mut small = [0u128; 32];
    let mut large;
    let mut words = &mut small[..];
    loop {
        // SAFETY: the words are 16-aligned and as long as is said.
        match unsafe { write_entry(value, words.as_mut_ptr().cast(), size_of_val(words)) } {
            // SAFETY: the bytes are initialised, by the entry or by the zeros before it.
            Ok(len) => return Ok(take(unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), len) })),
            Err(NotWritten::Full) => {}
            Err(NotWritten::Refused) => {
                return Err(Fault::Unarchivable { record: core::any::type_name::<T>() });
            }
        }
        // What did not fit left its bytes behind.
        let count = words.len() * 4;
        large = alloc::vec![0; count];
        words = &mut large;
    }
}

/// A digest of a record's archived bytes, equal for equal records. Slow; for comparing one run with another.
pub(crate) fn digest<T: Record>(value: &T) -> u64 {
    // What cannot be archived never came here.
    with_archived(value, crate::exchange::hash::bytes).unwrap_or(0)
}

macro_rules! records {
    ($($type:ty = $name:literal),*) => { $(impl Record for $type {
        const SCHEMA: &'static Schema = &Schema::Plain { name: $name };
        #[inline(always)]
        fn heap_bytes(&self) -> usize {
            0
        }
    })* };
}
records!(() = "()", bool = "bool", char = "char", f32 = "f32", f64 = "f64");
records!(u8 = "u8", u16 = "u16", u32 = "u32", u64 = "u64", u128 = "u128");
records!(i8 = "i8", i16 = "i16", i32 = "i32", i64 = "i64", i128 = "i128");
records!(crate::ids::EventTime = "EventTime");

impl Record for alloc::string::String {
    const SCHEMA: &'static Schema = &Schema::Plain { name: "String" };
    #[inline]
    fn heap_bytes(&self) -> usize {
        heap::allocated(self.capacity())
    }
}

macro_rules! generic {
    ($name:literal of $($part:ident),*) => {
        const SCHEMA: &'static Schema = &Schema::Generic { name: $name, of: &[$(|| $part::SCHEMA),*] };
    };
}
impl<T: Record> Record for Option<T> {
    generic!("Option" of T);
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, heap::owned)
    }
}
impl<T: Record> Record for alloc::vec::Vec<T> {
    generic!("Vec" of T);
    fn heap_bytes(&self) -> usize {
        heap::of_list(self, self.capacity())
    }
}
impl<T: Record> Record for alloc::boxed::Box<T> {
    generic!("Box" of T);
    fn heap_bytes(&self) -> usize {
        heap::allocated(size_of::<T>()) + heap::owned(&**self)
    }
}
impl<T: Record, const N: usize> Record for [T; N] {
    const SCHEMA: &'static Schema = &Schema::Array { of: || T::SCHEMA, len: N };
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.iter().map(heap::owned).sum()
    }
}
impl<K: Record + Ord, V: Record> Record for alloc::collections::BTreeMap<K, V>
where
    K::Archived: Ord,
{
    generic!("BTreeMap" of K, V);
    fn heap_bytes(&self) -> usize {
        heap::of_map(self)
    }
}

macro_rules! tuples {
    ($(($($name:ident $at:tt),+))*) => { $(impl<$($name: Record),+> Record for ($($name,)+) {
        const SCHEMA: &'static Schema = &Schema::Tuple { of: &[$(|| $name::SCHEMA),+] };
        #[inline]
        fn heap_bytes(&self) -> usize {
            0 $(+ heap::owned(&self.$at))+
        }
    })* };
}
tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}

/// Says of a struct of the engine's own that it is a record, with the fields that are listed.
macro_rules! struct_record {
    ($name:ident $(<$($param:ident),+>)? { $($field:ident: $type:ty),* }) => {
        impl $(<$($param: $crate::record::Record),+>)? $crate::record::Record for $name $(<$($param),+>)? {
            const SCHEMA: &'static $crate::record::schema::Schema = &$crate::record::schema::Schema::Struct {
                id: core::any::TypeId::of::<Self>(),
                name: stringify!($name),
                fields: &[$($crate::record::schema::Field::of::<$type>(stringify!($field))),*],
            };
            #[inline]
            fn heap_bytes(&self) -> usize {
                0 $(+ $crate::record::heap::owned(&self.$field))*
            }
        }
    };
}
pub(crate) use struct_record;
