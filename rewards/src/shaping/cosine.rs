//! Scales correctness by length along a cosine.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::As;
use super::correctness::{Correctness, Judged};
use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "cosine";

/// Settings of [`Cosine`]. The scores are TRL's defaults; in brackets TRL's and open-r1's names for them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CosineOptions {
    /// Whose definition; default `corrected`, which gives TRL's scores unless `beyond` is set.
    #[serde(rename = "as")]
    pub variant: As,
    /// `L_max`, the length at which the cosine has come to its end; in tokens, with `as = "open_r1"` in characters. Default
    /// 1000 (open-r1); a run's own limit of completion tokens is the natural choice.
    pub max_length: usize,
    /// Score of a right completion of length 0; default 1 (`max_value_correct`).
    pub right_short: f32,
    /// Score of a right completion of `max_length`; default 0.5 (`min_value_correct`).
    pub right_long: f32,
    /// Score of a wrong completion of length 0; default -1 (`min_value_wrong`; in open-r1's recipes 0).
    pub wrong_short: f32,
    /// Score of a wrong completion of `max_length`; default -0.5 (`max_value_wrong`).
    pub wrong_long: f32,
    /// Score of every completion of `max_length` or longer, right or wrong: `r_e` of the paper, which sets -10. Default none:
    /// neither TRL nor open-r1 has it. Only with `as = "corrected"`.
    pub beyond: Option<f32>,
    /// Score of the inner reward from which on a completion is right; default 1.
    pub correct_at: f32,
}

impl Default for CosineOptions {
    fn default() -> Self {
        Self {
            variant: As::Corrected,
            max_length: 1000,
            right_short: 1.0,
            right_long: 0.5,
            wrong_short: -1.0,
            wrong_long: -0.5,
            beyond: None,
            correct_at: 1.0,
        }
    }
}

/// Correctness scaled by length: a right completion earns more the shorter it is, a wrong one loses less the longer it is
/// ("Demystifying Long Chain-of-Thought Reasoning", arXiv 2502.03373, appendix C.1).
///
/// `long + (short - long) (1 + cos(π L / L_max)) / 2`, with the two scores of right or wrong completions.
///
/// Length is counted in tokens, and beyond `L_max` it counts as `L_max`. open-r1 counts characters and goes on: the cosine
/// is periodic, so that a right completion of twice `L_max` earns as much as an empty one. `as = "open_r1"` does just that.
/// A problem whose gold the inner reward cannot use has no score; open-r1 gives 1.
///
/// `rule` of the verdict: `right`, `wrong`, `beyond`, `not_judged` (not applicable, as the inner reward is).
pub struct Cosine {
    options: CosineOptions,
    correctness: Correctness,
}

impl Cosine {
    /// The shaping of `of`, which decides what is right.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if `max_length` is 0, a score is not finite, or `beyond` is set for a definition without it.
    pub fn new(options: CosineOptions, of: Box<dyn RewardFn>) -> Result<Self, InvalidOption> {
        if options.max_length == 0 {
            return Err(InvalidOption::new(NAME, "max_length", "is 0: it must be at least 1"));
        }
        for (option, score) in [
            ("right_short", options.right_short),
            ("right_long", options.right_long),
            ("wrong_short", options.wrong_short),
            ("wrong_long", options.wrong_long),
            ("beyond", options.beyond.unwrap_or(0.0)),
        ] {
            InvalidOption::unless_finite(NAME, option, score)?;
        }
        if options.beyond.is_some() && options.variant != As::Corrected {
            return Err(InvalidOption::new(NAME, "beyond", "is set, and only `as = \"corrected\"` has it"));
        }
        let correctness = Correctness::new(NAME, of, options.correct_at)?;
        Ok(Self { options, correctness })
    }

    fn shape(&self, judged: &Judged<'_>) -> Verdict {
        let options = &self.options;
        let (length, unit) = match options.variant {
            As::Corrected | As::Trl => (judged.completion.n_tokens, "tokens"),
            As::OpenR1 => (judged.completion.text.chars().count(), "characters"),
        };
        let reason = format!("{}, {length} {unit} of {}", judged.in_words(), options.max_length);
        if let Some(beyond) = options.beyond
            && length >= options.max_length
        {
            return Verdict::scored(beyond, "beyond", reason);
        }
        let progress = length as f64 / options.max_length as f64;
        let progress = if options.variant == As::OpenR1 { progress } else { progress.min(1.0) };
        let (short, long, rule) = if judged.correct {
            (options.right_short, options.right_long, "right")
        } else {
            (options.wrong_short, options.wrong_long, "wrong")
        };
        let (short, long) = (f64::from(short), f64::from(long));
        let score = long + 0.5 * (short - long) * (1.0 + (progress * PI).cos());
        Verdict::scored(score as f32, rule, reason)
    }
}

