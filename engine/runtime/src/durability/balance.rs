//! Which key groups to move so that all shards have about as much to do.
use crate::bounds::SKEW_PERCENT;

/// Where key groups should live, given where they live and how much there was to do for each; none if that is even enough, or nothing better
/// can be had. Deterministic: from the busiest shard to the idlest moves
/// the group that leaves the two of them the most even, again and again until all are even enough.
pub(crate) fn balanced(owners: &[u16], loads: &[u64], shards: u16) -> Option<Vec<u16>> {
    let mut owners = owners.to_vec();
    let mut sums = vec![0u64; usize::from(shards)];
    owners.iter().zip(loads).for_each(|(owner, load)| sums[usize::from(*owner)] += load);
    let mean = sums.iter().sum::<u64>() / u64::from(shards.max(1));
    let mut moved = false;
    while let Some(busiest) = (0..sums.len()).max_by_key(|shard| sums[*shard]) {
        let idlest = (0..sums.len()).min_by_key(|shard| sums[*shard])?;
        if sums[busiest] * 100 <= mean * SKEW_PERCENT {
            break;
        }
        // The busier of the two afterwards; it must be less busy than the giver is now, or nothing is won. Of equals the lighter one moves.
        let after = |group: &usize| (sums[busiest] - loads[*group]).max(sums[idlest] + loads[*group]);
        let here = |group: &usize| usize::from(owners[*group]) == busiest && loads[*group] > 0;
        let best =
            (0..owners.len().min(loads.len())).filter(here).min_by_key(|group| (after(group), loads[*group]));
        let Some(group) = best.filter(|group| after(group) < sums[busiest]) else { break };
        owners[group] = idlest as u16;
        sums[busiest] -= loads[group];
        sums[idlest] += loads[group];
        moved = true;
    }
    moved.then_some(owners)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(owners: &[u16], loads: &[u64], shards: usize) -> Vec<u64> {
        let mut sums = vec![0; shards];
        owners.iter().zip(loads).for_each(|(owner, load)| sums[usize::from(*owner)] += load);
        sums
    }

    #[test]
    fn skew_is_evened_out_and_evenness_left_alone() {
        let owners: Vec<u16> = (0..64).map(|group| group / 32).collect();
        let even = vec![10; 64];
        assert_eq!(balanced(&owners, &even, 2), None);
        let skewed: Vec<u64> = (0..64).map(|group| if group < 8 { 100 } else { 1 }).collect();
        let moved = balanced(&owners, &skewed, 2).unwrap();
        let (before, after) = (sums(&owners, &skewed, 2), sums(&moved, &skewed, 2));
        assert!(
            before[0] > 20 * before[1] && after[0] < after[1] * 5 / 4 && after[1] < after[0] * 5 / 4,
            "{after:?}"
        );
        assert_eq!(balanced(&moved, &skewed, 2), None, "once is enough");
    }

    #[test]
    fn one_hot_group_stays_where_it_is() {
        let owners: Vec<u16> = (0..8).map(|group| group / 4).collect();
        let mut loads = vec![0; 8];
        loads[1] = 1_000;
        assert_eq!(balanced(&owners, &loads, 2), None);
        loads[2] = 10;
        assert_eq!(balanced(&owners, &loads, 2).unwrap()[2], 1, "but what is beside it leaves");
        assert_eq!(balanced(&owners, &[0; 8], 2), None);
    }
}
