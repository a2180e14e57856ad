//! `[stage.rewrite]` and `[stage.preferences]` of a stage of kind `sample`: what another model makes of the samples that stay.

use llm_judge::{ClientOptions, PairOptions, RewriteOptions};
use rewards::InvalidOption;
use serde::{Deserialize, Serialize};

use super::checks::Section;
use super::reward_places::{forget_server, place_cache_of};
use super::selecting::{LayoutSettings, Mix, WrittenAs};
use crate::selection::{Choice, Keep};
use crate::teacher::{OnFailure, PairSettings};

/// `[stage.rewrite]`: a model behind an OpenAI-compatible server rewrites reasoning and summary of the samples that stay, as for
/// DeepSeek-R1's cold start (arXiv 2501.12948v2, B.3.2). Without the table they stay as they were sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// What becomes of a sample whose new form cannot be had, does not pass the filters, or is not right. Default `keep`.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What the text is to become, in your words. Default none: see [`RewriteOptions::instructions`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// See [`RewriteOptions::max_chars`]. Default 20000.
    #[serde(default = "max_chars")]
    pub max_chars: usize,
    /// The model, and how it is asked. Required.
    pub server: ClientOptions,
}

/// `[stage.preferences]`: the data of the stage are pairs of samples, of which a model says by votes which is better (DeepSeek-R1
/// 3.1; arXiv 2501.12948v2, B.2). Without the table the data are the samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preferences {
    /// See [`PairOptions::votes`]. Default 4 (DeepSeek-R1 B.2).
    #[serde(default = "votes")]
    pub votes: u32,
    /// See [`PairOptions::min_difference`]. Default 1 (DeepSeek-R1 B.2).
    #[serde(default = "min_difference")]
    pub min_difference: f32,
    /// See [`PairSettings::pairs_per_problem`]. Default 1.
    #[serde(default = "pairs_per_problem")]
    pub pairs_per_problem: usize,
    /// See [`PairSettings::balance_lengths`]. Default true.
    #[serde(default = "balance_lengths")]
    pub balance_lengths: bool,
    /// See [`PairOptions::max_chars`]. Default 20000.
    #[serde(default = "max_chars")]
    pub max_chars: usize,
    /// The model, and how it is asked. Required.
    pub server: ClientOptions,
}

fn max_chars() -> usize {
    PairOptions::default().max_chars
}

fn votes() -> u32 {
    PairOptions::default().votes
}

fn min_difference() -> f32 {
    PairOptions::default().min_difference
}

fn pairs_per_problem() -> usize {
    PairSettings::default().pairs_per_problem
}

fn balance_lengths() -> bool {
    PairSettings::default().balance_lengths
}

impl Rewrite {
    /// How the model is asked.
    pub fn options(&self) -> RewriteOptions {
        let default = RewriteOptions::default();
        let instructions = self.instructions.clone().unwrap_or(default.instructions);
        RewriteOptions { instructions, max_chars: self.max_chars }
    }

    pub(crate) fn resolve(mut self, at: &mut Section<'_, '_>) -> Self {
        note(self.options().check(), at);
        resolve_server(&mut self.server, at);
        self
    }
}

impl Preferences {
    /// How the model is asked.
    pub fn options(&self) -> PairOptions {
        let Self { votes, min_difference, max_chars, .. } = *self;
        PairOptions { votes, min_difference, max_chars }
    }

    /// Which samples are compared, and which pairs stay.
    pub fn pairs(&self) -> PairSettings {
        let Self { pairs_per_problem, balance_lengths, .. } = *self;
        PairSettings { pairs_per_problem, balance_lengths }
    }

    pub(crate) fn resolve(mut self, at: &mut Section<'_, '_>) -> Self {
        note(self.options().check(), at);
        at.at_least("pairs_per_problem", self.pairs_per_problem as u64, 1, "nothing would be compared");
        resolve_server(&mut self.server, at);
        self
    }
}

/// Settings that make sense; replies are kept in a folder that is found again.
fn resolve_server(server: &mut ClientOptions, at: &mut Section<'_, '_>) {
    note(server.check(), at);
    place_cache_of(server, at);
}

fn note(checked: Result<(), InvalidOption>, at: &mut Section<'_, '_>) {
    if let Err(fault) = checked {
        at.fail(fault.option, format!("`{}` {}", fault.option, fault.reason), "cannot be used", "");
    }
}

/// Takes out of the settings what decides where and when models are asked, but not what they answer.
pub(crate) fn forget_servers(rewrite: Option<&mut Rewrite>, preferences: Option<&mut Preferences>) {
    let servers = rewrite.map(|table| &mut table.server).into_iter();
    servers.chain(preferences.map(|table| &mut table.server)).for_each(forget_server);
}

/// What else a stage says that cannot be where its data are pairs.
///
/// - `k`: samples of each problem
pub(crate) fn check_pairs(
    rewrites: bool,
    k: u64,
    keep: &Keep,
    layout: &LayoutSettings,
    mix: &[Mix],
    at: &mut Section<'_, '_>,
) {
    if rewrites {
        let help = "a model of preferences is to judge what a policy writes, not what another model made of it: take one of the \
                    two tables out, or give each a stage of its own";
        at.fail("preferences", "there are [stage.rewrite] and [stage.preferences]", "not beside `rewrite`", help);
    }
    at.at_least("samples_per_problem", k, 2, "[stage.preferences] compares samples of one problem");
    let default = (keep.choice != Choice::AllCorrect).then_some(1);
    if keep.per_problem.or(default).is_some_and(|cap| cap < 2) {
        let help = "set `keep.per_problem` to 2 or more";
        at.fail(
            "keep.per_problem",
            "one sample of a problem is kept, and a pair takes two",
            "expected 2 or more",
            help,
        );
    }
    if layout.written != WrittenAs::AsSampled {
        let help = "take `layout.written` out: pairs hold samples as the policy writes them";
        at.fail("layout.written", "[stage.preferences] makes pairs, which are not written anew", "not here", help);
    }
    if !mix.is_empty() {
        let help = "take `mix` out: what is mixed into samples are rows of other shapes";
        at.fail("mix", "[stage.preferences] makes pairs, which nothing is mixed into", "not here", help);
    }
}
