//! Tables that nobody needs any more.

use super::*;
use crate::bounds::SLAB_BLOCK_BYTES_MAX;
use crate::exchange::hash::fold;
use crate::state::memory::limited::Limited;

fn fill(arena: &mut Arena<u64, u64>, number: i64, keys: u64) {
    let at = arena.open(number);
    let (table, saver) = arena.table_mut(at);
    for key in 0..keys {
        table.place(fold(key), saver, |k| *k == key, || (key, 0)).unwrap();
    }
}

fn clear(arena: &mut Arena<u64, u64>) {
    while !arena.is_clean() {
        arena.clear_some(&mut 1_000);
    }
}

/// One window after the other asks for nothing; when they become fewer or smaller, what was for the others goes back, in steps.
#[test]
fn spare_tables_go_back_when_nobody_has_needed_them_for_a_while() {
    let limited = Limited::new(usize::MAX);
    let memory: Arc<dyn Memory> = limited.clone();
    let slabs = Slabs::new(memory.clone());
    let mut arena = Arena::<u64, u64>::new(&memory, slabs.clone());
    for number in 0..4 {
        fill(&mut arena, number, 200_000);
    }
    arena.retire_all();
    clear(&mut arena);
    let most = limited.in_use();
    assert!(most > 12 << 20, "{most}");
    assert!(arena.give_back_unused(true), "they have just been used");
    // One at a time is in use from now on.
    for number in 10..20 {
        fill(&mut arena, number, 200_000);
        arena.retire_all();
        clear(&mut arena);
        assert_eq!(limited.in_use(), most, "nothing is asked for, and nothing is given back yet");
    }
    let (mut steps, mut ends) = (1, true);
    while !arena.give_back_unused(core::mem::take(&mut ends)) {
        steps += 1;
        // It serves while that is under way.
        fill(&mut arena, 30 + steps, 100);
        arena.retire_all();
        clear(&mut arena);
    }
    assert!(steps > 3, "{steps}");
    let one = limited.in_use();
    assert!(one < most / 2, "{one} of {most}");
    // And then none.
    let gone = |arena: &mut Arena<u64, u64>| {
        let mut ends = true;
        while !arena.give_back_unused(core::mem::take(&mut ends)) {}
    };
    gone(&mut arena);
    gone(&mut arena);
    while !slabs.tidy(true) {}
    while !slabs.tidy(true) {}
    assert!(limited.in_use() <= SLAB_BLOCK_BYTES_MAX / 8, "{}", limited.in_use());
    fill(&mut arena, 1_000, 10);
    assert_eq!(arena.table(0).len(), 10);
}
