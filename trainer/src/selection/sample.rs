//! One sample: a problem, what a policy wrote for it, and what the judges said. A line of `data.jsonl`.

use std::collections::BTreeMap;

use rewards::{CompletionView, Problem};
use serde::{Deserialize, Serialize};

/// A completion of a problem with its verdicts: what `sample` writes, and what `sft` and `curate` read.
///
/// As JSON, the problem's keys lie beside those of the sample. A row of another program needs `question` and `completion`;
/// keys that are not known here are kept in `problem.gold.fields`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The problem: `id`, `question`, its gold, `domain`, `level`, `language` and whatever else its row has.
    #[serde(flatten)]
    pub problem: Problem,
    /// The rendered prompt. Empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// The completion's text, without the prompt and without the end token.
    pub completion: String,
    /// Its length in tokens of the policy that wrote it, the end token included. 0 where it is not known.
    #[serde(default)]
    pub n_tokens: u64,
    /// Whether the token limit cut it off.
    #[serde(default)]
    pub truncated: bool,
    /// The weighted sum of the rewards; `None` where none applied.
    #[serde(default)]
    pub reward: Option<f32>,
    /// Whether it is right; `None` where no reward has judged the answer.
    #[serde(default)]
    pub correct: Option<bool>,
    /// The score of each reward by its name; `None` where it did not apply.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: BTreeMap<String, Option<f32>>,
    /// Where it comes from; `None` in rows of other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

/// Where a sample comes from: enough to draw it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The stage that sampled it.
    pub stage: String,
    /// The policy: the stage or the folder that it was read from.
    pub model: String,
    /// The step of the policy; `None` where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The number of its problem among those of the stage, from 0.
    pub problem: u64,
    /// The number of the sample among those of its problem, from 0.
    pub sample: u64,
    /// The run's seed.
    pub seed: u64,
    /// The temperature it was sampled at.
    pub temperature: f64,
    /// The model that has rewritten it, as its server names it; `None` if it is as it was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewritten_by: Option<String>,
}

/// The keys that a sample has beside those of its problem.
const OWN_KEYS: [&str; 8] =
    ["prompt", "completion", "n_tokens", "truncated", "reward", "correct", "components", "provenance"];

/// The domain of rows that name none.
const NO_DOMAIN: &str = "none";

impl Sample {
    /// `problem` without the fields that a sample has itself: written beside each other, they would be one key twice.
    pub fn bare(mut problem: Problem) -> Problem {
        problem.gold.fields.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
        problem
    }

    /// The field `domain` of the row, `none` where there is no such text.
    pub fn domain(&self) -> &str {
        self.problem.gold.fields.get("domain").and_then(|domain| domain.as_str()).unwrap_or(NO_DOMAIN)
    }

    /// The completion as the judges see it.
    pub fn view(&self) -> CompletionView<'_> {
        let n_tokens = usize::try_from(self.n_tokens).unwrap_or(usize::MAX);
        CompletionView::new(&self.completion, n_tokens, self.truncated)
            .with_prompt(&self.prompt)
            .with_think_prefilled(self.prompt.trim_end().ends_with("<think>"))
    }

    /// The whole row: what names the sample in draws, and puts those that are equal in all that counts into an order.
    pub(super) fn identity(&self) -> String {
        // Text, numbers and maps with text for keys always have a form in JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_read_and_write() {
        let check = |row: &str, written: &str| {
            let sample: Sample = serde_json::from_str(row).unwrap();
            assert_eq!(serde_json::to_string(&sample).unwrap(), written, "{row}");
            assert_eq!(serde_json::from_str::<Sample>(written).unwrap(), sample, "{written}");
        };
        let whole = concat!(
            r#"{"id":"a","question":"q","numbers":[1,2],"target":3,"domain":"math","extra":[1],"prompt":"p","completion":"c","#,
            r#""n_tokens":7,"truncated":true,"reward":0.1,"correct":false,"components":{"accuracy":0.0,"format":null},"#,
            r#""provenance":{"stage":"s","model":"m","step":4,"problem":3,"sample":1,"seed":9,"temperature":0.7}}"#
        );
        check(whole, whole);
        check(
            r#"{"completion":"c","question":"q","gold":5}"#,
            r#"{"id":"","question":"q","gold":"5","completion":"c","n_tokens":0,"truncated":false,"reward":null,"correct":null}"#,
        );
        for row in [r#"{"question":"q"}"#, r#"{"completion":"c"}"#, r#"{"question":"q","completion":3}"#] {
            assert!(serde_json::from_str::<Sample>(row).is_err(), "{row}");
        }
    }

    #[test]
    fn a_problem_with_keys_of_a_sample_is_written_with_each_key_once() {
        let problem: Problem =
            serde_json::from_str(r#"{"question":"q","prompt":"old","reward":3,"completion":"old","level":2}"#).unwrap();
        let bare = Sample::bare(problem);
        assert_eq!(bare.gold.fields.keys().collect::<Vec<_>>(), ["level"]);
    }

    #[test]
    fn a_row_without_a_domain_has_none() {
        let domain = |row: &str| serde_json::from_str::<Sample>(row).unwrap().domain().to_owned();
        assert_eq!(domain(r#"{"question":"q","completion":"c","domain":"code"}"#), "code");
        assert_eq!(domain(r#"{"question":"q","completion":"c","domain":3}"#), "none");
        assert_eq!(domain(r#"{"question":"q","completion":"c"}"#), "none");
    }
}
