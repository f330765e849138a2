use super::*;
use crate::exchange::hash::join;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// No block is larger than one, none is empty beside another, and no more are spare than may be.
#[track_caller]
fn check<T>(queue: &BlockQueue<T>) {
    let items = BlockQueue::<T>::BLOCK_ITEMS;
    let blocks = || queue.blocks.iter().chain(&queue.spare);
    let is_none = size_of::<T>() == 0;
    assert!(is_none || blocks().all(|block| block.capacity() <= items), "a block has grown beyond one");
    assert!(queue.blocks.len() < 2 || queue.blocks.iter().all(|block| !block.is_empty()));
    assert!(queue.spare.len() <= queue.spare_max && queue.spare.iter().all(VecDeque::is_empty));
    assert_eq!(queue.len(), queue.blocks.iter().map(VecDeque::len).sum::<usize>());
    let room = |block: &VecDeque<T>| block.capacity().saturating_mul(size_of::<T>());
    assert!(blocks().map(room).sum::<usize>() <= queue.bytes());
}

/// As a list does it that is copied as it grows, whatever comes and goes at either end; `of` makes an item of a number.
fn agrees_with_a_list<T: Clone + PartialEq + fmt::Debug>(of: impl Fn(u64) -> T) {
    for seed in 0..12 {
        let mut queue = BlockQueue::with_spare((seed % 3) as usize);
        let mut twin = VecDeque::new();
        for draw in 0..4_000u64 {
            let chance = join(seed, draw);
            // Phases in which it grows, and phases in which it shrinks to nothing.
            let grows = chance >> 8 & 7 < 2 + 4 * (draw / 500 % 2);
            let many = 1 + (chance >> 32) % 40;
            match chance % 64 {
                0 => {
                    let mut taken = VecDeque::new();
                    queue.take_all(|item| taken.push_back(item));
                    assert_eq!(taken, core::mem::take(&mut twin), "seed {seed}");
                }
                1 => {
                    queue.clear();
                    twin.clear();
                }
                2 | 3 => assert_eq!(queue.pop_back(), twin.pop_back(), "seed {seed}"),
                4 => assert!(queue.pop_front_if(|_| false).is_none()),
                _ if grows => (0..many).for_each(|n| {
                    queue.push_back(of(draw + n));
                    twin.push_back(of(draw + n));
                }),
                _ => (0..many)
                    .for_each(|_| assert_eq!(queue.pop_front_if(|_| true), twin.pop_front(), "seed {seed}")),
            }
            if let Some(last) = queue.back_mut() {
                *last = of(chance);
                *twin.back_mut().unwrap() = of(chance);
            }
            check(&queue);
            assert_eq!((queue.front(), queue.back()), (twin.front(), twin.back()), "seed {seed}");
            assert_eq!((queue.len(), queue.is_empty()), (twin.len(), twin.is_empty()), "seed {seed}");
            if draw % 64 == 0 {
                assert!(queue.iter().eq(&twin) && queue.iter_mut().eq(twin.iter_mut()), "seed {seed}");
            }
        }
    }
}

#[test]
fn items_come_out_as_they_went_in() {
    agrees_with_a_list(|n| n);
    // Some that own something, some so large that a block has few, and some that are nothing.
    agrees_with_a_list(|n| Rc::new([n; 40]));
    agrees_with_a_list(|n| [n; 400]);
    agrees_with_a_list(|_| ());
}

#[test]
fn slices_go_in_and_out_across_blocks() {
    for seed in 0..8 {
        let (mut queue, mut twin) = (BlockQueue::new(), VecDeque::<u8>::new());
        for draw in 0..400u64 {
            let chance = join(seed, draw);
            let some: Vec<u8> = (0..(chance % 30_000) >> (chance >> 60)).map(|n| (n ^ draw) as u8).collect();
            queue.extend_from_slice(&some);
            twin.extend(&some);
            check(&queue);
            let count = twin.len() * ((chance >> 20) % 4) as usize / 3;
            let mut taken = Vec::new();
            queue.take_slices(count, |some| taken.extend_from_slice(some));
            assert!(twin.drain(..count).eq(taken), "seed {seed}, draw {draw}");
            check(&queue);
        }
    }
}

#[test]
#[should_panic(expected = "2 items were to be taken that are not there")]
fn more_than_there_is_cannot_be_taken() {
    let mut queue = BlockQueue::new();
    queue.extend_from_slice(&[1, 2, 3]);
    queue.take_slices(5, |_| ());
}

/// Whoever counts blocks is asked for each that is new, and never for one that is spare; one that is refused changes nothing.
#[test]
fn blocks_are_asked_for_and_go_back() {
    let mut queue = BlockQueue::with_spare(2);
    let (items, bytes) = (BlockQueue::<u64>::BLOCK_ITEMS as u64, BlockQueue::<u64>::BLOCK_BYTES);
    let mut asked = 0;
    for item in 0..5 * items {
        let room = |more| {
            asked += more;
            Ok::<(), ()>(())
        };
        queue.try_push_back(item, room).unwrap();
    }
    assert_eq!((asked, queue.bytes()), (5 * bytes, 5 * bytes));
    assert_eq!(queue.try_push_back(7, Err), Err(bytes));
    assert_eq!(queue.len() as u64, 5 * items);
    (0..5 * items).for_each(|item| assert_eq!(queue.pop_front(), Some(item)));
    assert_eq!(queue.bytes(), 3 * bytes, "the one that is left, and those that may be spare");
    (0..3 * items).for_each(|item| queue.try_push_back(item, Err).unwrap());
    assert_eq!(queue.try_push_back(7, Err), Err(bytes));
}

/// What is short and comes and goes stays where it is.
#[test]
fn a_short_queue_stays_in_a_small_block() {
    let mut queue = BlockQueue::new();
    for item in 0..100_000u64 {
        queue.push_back(item);
        if item >= 3 {
            assert_eq!(queue.pop_front(), Some(item - 3));
        }
    }
    let room: usize = queue.blocks.iter().chain(&queue.spare).map(VecDeque::capacity).sum();
    assert!(room <= 8, "{room}");
}
