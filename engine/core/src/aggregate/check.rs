//! Whether an aggregate keeps its promise: whatever the order, the grouping and the way in which records come, the same state to the byte, and the
//! same result.

use super::Aggregate;
use crate::exchange::hash::fold;
use crate::record::rows::{decode_one, encode_one};
use crate::record::{Archived, Record, with_archived};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Debug;
use rkyv::api::access_pos_with_context;
use rkyv::rancor::Failure;
use rkyv::validation::archive::ArchiveValidator;

/// Hands over a value as it lies in a frame.
fn archived<T: Record>(value: &T, take: impl FnOnce(&Archived<T>)) {
    with_archived(value, |bytes| {
        let root = bytes.len() - size_of::<Archived<T>>();
        take(
            access_pos_with_context::<_, _, Failure>(bytes, root, &mut ArchiveValidator::new(bytes)).unwrap(),
        );
    })
    .unwrap();
}

fn bytes<T: Record>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_one(&mut bytes, value).unwrap();
    bytes
}

/// A state that was saved and restored; what it owns is counted afterwards as it would have been before.
fn restored<T: Record>(state: &T) -> T {
    let saved = bytes(state);
    let restored = decode_one::<T>(&saved).unwrap();
    assert_eq!(bytes(&restored), saved);
    restored
}

/// What the records come to, as text, in which floats that differ in a bit differ. None is an overflow.
pub(super) fn check<T: Clone, A: Aggregate<T, Out: Debug>>(aggregate: &A, records: &[T]) -> Option<String> {
    let mut plain = aggregate.empty();
    for record in records {
        aggregate.add(&mut plain, aggregate.item(record));
    }
    let finish = |acc: &A::Acc| aggregate.try_finish(acc).ok().map(|out| format!("{out:?}"));
    let (state, result) = (bytes(&plain), finish(&plain));
    for seed in 0..24u64 {
        let chance = |number: usize, bound: u64| fold(seed << 32 | number as u64) % bound;
        let mut shuffled: Vec<&T> = records.iter().collect();
        (1..shuffled.len()).for_each(|at| shuffled.swap(at, chance(at, at as u64 + 1) as usize));
        let mut parts: Vec<A::Acc> = (0..1 + seed % 5).map(|_| aggregate.empty()).collect();
        for (number, record) in shuffled.into_iter().enumerate() {
            let part = chance(number + 1_000_000, parts.len() as u64) as usize;
            let acc = &mut parts[part];
            match chance(number + 2_000_000, 4) {
                0 => aggregate.add(acc, aggregate.item(record)),
                1 => aggregate.add(acc, aggregate.take_item(record.clone())),
                2 => archived(&aggregate.item(record), |item| aggregate.add_archived(acc, item)),
                _ => aggregate.add_record(acc, record.clone()),
            }
            if chance(number + 3_000_000, 7) == 0 {
                *acc = restored(acc);
            }
        }
        let mut merged = aggregate.empty();
        while !parts.is_empty() {
            let part = parts.swap_remove(chance(parts.len() + 4_000_000, parts.len() as u64) as usize);
            if chance(parts.len() + 5_000_000, 2) == 0 {
                aggregate.merge(&mut merged, &part);
            } else {
                let before = core::mem::replace(&mut merged, part);
                aggregate.merge(&mut merged, &restored(&before));
            }
        }
        assert_eq!(bytes(&merged), state, "the state depends on the order: seed {seed}");
        assert_eq!(finish(&merged), result, "the result depends on the order: seed {seed}");
    }
    result
}
