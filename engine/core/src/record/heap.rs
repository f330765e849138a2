//! What a record owns on the heap, in bytes, so that it counts against the memory limit.
//!
//! A figure is a function of the value alone: what was counted when a value came is what is taken off when it goes, and a value that changes is
//! looked at before and after. It costs no more for a large value than for a small one: of a list of lists some are looked at, and stand for the
//! others. A type that owns nothing costs nothing, since the compiler knows that.
//!
//! What is counted is what allocations take: an allocator rounds up, and keeps some bytes of its own with each.

use crate::record::Record;

/// Items of a list that are looked at, if each may own something itself.
const LOOKED_AT_MAX: usize = 64;
/// Bytes that an allocator keeps with an allocation, what sizes are a multiple of, and the least of them: those of glibc.
const HEAD: usize = 8;
const GRAIN: usize = 16;
const LEAST: usize = 32;

/// Bytes that an allocation of `bytes` takes; none where nothing is allocated.
#[inline]
pub const fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let taken = bytes.saturating_add(HEAD + GRAIN - 1) / GRAIN * GRAIN;
    if taken < LEAST { LEAST } else { taken }
}

/// Whether a value of the type can own anything.
#[inline(always)]
pub const fn owns<T>() -> bool {
    core::mem::needs_drop::<T>()
}

/// What a value owns; 0, for which no code is left, if its type can own nothing.
#[inline(always)]
pub fn owned<T: Record>(value: &T) -> usize {
    if const { owns::<T>() } { value.heap_bytes() } else { 0 }
}

/// What `count` items own themselves, which come from `each`: of more than a few some stand for all.
fn owned_by_items<'a, T: Record + 'a>(count: usize, each: impl Iterator<Item = &'a T>) -> usize {
    let looked_at = count.min(LOOKED_AT_MAX);
    let sum = each.take(looked_at).map(T::heap_bytes).fold(0, usize::saturating_add);
    // Multiplied first, so that it is exact for items that own alike.
    if looked_at == count { sum } else { (sum as u128 * count as u128 / looked_at as u128) as usize }
}

/// What a list owns that has room for `capacity` items.
pub(super) fn of_list<T: Record>(items: &[T], capacity: usize) -> usize {
    let own = allocated(capacity.saturating_mul(size_of::<T>()));
    if const { !owns::<T>() } {
        return own;
    }
    // From the whole list: often its items grow towards the end.
    let step = items.len().div_ceil(LOOKED_AT_MAX).max(1);
    let looked_at = items.len().div_ceil(step);
    let sum = items.iter().step_by(step).map(T::heap_bytes).fold(0, usize::saturating_add);
    let items =
        if step == 1 { sum } else { (sum as u128 * items.len() as u128 / looked_at as u128) as usize };
    own.saturating_add(items)
}

/// What the nodes of a map with `len` entries take: a node has room for eleven of them, and is two thirds full as a rule.
pub(crate) fn of_nodes<K, V>(len: usize) -> usize {
    const ROOM: usize = 11;
    let node = allocated(ROOM * (size_of::<K>() + size_of::<V>()) + 16);
    let nodes = if len == 0 { 0 } else { 1 + len.saturating_sub(ROOM).div_ceil(ROOM * 2 / 3) };
    nodes.saturating_mul(node)
}

/// What a map owns.
pub(super) fn of_map<K: Record + Ord, V: Record>(map: &alloc::collections::BTreeMap<K, V>) -> usize {
    let keys = if const { owns::<K>() } { owned_by_items(map.len(), map.keys()) } else { 0 };
    let values = if const { owns::<V>() } { owned_by_items(map.len(), map.values()) } else { 0 };
    of_nodes::<K, V>(map.len()).saturating_add(keys).saturating_add(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::collections::BTreeMap;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    #[test]
    fn an_allocation_takes_what_an_allocator_gives() {
        let sizes = [(0, 0), (1, 32), (24, 32), (25, 48), (40, 48), (41, 64), (1_000, 1_008), (4_096, 4_112)];
        for (bytes, taken) in sizes {
            assert_eq!(allocated(bytes), taken, "{bytes}");
        }
        assert!(allocated(usize::MAX) > usize::MAX / 2, "no size wraps");
    }

    #[test]
    fn what_is_owned_is_found_in_whatever_it_is_in() {
        let text = |len: usize| "x".repeat(len);
        assert_eq!(owned(&7u64) + owned(&(1u8, [2u32; 4], Some('c'))) + owned(&None::<String>), 0);
        assert_eq!(owned(&String::new()), 0);
        assert_eq!(owned(&text(30)), 48);
        assert_eq!(owned(&(text(30), 5u64, Some(text(10)))), 48 + 32);
        assert_eq!(owned(&[text(1), String::new(), text(30)]), 32 + 48);
        assert_eq!(owned(&Box::new((text(30), 1u64))), allocated(32) + 48);
        let mut room = Vec::<u64>::with_capacity(100);
        room.push(1);
        assert_eq!(owned(&room), allocated(800), "room counts, used or not");
        let lists: Vec<Vec<u8>> = (0..10).map(|n| Vec::with_capacity(n * 100)).collect();
        let sum: usize = lists.iter().map(owned).sum();
        assert_eq!(owned(&lists), allocated(lists.capacity() * 24) + sum);
    }

    /// Of a long list of texts, and of a map, the figure is close to the sum, and as quick.
    #[test]
    fn some_stand_for_all_where_there_are_many() {
        for count in [63usize, 64, 65, 127, 128, 1_000, 9_999] {
            let texts: Vec<String> = (0..count).map(|n| n.to_string().repeat(1 + n % 7)).collect();
            let sum: usize = texts.iter().map(owned).sum();
            let found = owned(&texts) - allocated(texts.capacity() * 24);
            assert!(found.abs_diff(sum) <= sum / 8, "{count}: {found} of {sum}");
            let map: BTreeMap<u64, String> =
                texts.iter().map(|_| "x".repeat(50)).zip(0..).map(|(t, n)| (n, t)).collect();
            let values =
                owned(&map) - owned(&map.keys().map(|key| (*key, [0u64; 3])).collect::<BTreeMap<_, _>>());
            assert_eq!(values, 64 * count);
        }
    }
}
