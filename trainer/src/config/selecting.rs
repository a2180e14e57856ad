//! `[stage.filters]`, `[stage.decontamination]`, `[stage.layout]`, `[stage.keep]`, `[[stage.mix]]`: which samples become data.

use serde::{Deserialize, Serialize};

use super::checks::Section;
use super::rewards::Rewards;
use super::source::{Artifact, InputMut};
use super::stage::Makes;
use crate::selection::{Correctness, DecontaminationOptions, Filters, Keep, Layout};

/// `[stage.decontamination]`: no sample shares a run of words with an evaluation. Without the table nothing is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decontamination {
    /// The evaluations: files of problems, in any layout that problems come in, absolute; or stages that make them. Looked at are
    /// questions and, where there are some, `solution`, `answer` or `gold`. Required.
    pub files: Vec<Artifact>,
    /// See [`DecontaminationOptions::ngram_size`]. Default 10 (DeepSeek-R1 B.3.1).
    #[serde(default = "ngram_size")]
    pub ngram_size: usize,
    /// See [`DecontaminationOptions::max_row_fraction`]. Default 1.
    #[serde(default = "max_row_fraction")]
    pub max_row_fraction: f64,
    /// See [`DecontaminationOptions::completions`]. Default false.
    #[serde(default)]
    pub completions: bool,
}

fn ngram_size() -> usize {
    DecontaminationOptions::default().ngram_size
}

fn max_row_fraction() -> f64 {
    DecontaminationOptions::default().max_row_fraction
}

impl Decontamination {
    /// How runs of words are compared.
    pub fn options(&self) -> DecontaminationOptions {
        let Self { ngram_size, max_row_fraction, completions, .. } = *self;
        DecontaminationOptions { ngram_size, max_row_fraction, completions }
    }

    pub(crate) fn resolve(mut self, at: &mut Section<'_, '_>) -> Self {
        at.at_least("ngram_size", self.ngram_size as u64, 1, "a run has a word at least");
        let fine = self.max_row_fraction > 0.0 && self.max_row_fraction <= 1.0;
        let why = "a run of words that more rows of an evaluation share is taken for a template's; 1 leaves none out";
        at.holds("max_row_fraction", self.max_row_fraction, fine, "expected more than 0, and 1 at most", why);
        if self.files.is_empty() {
            at.fail("files", "`files` is empty", "expected a file", "name the evaluations, or take the table out");
        }
        self.files = self.files.iter().map(|file| at.artifact("files", file, Makes::Data)).collect();
        self
    }

    pub(crate) fn visit_inputs(&mut self, visit: &mut dyn FnMut(InputMut<'_>)) {
        self.files.iter_mut().for_each(|file| visit(InputMut::Artifact(file)));
    }
}

/// How reasoning and summary lie in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayoutName {
    /// `think_answer`: `<think>..</think> <answer>..</answer>`, or with the summary as it is behind `</think>`.
    #[default]
    ThinkAnswer,
    /// `special_token`: `|special_token|..|special_token|..` (DeepSeek-R1 v1 2.3.1).
    SpecialToken,
}

/// How a chosen completion is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WrittenAs {
    /// `as_sampled`: as it is.
    #[default]
    AsSampled,
    /// `think_answer`: see [`LayoutName::ThinkAnswer`].
    ThinkAnswer,
    /// `special_token`: see [`LayoutName::SpecialToken`].
    SpecialToken,
}

/// `[stage.layout]`: how reasoning and summary lie in completions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutSettings {
    /// Of the completions as they come. Default `think_answer`.
    pub sampled: LayoutName,
    /// Of the completions in the data; those that cannot be rewritten are dropped. Default `as_sampled`.
    pub written: WrittenAs,
    /// The special token, as text. Default `|special_token|` (DeepSeek-R1 v1 2.3.1).
    pub special_token: String,
}

impl Default for LayoutSettings {
    fn default() -> Self {
        let special_token = "|special_token|".to_owned();
        Self { sampled: LayoutName::default(), written: WrittenAs::default(), special_token }
    }
}

impl LayoutSettings {
    /// The layout of completions as they come.
    pub fn sampled(&self) -> Layout {
        match self.sampled {
            LayoutName::ThinkAnswer => Layout::ThinkAnswer,
            LayoutName::SpecialToken => Layout::SpecialToken(self.special_token.clone()),
        }
    }

    /// The layout that they are rewritten into; none if they stay as they are.
    pub fn written(&self) -> Option<Layout> {
        match self.written {
            WrittenAs::AsSampled => None,
            WrittenAs::ThinkAnswer => Some(Layout::ThinkAnswer),
            WrittenAs::SpecialToken => Some(Layout::SpecialToken(self.special_token.clone())),
        }
    }

