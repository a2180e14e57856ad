//! The completions of a step in one list, group by group, and how some of them go through the network together.

use policy::{PackedBatch, SharedPrompt};
use rollout::Completion;

use super::learner::ScoredGroup;
use crate::flops::{Load, forward_flops};
use crate::grpo::{Extent, MicroBatch, micro_batches};

/// The completions of a step by one index.
pub(super) struct Flat<'a> {
    scored: &'a [ScoredGroup],
    extents: Vec<Extent>,
    /// Index of the first completion of each group.
    firsts: Vec<usize>,
}

impl<'a> Flat<'a> {
    pub(super) fn of(scored: &'a [ScoredGroup]) -> Self {
        let (mut extents, mut firsts) = (Vec::new(), Vec::new());
        for (prompt_idx, scored) in scored.iter().enumerate() {
            firsts.push(extents.len());
            let of = |completion: &Completion| Extent { prompt_idx, n_tokens: completion.ids.len() };
            extents.extend(scored.group.completions.iter().map(of));
        }
        Self { scored, extents, firsts }
    }

    pub(super) fn len(&self) -> usize {
        self.extents.len()
    }

    pub(super) fn group(&self, index: usize) -> &'a ScoredGroup {
        &self.scored[self.extents[index].prompt_idx]
    }

    /// Number of the group and of the completion within it.
    pub(super) fn place(&self, index: usize) -> (usize, usize) {
        let group = self.extents[index].prompt_idx;
        (group, index - self.firsts[group])
    }

    pub(super) fn completion(&self, index: usize) -> &'a Completion {
        let (group, row) = self.place(index);
        &self.scored[group].group.completions[row]
    }

    /// Tokens of completions.
    pub(super) fn n_tokens(&self, members: &[usize]) -> u64 {
        members.iter().map(|&index| self.extents[index].n_tokens as u64).sum()
    }

    pub(super) fn micro_batches(&self, chosen: &[usize], budget_tokens: u64) -> Vec<MicroBatch> {
        let prompts: Vec<usize> = self.scored.iter().map(|scored| scored.group.prompt.ids.len()).collect();
        micro_batches(&self.extents, chosen, &prompts, budget_tokens as usize)
    }

    /// Packs a micro-batch: its members lie by prompt, so each prompt comes once.
    pub(super) fn pack(&self, micro: &MicroBatch) -> PackedBatch {
        let groups: Vec<SharedPrompt> = self
            .by_prompt(micro)
            .map(|members| SharedPrompt {
                prompt: &self.group(members[0]).group.prompt.ids,
                completions: members.iter().map(|&index| self.completion(index).ids.as_slice()).collect(),
            })
            .collect();
        PackedBatch::new(&groups)
    }

    /// Matrix operations of a micro-batch's forward pass.
    pub(super) fn forward_flops(&self, config: &policy::ModelConfig, micro: &MicroBatch) -> f64 {
        let of = |members: &[usize]| {
            let prompt = self.group(members[0]).group.prompt.ids.len();
            let lengths: Vec<usize> = members.iter().map(|&index| self.extents[index].n_tokens).collect();
            forward_flops(config, &Load::packed(prompt, &lengths))
        };
        self.by_prompt(micro).map(of).sum()
    }

    /// The members of a micro-batch, prompt by prompt.
    fn by_prompt<'m>(&'m self, micro: &'m MicroBatch) -> impl Iterator<Item = &'m [usize]> {
        micro.members.chunk_by(|&a, &b| self.extents[a].prompt_idx == self.extents[b].prompt_idx)
    }

    /// The completion that a token of a micro-batch belongs to.
    pub(super) fn owner(&self, micro: &MicroBatch, mut token_idx: usize) -> usize {
        for &member in &micro.members {
            if token_idx < self.extents[member].n_tokens {
                return member;
            }
            token_idx -= self.extents[member].n_tokens;
        }
        micro.members[0]
    }
}
