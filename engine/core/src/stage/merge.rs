//! Which frame is next: the merge rule, at a cost that does not grow with the number of inputs.
//!
//! For each input the earliest tick is kept that it can still hold. That only rises, so it is a bound for ever, and only the input with the least
//! one has to be looked at again: a tournament among the inputs says which that is. An input that is far ahead, or has ended, is not looked at
//! until the others have come as far.
//!
//! A look costs the ring's head, which the stage has at hand while there are frames, and then a line of the clock that another core writes.

use super::Input;
use crate::ids::Tick;
use alloc::vec::Vec;

/// The earliest tick that an input can still hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) tick: Tick,
    /// Whether a frame of that tick is there.
    pub(super) ready: bool,
}

/// See the [module](self). Inputs stand in the order (edge, source shard), in which those of one tick are taken.
pub(super) struct Merge {
    bounds: Vec<Bound>,
    /// Node `n` has the better of nodes `2n` and `2n + 1`, of which those from the number of inputs on are the inputs themselves.
    winners: Vec<u32>,
    /// Times that an input was looked at.
    pub(super) looks: u64,
}

impl Merge {
    pub(super) fn new(inputs: usize) -> Self {
        let bounds = alloc::vec![Bound { tick: Tick(0), ready: false }; inputs];
        let mut merge = Merge { bounds, winners: alloc::vec![0; inputs.max(1)], looks: 0 };
        (1..inputs).rev().for_each(|node| merge.winners[node] = merge.winner(node));
        merge
    }

    /// The earliest tick that can still come, and the input that holds a frame of it, if one is certain to be next.
    #[inline]
    pub(super) fn earliest(&mut self, inputs: &mut [Input]) -> (Tick, Option<usize>) {
        if inputs.is_empty() {
            return (Tick::END, None);
        }
        loop {
            let first = self.first();
            let known = self.bounds[first];
            if known.ready {
                return (known.tick, Some(first));
            }
            if known.tick == Tick::END {
                return (Tick::END, None);
            }
            self.looks += 1;
            let found = inputs[first].bound();
            // A frame may be here before the clock says anything of its tick: what is known counts.
            if !found.ready && found.tick <= known.tick {
                return (known.tick, None);
            }
            assert!(found.tick >= known.tick, "a tick comes back");
            self.set(first, found);
        }
    }

    /// A frame of an input has been taken: another of its tick may follow.
    #[inline]
    pub(super) fn taken(&mut self, input: usize) {
        self.bounds[input].ready = false;
    }

    /// The input with the least bound, and of several the first.
    #[inline(always)]
    fn first(&self) -> usize {
        if self.bounds.len() == 1 { 0 } else { self.winners[1] as usize }
    }

    #[inline]
    fn set(&mut self, input: usize, bound: Bound) {
        self.bounds[input] = bound;
        let mut node = (self.bounds.len() + input) / 2;
        while node > 0 {
            self.winners[node] = self.winner(node);
            node /= 2;
        }
    }

    #[inline(always)]
    fn winner(&self, node: usize) -> u32 {
        let count = self.bounds.len();
        let of = |child: usize| if child < count { self.winners[child] } else { (child - count) as u32 };
        let (one, other) = (of(2 * node), of(2 * node + 1));
        let key = |input: u32| (self.bounds[input as usize].tick, input);
        if key(one) <= key(other) { one } else { other }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::exchange::hash::join;

    /// Against a search through all, with bounds that rise in any order.
    #[test]
    fn the_first_is_the_first_of_all() {
        for inputs in 1..40 {
            let mut merge = Merge::new(inputs);
            for draw in 0..2_000 {
                let chance = join(inputs as u64, draw);
                let input = (chance >> 32) as usize % inputs;
                let tick = Tick(merge.bounds[input].tick.0 + chance % 5);
                merge.set(input, Bound { tick, ready: false });
                let least = (0..inputs).min_by_key(|input| (merge.bounds[*input].tick, *input));
                assert_eq!(Some(merge.first()), least);
            }
        }
    }
}
