//! Compares lengths within a group: short right completions earn, long ones pay.

use serde::{Deserialize, Serialize};

use super::As;
use super::correctness::{Correctness, Judged};
use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "kimi_length";

/// Settings of [`KimiLength`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KimiLengthOptions {
    /// Whose definition: `corrected` (default; the paper's) or `open_r1`. TRL has no such reward.
    #[serde(rename = "as")]
    pub variant: As,
    /// Score of the inner reward from which on a completion is right; default 1.
    pub correct_at: f32,
}

impl Default for KimiLengthOptions {
    fn default() -> Self {
        Self { variant: As::Corrected, correct_at: 1.0 }
    }
}

/// The length reward of Kimi k1.5 (arXiv 2501.12599, section 2.3.3), from -0.5 to 0.5.
///
/// `λ = 0.5 - (L - L_min) / (L_max - L_min)`; a right completion earns `λ`, a wrong one `min(0, λ)`; all get 0 where all are
/// equally long. `L_min` and `L_max` are the shortest and the longest completion of the problem's group, right or wrong, in
/// tokens.
///
/// open-r1 counts characters and compares all completions that it gets at once, of whatever problem, so that an easy
/// problem makes the lengths of a hard one look bad, and the score depends on how many problems a process happens to hold.
/// `as = "open_r1"` does just that: over the whole batch through [`RewardFn::judge_batch`], over the group alone through
/// [`RewardFn::judge_group`]. A problem whose gold the inner reward cannot use has no score; open-r1 takes its completions
/// for right. Its completions' lengths count nevertheless, as there.
///
/// `rule` of the verdict: `right`, `wrong`, `equal_lengths`, `not_judged` (not applicable, as the inner reward is).
pub struct KimiLength {
    variant: As,
    correctness: Correctness,
}

/// The shortest and the longest length among the completions that are compared.
#[derive(Debug, Clone, Copy)]
struct Range {
    min: usize,
    max: usize,
}

impl KimiLength {
    /// The shaping of `of`, which decides what is right.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if `as` is `trl` or `correct_at` is not finite.
    pub fn new(options: KimiLengthOptions, of: Box<dyn RewardFn>) -> Result<Self, InvalidOption> {
        if options.variant == As::Trl {
            return Err(InvalidOption::new(NAME, "as", "is `trl`, which has no such reward: `corrected` or `open_r1`"));
        }
        let correctness = Correctness::new(NAME, of, options.correct_at)?;
        Ok(Self { variant: options.variant, correctness })
    }

    fn length(&self, completion: &CompletionView<'_>) -> usize {
        match self.variant {
            As::OpenR1 => completion.text.chars().count(),
            As::Corrected | As::Trl => completion.n_tokens,
        }
    }

    fn range<'a>(&self, completions: impl Iterator<Item = &'a CompletionView<'a>>) -> Range {
        completions.fold(Range { min: usize::MAX, max: 0 }, |range, completion| {
            let length = self.length(completion);
            Range { min: range.min.min(length), max: range.max.max(length) }
        })
    }

    fn shape(&self, judged: &Judged<'_>, range: Range) -> Verdict {
        let length = self.length(&judged.completion);
        let Range { min, max } = range;
        if max <= min {
            return Verdict::scored(0.0, "equal_lengths", format!("{}, all are {length} long", judged.in_words()));
        }
        let lambda = 0.5 - (length - min) as f64 / (max - min) as f64;
        let score = if judged.correct { lambda } else { lambda.min(0.0) };
        let rule = if judged.correct { "right" } else { "wrong" };
        Verdict::scored(score as f32, rule, format!("{}, length {length} of {min} to {max}", judged.in_words()))
    }

    fn shaped(&self, inner: Vec<Verdict>, completions: &[CompletionView<'_>], range: Range) -> Vec<Verdict> {
        self.correctness.shaped_group(inner, completions, |judged| self.shape(judged, range))
    }
}

