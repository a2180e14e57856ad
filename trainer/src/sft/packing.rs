//! Packing: which rows of an update go through the network together.

use std::collections::BTreeSet;

/// Puts rows into micro-batches of at most `budget_tokens` tokens: the longest first, each where it leaves the least room
/// (best-fit decreasing, at most 11/9 of the fewest possible and one more). A row beyond the budget has a micro-batch of its own.
///
/// - `lengths`: tokens of each row
/// - Result: indices of rows, ascending in each micro-batch. It follows from the lengths alone.
pub fn pack(lengths: &[usize], budget_tokens: usize) -> Vec<Vec<usize>> {
    let mut longest_first: Vec<usize> = (0..lengths.len()).collect();
    longest_first.sort_by_key(|&row| (std::cmp::Reverse(lengths[row]), row));
    let mut packed: Vec<Vec<usize>> = Vec::new();
    // (room that is left, micro-batch)
    let mut rooms: BTreeSet<(usize, usize)> = BTreeSet::new();
    for row in longest_first {
        let length = lengths[row];
        let tightest = rooms.range((length, 0)..).next().copied();
        let (room, micro_batch) = match tightest {
            Some(found) => {
                rooms.remove(&found);
                found
            }
            None => {
                packed.push(Vec::new());
                (budget_tokens.max(length), packed.len() - 1)
            }
        };
        packed[micro_batch].push(row);
        rooms.insert((room - length, micro_batch));
    }
    packed.iter_mut().for_each(|rows| rows.sort_unstable());
    packed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The fewest micro-batches, by trying: for every set of rows, the fewest and the least that the last of them holds.
    fn fewest(lengths: &[usize], budget: usize) -> usize {
        let mut best = vec![(usize::MAX, usize::MAX); 1 << lengths.len()];
        best[0] = (0, budget);
        for set in 0..best.len() {
            for (row, &length) in lengths.iter().enumerate().filter(|(row, _)| set >> row & 1 == 0) {
                let (n, full) = best[set];
                let next = if full + length <= budget { (n, full + length) } else { (n + 1, length) };
                let with = set | 1 << row;
                best[with] = best[with].min(next);
            }
        }
        best[best.len() - 1].0
    }

    #[test]
    fn the_longest_rows_come_first_and_each_goes_where_it_fits_best() {
        // First come, first served would take four: [5, 2], [6], [3, 4], [8, 1].
        assert_eq!(pack(&[5, 2, 6, 3, 4, 8, 1], 10), [vec![1, 5], vec![2, 4], vec![0, 3, 6]]);
        assert_eq!(pack(&[12, 3], 10), [vec![0], vec![1]]);
        assert!(pack(&[], 10).is_empty());
    }

    proptest! {
        #[test]
        fn every_row_once_and_none_beyond_the_budget(lengths in prop::collection::vec(1usize..60, 0..80), budget in 1usize..100) {
            let packed = pack(&lengths, budget);
            let mut seen: Vec<usize> = packed.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for rows in &packed {
                let tokens: usize = rows.iter().map(|&row| lengths[row]).sum();
                prop_assert!(tokens <= budget || rows.len() == 1);
            }
        }

        #[test]
        fn little_more_than_the_fewest(lengths in prop::collection::vec(1usize..30, 1..11), budget in 30usize..60) {
            let (packed, fewest) = (pack(&lengths, budget).len(), fewest(&lengths, budget));
            prop_assert!(packed >= fewest && 9 * packed <= 11 * fewest + 9, "{} {}", packed, fewest);
        }

        #[test]
        fn the_order_of_rows_changes_no_load(lengths in prop::collection::vec(1usize..30, 1..40).prop_shuffle(), budget in 1usize..60) {
            let loads = |lengths: &[usize]| {
                let load = |rows: &Vec<usize>| rows.iter().map(|&row| lengths[row]).sum::<usize>();
                let mut loads: Vec<usize> = pack(lengths, budget).iter().map(load).collect();
                loads.sort_unstable();
                loads
            };
            let mut sorted = lengths.clone();
            sorted.sort_unstable();
            prop_assert_eq!(loads(&lengths), loads(&sorted));
        }
    }
}
