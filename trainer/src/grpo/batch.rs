//! Cuts a rollout into minibatches (one optimiser step each) and a minibatch into micro-batches (one pass each).

use std::ops::Range;

/// One completion with what the update needs of it: the sampler's record, its reward and its advantage.
#[derive(Clone, Debug, PartialEq)]
pub struct Trajectory {
    /// Index of the prompt within the rollout; trajectories of one group share it.
    pub prompt_idx: usize,
    /// Token ids of the completion o_i, without the prompt.
    pub ids: Vec<i64>,
    /// `log pi_sampler` of each of `ids`, as the sampler computed it, nats, `<= 0`; as long as `ids`.
    pub sampler_logprobs: Vec<f32>,
    /// Runs of positions in `ids` of tokens that the program put there, which the policy did not choose: they are read and not
    /// learned from. Empty if it drew them all.
    pub forced: Vec<Range<usize>>,
    /// Whether nothing is learned from it at all, as from a truncated completion if so asked (DAPO's overlong filtering).
    pub is_masked: bool,
    /// r_i; `None` where no reward applied.
    pub reward: Option<f32>,
    /// A_it of each of `ids`.
    pub advantages: Vec<f32>,
}

impl Trajectory {
    /// Whether token `t` takes part in the loss.
    pub fn counts(&self, t: usize) -> bool {
        !self.is_masked && !self.forced.iter().any(|run| run.contains(&t))
    }

    /// The advantage of the completion: that of its tokens, or their mean where they differ; 0 without a token.
    pub fn mean_advantage(&self) -> f32 {
        match self.advantages.first() {
            None => 0.0,
            Some(&first) if self.advantages.iter().all(|&advantage| advantage == first) => first,
            Some(_) => {
                let sum: f64 = self.advantages.iter().map(|&advantage| f64::from(advantage)).sum();
                (sum / self.advantages.len() as f64) as f32
            }
        }
    }

    /// Tokens that take part in the loss.
    pub fn n_counted(&self) -> usize {
        if self.is_masked { 0 } else { self.ids.len() - self.forced.iter().map(ExactSizeIterator::len).sum::<usize>() }
    }
}

/// A rollout that cannot be split as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The parts would not be of one size, and completions of a smaller part would weigh more than others.
    #[error(
        "{n_trajectories} trajectories cannot be split into {n_minibatches} equal minibatches; \
             choose a number that divides prompts_per_step * group_size"
    )]
    Unequal {
        /// Trajectories of the rollout.
        n_trajectories: usize,
        /// Parts asked for.
        n_minibatches: usize,
    },
    /// The order given is not an order of the trajectories.
    #[error("the order of {n_trajectories} trajectories names index {index} twice or beyond the end")]
    NotAPermutation {
        /// Trajectories of the rollout.
        n_trajectories: usize,
        /// First entry that repeats or lies outside.
        index: usize,
    },
}

/// Splits a rollout into `n_minibatches` equal parts: the first gets the first indices of `order`, and so on.
///
/// - `order`: a permutation of `0..n`, drawn by the caller at an address of its own (seed, stage, step, update).
/// - Result: indices of trajectories, `[n_minibatches][n / n_minibatches]`.
///
/// The split comes *after* the advantages, so a group may end up in several minibatches (DeepSeek-R1, section B.4.1:
/// 8,192 outputs into 16 minibatches at random).
///
/// # Errors
/// If the parts are not equal, or `order` is not a permutation.
pub fn split(order: &[usize], n_minibatches: usize) -> Result<Vec<Vec<usize>>, SplitError> {
    let n_trajectories = order.len();
    if n_minibatches == 0 || n_trajectories == 0 || !n_trajectories.is_multiple_of(n_minibatches) {
        return Err(SplitError::Unequal { n_trajectories, n_minibatches });
    }
    let mut seen = vec![false; n_trajectories];
    for &index in order {
        if seen.get(index) != Some(&false) {
            return Err(SplitError::NotAPermutation { n_trajectories, index });
        }
        seen[index] = true;
    }
    Ok(order.chunks(n_trajectories / n_minibatches).map(<[usize]>::to_vec).collect())
}

/// Whether a trajectory moves any weight: where all `A = 0` the gradient of Eq. 3 without a KL term is exactly zero, and
/// with no token that counts there is nothing to differentiate.
///
/// - `always`: the loss has a term without advantage (KL, entropy)
///
/// What is left out here must still be counted by [`super::token_weights`]. A NaN advantage counts as a gradient, so
/// that it reaches the loss and is reported.
pub fn has_gradient(trajectory: &Trajectory, always: bool) -> bool {
    let moves = |(t, &advantage): (usize, &f32)| (always || advantage != 0.0) && trajectory.counts(t);
    trajectory.advantages.iter().enumerate().any(moves)
}

/// How long a completion is, and behind which prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Index of the prompt within the rollout.
    pub prompt_idx: usize,
    /// Tokens of the completion.
    pub n_tokens: usize,
}

