//! What one rule found, and why.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::steps::{self, StepScore};

/// What one rule found in one completion, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The rule's score, finite; `None` where the rule does not apply, which is not the same as zero: such a verdict
    /// leaves the sum. It is what is logged, and what expressions and shaped rewards see; of a rule that scores steps, the
    /// mean of the steps or what the judge says of the whole.
    pub score: Option<f32>,
    /// Why, in plain words and of bounded length.
    pub reason: Cow<'static, str>,
    /// What the rule took for the answer, shortened where it is long; `None` where it found or needs none.
    pub extracted: Option<String>,
    /// Which rule decided: a short name that does not change between versions, to be counted and filtered by.
    pub rule: Cow<'static, str>,
    /// What the steps of the reasoning are worth each, in the order of the text, for process supervision (DeepSeekMath,
    /// arXiv 2402.03300, section 4.1.3). Empty for rules that judge the outcome, and where the rule does not apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepScore>,
}

impl Verdict {
    /// A score given by `rule`.
    pub fn scored(score: f32, rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { score: Some(score), reason: reason.into(), extracted: None, rule: rule.into(), steps: Vec::new() }
    }

    /// No score: the rule says nothing about this completion.
    pub fn not_applicable(rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { score: None, reason: reason.into(), extracted: None, rule: rule.into(), steps: Vec::new() }
    }

    /// The same verdict, with what was taken for the answer.
    #[must_use]
    pub fn with_extracted(mut self, extracted: impl Into<String>) -> Self {
        self.extracted = Some(extracted.into());
        self
    }

    /// The same verdict, with scores of the steps of `text`, which is what was judged.
    #[must_use]
    pub fn with_steps(mut self, steps: Vec<StepScore>) -> Self {
        self.steps = steps;
        self
    }

    /// The same verdict of `text` without numbers that would poison what is computed from it: a score that is not finite, or
    /// steps that are not those of `text`.
    pub(crate) fn sound(self, text: &str) -> Self {
        let (reason, rule) = match (self.score, steps::fault(&self.steps, text)) {
            (Some(score), _) if !score.is_finite() => {
                (format!("the reward returned the score {score}: {}", self.reason), "non_finite_score")
            }
            (_, Some(fault)) => (format!("the reward returned steps that make no sense: {fault}"), "invalid_steps"),
            (None, None) if !self.steps.is_empty() => return Self { steps: Vec::new(), ..self },
            _ => return self,
        };
        Self { score: None, reason: reason.into(), rule: rule.into(), steps: Vec::new(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_survive_json() {
        for (verdict, json) in [
            (
                Verdict::scored(0.5, "value", "equals 23, not 24").with_extracted("20 + 3"),
                r#"{"score":0.5,"reason":"equals 23, not 24","extracted":"20 + 3","rule":"value"}"#,
            ),
            (
                Verdict::not_applicable("gold", "no \"target\""),
                r#"{"score":null,"reason":"no \"target\"","extracted":null,"rule":"gold"}"#,
            ),
            (
                Verdict::scored(1.0, "right", "1 of 1").with_steps(vec![StepScore { end: 9, score: 1.0 }]),
                r#"{"score":1.0,"reason":"1 of 1","extracted":null,"rule":"right","steps":[{"end":9,"score":1.0}]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), json);
            assert_eq!(serde_json::from_str::<Verdict>(json).unwrap(), verdict);
        }
    }

    #[test]
    fn what_would_poison_a_mean_is_taken_out() {
        let check = |score: Option<f32>, steps: &[(usize, f32)], rule: &str| {
            let steps = steps.iter().map(|&(end, score)| StepScore { end, score }).collect();
            let verdict = Verdict { score, ..Verdict::scored(0.0, "told", "as told").with_steps(steps) };
            let sound = verdict.clone().sound("aä");
            assert_eq!(sound.rule, rule);
            match (rule, score) {
                ("told", Some(_)) => assert_eq!(sound, verdict),
                _ => assert_eq!((sound.score, sound.steps), (None, Vec::new())),
            }
        };
        check(Some(0.5), &[], "told");
        check(Some(0.5), &[(1, 0.0), (3, -1.0)], "told");
        check(None, &[(1, 0.0)], "told");
        check(Some(f32::NAN), &[(1, 0.0)], "non_finite_score");
        check(Some(0.5), &[(1, f32::INFINITY)], "invalid_steps");
        check(Some(0.5), &[(2, 0.0)], "invalid_steps");
        check(Some(0.5), &[(4, 0.0)], "invalid_steps");
        check(Some(0.5), &[(3, 0.0), (1, 0.0)], "invalid_steps");
    }
}