impl RewardFn for Cosine {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.correctness.check_gold(problem)
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let mut verdicts = self.judge_group(problem, std::slice::from_ref(completion));
        verdicts.pop().expect("one verdict for the one completion")
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        let inner = self.correctness.group(problem, completions);
        self.correctness.shaped_group(inner, completions, |judged| self.shape(judged))
    }

    fn compares_groups(&self) -> bool {
        self.correctness.compares_groups()
    }

    fn judge_batch(&self, groups: &[(&Problem, &[CompletionView<'_>])]) -> Vec<Vec<Verdict>> {
        let pairs = self.correctness.batch(groups).into_iter().zip(groups);
        pairs
            .map(|(inner, (_, completions))| {
                self.correctness.shaped_group(inner, completions, |judged| self.shape(judged))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::correctness::tests::{FirstLetter, problem};
    use super::*;

    fn cosine(options: CosineOptions) -> Cosine {
        Cosine::new(options, Box::new(FirstLetter)).unwrap()
    }

    #[test]
    fn length_scales_correctness() {
        let check = |options: CosineOptions, text: &str, n_tokens: usize, score: Option<f32>, rule: &str| {
            let verdict = cosine(options).judge(&problem(), &CompletionView::new(text, n_tokens, false));
            assert_eq!(verdict.rule, rule, "{text}, {n_tokens}: {}", verdict.reason);
            let off = verdict.score.zip(score).map_or(0.0, |(a, b)| (a - b).abs());
            assert!(off < 1e-6 && verdict.score.is_some() == score.is_some(), "{text}, {n_tokens}: {verdict:?}");
        };
        let options = CosineOptions { max_length: 100, ..CosineOptions::default() };
        for (text, n_tokens, score, rule) in [
            ("r", 0, Some(1.0), "right"),
            ("r", 50, Some(0.75), "right"),
            ("r", 100, Some(0.5), "right"),
            ("r", 200, Some(0.5), "right"),
            ("w", 0, Some(-1.0), "wrong"),
            ("w", 50, Some(-0.75), "wrong"),
            ("w", 5000, Some(-0.5), "wrong"),
            ("h", 0, Some(-1.0), "wrong"),
            ("x", 50, None, "not_judged"),
        ] {
            check(options, text, n_tokens, score, rule);
        }
        check(CosineOptions { correct_at: 0.5, ..options }, "h", 0, Some(1.0), "right");
        let beyond = CosineOptions { beyond: Some(-10.0), ..options };
        check(beyond, "r", 99, Some(0.500_123), "right");
        check(beyond, "r", 100, Some(-10.0), "beyond");
        check(beyond, "w", 101, Some(-10.0), "beyond");
        // open-r1: characters, and back to the start of the cosine at twice the length.
        let open_r1 = CosineOptions { variant: As::OpenR1, max_length: 2, ..options };
        check(open_r1, "rö", 1000, Some(0.5), "right");
        check(open_r1, "rööö", 1000, Some(1.0), "right");
    }

    #[test]
    fn verdicts_keep_what_the_inner_reward_extracted() {
        let verdict = cosine(CosineOptions::default()).judge(&problem(), &CompletionView::new("r", 7, false));
        assert_eq!((verdict.extracted.as_deref(), verdict.reason.as_ref()), (Some("r"), "right, 7 tokens of 1000"));
        let verdict = cosine(CosineOptions::default()).judge(&problem(), &CompletionView::new("x", 7, false));
        assert_eq!(verdict.reason, "neither r nor w nor h");
    }

    #[test]
    fn settings_are_checked() {
        let refused = |options: CosineOptions| Cosine::new(options, Box::new(FirstLetter)).err().unwrap().to_string();
        let default = CosineOptions::default;
        assert_eq!(
            refused(CosineOptions { max_length: 0, ..default() }),
            "reward `cosine`: `max_length` is 0: it must be at least 1"
        );
        refused(CosineOptions { right_short: f32::NAN, ..default() });
        refused(CosineOptions { correct_at: f32::INFINITY, ..default() });
        refused(CosineOptions { beyond: Some(-1.0), variant: As::Trl, ..default() });
        let read: CosineOptions = serde_json::from_str(r#"{"as": "open_r1", "max_length": 5}"#).unwrap();
        assert_eq!(read, CosineOptions { variant: As::OpenR1, max_length: 5, ..default() });
        assert!(serde_json::from_str::<CosineOptions>(r#"{"max_len": 5}"#).is_err());
    }
}