/// Completions that go through the network together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MicroBatch {
    /// Indices of completions, ascending by prompt and then by index: those of one prompt are neighbours.
    pub members: Vec<usize>,
    /// Tokens computed: each distinct prompt once, and every completion.
    pub n_tokens: usize,
}

/// Cuts completions into micro-batches of at most `budget_tokens` tokens.
///
/// - `extents`: of the whole rollout; `chosen`: the indices of those that are computed, in any order.
/// - `prompt_lengths`: tokens of every prompt, indexed by [`Extent::prompt_idx`].
///
/// Completions of one prompt stay in one micro-batch if they fit the budget together, because there the prompt is
/// computed once. A single completion beyond the budget gets a micro-batch of its own. The result depends on *which*
/// completions are chosen, not on their order: sums come out in the same bits.
///
/// # Panics
/// If an index is out of range.
pub fn micro_batches(
    extents: &[Extent],
    chosen: &[usize],
    prompt_lengths: &[usize],
    budget_tokens: usize,
) -> Vec<MicroBatch> {
    let prompt_of = |index: usize| extents[index].prompt_idx;
    let mut members = chosen.to_vec();
    members.sort_unstable_by_key(|&index| (prompt_of(index), index));

    let mut cut: Vec<MicroBatch> = Vec::new();
    for group in members.chunk_by(|&a, &b| prompt_of(a) == prompt_of(b)) {
        let prompt_tokens = prompt_lengths[prompt_of(group[0])];
        let completion_tokens = |index: usize| extents[index].n_tokens;
        let group_tokens = prompt_tokens + group.iter().map(|&index| completion_tokens(index)).sum::<usize>();
        match cut.last_mut() {
            Some(last) if last.n_tokens + group_tokens <= budget_tokens => {
                last.members.extend(group);
                last.n_tokens += group_tokens;
                continue;
            }
            _ => cut.push(MicroBatch { members: Vec::new(), n_tokens: prompt_tokens }),
        }
        // A group beyond the budget goes on in the next micro-batch, where its prompt is computed once more.
        for &index in group {
            let last = cut.last_mut().expect("one was pushed for this group");
            if last.members.is_empty() || last.n_tokens + completion_tokens(index) <= budget_tokens {
                last.members.push(index);
                last.n_tokens += completion_tokens(index);
            } else {
                cut.push(MicroBatch { members: vec![index], n_tokens: prompt_tokens + completion_tokens(index) });
            }
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn trajectory(prompt_idx: usize, n_tokens: usize, advantage: f32) -> Trajectory {
        Trajectory {
            prompt_idx,
            ids: vec![7; n_tokens],
            sampler_logprobs: vec![-1.0; n_tokens],
            forced: Vec::new(),
            is_masked: false,
            reward: None,
            advantages: vec![advantage; n_tokens],
        }
    }

    /// Micro-batches of those of a minibatch that have a gradient.
    fn cut(
        rollout: &[Trajectory],
        minibatch: &[usize],
        prompts: &[usize],
        budget: usize,
        always: bool,
    ) -> Vec<MicroBatch> {
        let extents: Vec<Extent> =
            rollout.iter().map(|t| Extent { prompt_idx: t.prompt_idx, n_tokens: t.ids.len() }).collect();
        let chosen: Vec<usize> =
            minibatch.iter().copied().filter(|&index| has_gradient(&rollout[index], always)).collect();
        micro_batches(&extents, &chosen, prompts, budget)
    }

    #[test]
    fn split_keeps_the_order_given_and_refuses_what_is_not_one() {
        assert_eq!(split(&[2, 0, 3, 1], 2), Ok(vec![vec![2, 0], vec![3, 1]]));
        let unequal = |n_trajectories, n_minibatches| Err(SplitError::Unequal { n_trajectories, n_minibatches });
        assert_eq!(split(&[2, 0, 1], 2), unequal(3, 2));
        assert_eq!(split(&[0, 1], 0), unequal(2, 0));
        assert_eq!(split(&[0, 1], 4), unequal(2, 4));
        assert_eq!(split(&[], 1), unequal(0, 1));
        let twice = |index| Err(SplitError::NotAPermutation { n_trajectories: 2, index });
        assert_eq!(split(&[1, 1], 1), twice(1));
        assert_eq!(split(&[0, 2], 1), twice(2));
    }

    #[test]
    fn only_exact_zeros_are_left_out() {
        for (n_tokens, advantage, always, expected) in [
            (3, 0.5, false, true),
            (3, 0.0, false, false),
            (3, -0.0, false, false),
            (3, 1e-30, false, true),
            (3, 0.0, true, true),
            (0, 0.5, true, false),
            (3, f32::NAN, false, true),
        ] {
            assert_eq!(has_gradient(&trajectory(0, n_tokens, advantage), always), expected, "{advantage} {always}");
        }
        // Tokens that do not count have no gradient, whatever their advantage.
        let forced = Trajectory { forced: vec![1..2, 3..5], ..trajectory(0, 5, 0.5) };
        assert!(has_gradient(&forced, false) && forced.n_counted() == 2);
        assert_eq!([0, 1, 2, 3, 4].map(|t| forced.counts(t)), [true, false, true, false, false]);
        assert!(!has_gradient(&Trajectory { advantages: vec![0.0, 0.5, 0.0, 0.5, 0.5], ..forced.clone() }, false));
        let masked = Trajectory { is_masked: true, ..trajectory(0, 3, 0.5) };
        assert!(!has_gradient(&masked, true) && masked.n_counted() == 0);
    }

    #[test]
    fn a_group_moves_on_whole_and_is_cut_only_if_it_must() {
        let rollout = [(0, 4), (0, 4), (1, 4), (1, 4), (2, 9), (2, 9), (2, 1)].map(|(p, n)| trajectory(p, n, 1.0));
        // Prompts of 2 tokens: groups of 10, 10 and 21 tokens.
        let cut = |budget| {
            cut(&rollout, &[6, 5, 4, 3, 2, 1, 0], &[2, 2, 2], budget, false)
                .into_iter()
                .map(|micro| (micro.members, micro.n_tokens))
                .collect::<Vec<_>>()
        };
        assert_eq!(cut(100), [(vec![0, 1, 2, 3, 4, 5, 6], 41)]);
        assert_eq!(cut(21), [(vec![0, 1, 2, 3], 20), (vec![4, 5, 6], 21)]);
        assert_eq!(cut(12), [(vec![0, 1], 10), (vec![2, 3], 10), (vec![4], 11), (vec![5, 6], 12)]);
        assert_eq!(cut(1).len(), 7);
    }

    /// A rollout, the lengths of its prompts, and an order of its trajectories.
    fn rollouts() -> impl Strategy<Value = (Vec<Trajectory>, Vec<usize>, Vec<usize>)> {
        let one = (0usize..6, 0usize..40, prop::sample::select(vec![-1.0f32, 0.0, 0.5]));
        (prop::collection::vec(one, 1..40), prop::collection::vec(1usize..30, 6)).prop_flat_map(|(parts, prompts)| {
            let rollout: Vec<_> = parts.iter().map(|&(p, n, a)| trajectory(p, n, a)).collect();
            let order = Just((0..rollout.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(rollout), Just(prompts), order)
        })
    }

    proptest! {
        #[test]
        fn every_trajectory_exactly_once((rollout, prompts, order) in rollouts(), parts in 1usize..5,
                                         budget in 1usize..200, always in any::<bool>()) {
            prop_assume!(order.len() % parts == 0);
            let mut seen: Vec<usize> = Vec::new();
            for minibatch in split(&order, parts).unwrap() {
                for micro in cut(&rollout, &minibatch, &prompts, budget, always) {
                    prop_assert!(micro.members.iter().all(|index| minibatch.contains(index)));
                    seen.extend(micro.members);
                }
            }
            seen.sort_unstable();
            let expected: Vec<usize> = (0..rollout.len()).filter(|&i| has_gradient(&rollout[i], always)).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn the_budget_holds_and_groups_that_fit_stay_whole((rollout, prompts, order) in rollouts(),
                                                           budget in 1usize..200) {
            let cut = cut(&rollout, &order, &prompts, budget, true);
            for micro in &cut {
                let distinct: BTreeSet<usize> = micro.members.iter().map(|&i| rollout[i].prompt_idx).collect();
                let tokens = distinct.iter().map(|&p| prompts[p]).sum::<usize>()
                    + micro.members.iter().map(|&i| rollout[i].ids.len()).sum::<usize>();
                prop_assert_eq!(micro.n_tokens, tokens);
                prop_assert!(tokens <= budget || micro.members.len() == 1);
                let neighbours = micro.members.chunk_by(|&a, &b| rollout[a].prompt_idx == rollout[b].prompt_idx);
                prop_assert_eq!(neighbours.count(), distinct.len());
            }
            for (prompt_idx, prompt_tokens) in prompts.iter().enumerate() {
                let group = rollout.iter().filter(|t| t.prompt_idx == prompt_idx);
                let tokens = prompt_tokens + group.map(|t| t.ids.len()).sum::<usize>();
                let homes = cut.iter().filter(|m| m.members.iter().any(|&i| rollout[i].prompt_idx == prompt_idx));
                prop_assert!(tokens > budget || homes.count() <= 1);
            }
        }

        #[test]
        fn the_order_of_a_minibatch_does_not_matter((rollout, prompts, order) in rollouts(), budget in 1usize..200) {
            let sorted: Vec<usize> = (0..rollout.len()).collect();
            prop_assert_eq!(cut(&rollout, &order, &prompts, budget, false),
                            cut(&rollout, &sorted, &prompts, budget, false));
        }
    }
}