impl RewardFn for KimiLength {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.correctness.check_gold(problem)
    }

    /// The verdict on a group of one: nothing to compare, so 0.
    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let mut verdicts = self.judge_group(problem, std::slice::from_ref(completion));
        verdicts.pop().expect("one verdict for the one completion")
    }

    fn judge_group(&self, problem: &Problem, completions: &[CompletionView<'_>]) -> Vec<Verdict> {
        let inner = self.correctness.group(problem, completions);
        self.shaped(inner, completions, self.range(completions.iter()))
    }

    fn compares_groups(&self) -> bool {
        self.variant == As::OpenR1 || self.correctness.compares_groups()
    }

    fn judge_batch(&self, groups: &[(&Problem, &[CompletionView<'_>])]) -> Vec<Vec<Verdict>> {
        let inner = self.correctness.batch(groups);
        let whole = self.range(groups.iter().flat_map(|(_, completions)| completions.iter()));
        let pairs = inner.into_iter().zip(groups);
        pairs
            .map(|(inner, (_, completions))| {
                let range = if self.variant == As::OpenR1 { whole } else { self.range(completions.iter()) };
                self.shaped(inner, completions, range)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::correctness::tests::{FirstLetter, problem};
    use super::*;

    fn kimi(variant: As) -> KimiLength {
        KimiLength::new(KimiLengthOptions { variant, ..KimiLengthOptions::default() }, Box::new(FirstLetter)).unwrap()
    }

    fn views<'a>(completions: &[(&'a str, usize)]) -> Vec<CompletionView<'a>> {
        completions.iter().map(|&(text, n_tokens)| CompletionView::new(text, n_tokens, false)).collect()
    }

    fn scores(verdicts: &[Verdict]) -> Vec<Option<f32>> {
        verdicts.iter().map(|verdict| verdict.score).collect()
    }

    #[test]
    fn lengths_are_compared_within_the_group() {
        let check = |completions: &[(&str, usize)], expected: &[Option<f32>]| {
            let verdicts = kimi(As::Corrected).judge_group(&problem(), &views(completions));
            assert_eq!(scores(&verdicts), expected, "{completions:?}");
        };
        check(&[("r", 10), ("r", 20), ("r", 30)], &[Some(0.5), Some(0.0), Some(-0.5)]);
        check(&[("w", 10), ("r", 15), ("w", 30)], &[Some(0.0), Some(0.25), Some(-0.5)]);
        check(&[("r", 10), ("w", 10)], &[Some(0.0), Some(0.0)]);
        check(&[("r", 10), ("x", 20), ("r", 15)], &[Some(0.5), None, Some(0.0)]);
        check(&[("r", 10)], &[Some(0.0)]);
        check(&[], &[]);
    }

    #[test]
    fn open_r1_compares_characters_over_the_batch() {
        let (short, long) = (views(&[("r", 10), ("räh", 20)]), views(&[("r....", 10), ("w...", 10)]));
        let problem = problem();
        let groups = [(&problem, short.as_slice()), (&problem, long.as_slice())];
        let all = |variant| kimi(variant).judge_batch(&groups).concat();
        assert_eq!(scores(&all(As::OpenR1)), [Some(0.5), Some(0.0), Some(-0.5), Some(-0.25)]);
        assert_eq!(scores(&all(As::Corrected)), [Some(0.5), Some(-0.5), Some(0.0), Some(0.0)]);
        assert_eq!(all(As::Corrected)[2].rule, "equal_lengths");
        assert!(kimi(As::OpenR1).judge_batch(&[]).is_empty());
    }

    #[test]
    fn settings_are_checked() {
        for options in [
            KimiLengthOptions { variant: As::Trl, ..KimiLengthOptions::default() },
            KimiLengthOptions { correct_at: f32::NAN, ..KimiLengthOptions::default() },
        ] {
            assert!(KimiLength::new(options, Box::new(FirstLetter)).is_err());
        }
    }
}