    pub(crate) fn check(&self, at: &mut Section<'_, '_>) {
        if self.special_token.trim().is_empty() {
            let help = "it stands before the reasoning and before the summary, and tells them apart";
            at.fail("special_token", "`special_token` is empty", "expected a text", help);
        }
    }
}

/// `[[stage.mix]]`: other data that is mixed into what was sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// A file of JSON Lines, absolute; or the stage that makes it. Required.
    pub data: Artifact,
    /// Its share of all rows, in (0, 1). Required (DeepSeek-R1 2.3.3: 200,000 of 800,000, 0.25).
    pub fraction: f64,
    /// The domain of its rows that name none, in the table. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// Absolute paths; each fraction and their sum make sense.
pub(crate) fn resolve_mix(mix: Vec<Mix>, at: &mut Section<'_, '_>) -> Vec<Mix> {
    let sum: f64 = mix.iter().map(|mix| mix.fraction).sum();
    let resolve = |(idx, mix): (usize, Mix)| {
        let mut at = at.table(&format!("mix[{idx}]"));
        let (fraction, why) = (mix.fraction, "it is the share of all rows of the mixture");
        at.holds("fraction", fraction, fraction > 0.0 && fraction < 1.0, "expected more than 0, and less than 1", why);
        if fraction < 1.0 && sum >= 1.0 && idx == 0 {
            let title = format!("the fractions of what is mixed in come to {sum}");
            let help = "the rest of the rows are those that were sampled: lower one of the fractions";
            at.fail("fraction", title, "expected less than 1 together", help);
        }
        Mix { data: at.artifact("data", &mix.data, Makes::Data), ..mix }
    };
    mix.into_iter().enumerate().map(resolve).collect()
}

/// `[stage.filters]`: thresholds that make sense.
///
/// - `rewards`: what judges the samples; none if rows bring their verdicts
pub(crate) fn check_filters(filters: &Filters, rewards: Option<&Rewards>, at: &mut Section<'_, '_>) {
    if filters.correct == Correctness::Required && rewards.is_some_and(|rewards| !rewards.judge_answers()) {
        let title = "`correct` is \"required\", but no reward of `stage.rewards` judges answers";
        let help = "add a reward such as [stage.rewards.accuracy], with weight 0 if it is only to say what is right; or use \
                    `correct = \"if_judged\"`";
        at.fail("correct", title, "every sample would be dropped", help);
    }
    if let Some(max) = filters.max_tokens.filter(|max| *max < filters.min_tokens) {
        let title = format!("`max_tokens` is {max}, less than `min_tokens`");
        at.fail("max_tokens", title, format!("expected {} or more", filters.min_tokens), "");
    }
    let share = |key, value: Option<f64>, at: &mut Section<'_, '_>| {
        if let Some(value) = value {
            at.holds(key, value, (0.0..=1.0).contains(&value), "expected 0 to 1", "it is a share");
        }
    };
    share("min_language", filters.min_language.map(f64::from), at);
    share("max_repeated_fraction", filters.max_repeated_fraction, at);
    at.at_least("repeated_ngram_size", filters.repeated_ngram_size as u64, 1, "an n-gram has a word at least");
    let counts = [
        ("max_loop", filters.max_loop),
        ("max_paragraph_words", filters.max_paragraph_words),
        ("max_paragraph_letters", filters.max_paragraph_letters),
    ];
    for (key, value) in counts {
        at.at_least(key, value.unwrap_or(1), 1, "at 0 every sample would be dropped");
    }
    if let Some(near) = filters.near_duplicates {
        let fine = near > 0.0 && near <= 1.0;
        at.holds("near_duplicates", near, fine, "expected more than 0, and 1 at most", "at 0 one sample would be left");
    }
    let language = rewards::LanguageConsistencyOptions { language: filters.language.clone(), ..Default::default() };
    if let Err(error) = rewards::LanguageConsistency::new(language) {
        at.fail(
            "language",
            format!("`language` {}", error.reason),
            "cannot be told from others",
            "see docs/rewards.md",
        );
    }
}

/// `[stage.keep]`: caps that leave something.
pub(crate) fn check_keep(keep: &Keep, at: &mut Section<'_, '_>) {
    at.at_least("per_problem", keep.per_problem.unwrap_or(1), 1, "nothing would be kept");
    at.at_least("total", keep.total.unwrap_or(1), 1, "nothing would be kept");
}
