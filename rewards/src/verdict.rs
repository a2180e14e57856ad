//! What one rule found, and why.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What one rule found in one completion, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The rule's score, finite; `None` where the rule does not apply, which is not the same as zero: such a verdict
    /// leaves the sum.
    pub score: Option<f32>,
    /// Why, in plain words and of bounded length.
    pub reason: Cow<'static, str>,
    /// What the rule took for the answer, shortened where it is long; `None` where it found or needs none.
    pub extracted: Option<String>,
    /// Which rule decided: a short name that does not change between versions, to be counted and filtered by.
    pub rule: Cow<'static, str>,
}

impl Verdict {
    /// A score given by `rule`.
    pub fn scored(score: f32, rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { score: Some(score), reason: reason.into(), extracted: None, rule: rule.into() }
    }

    /// No score: the rule says nothing about this completion.
    pub fn not_applicable(rule: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { score: None, reason: reason.into(), extracted: None, rule: rule.into() }
    }

    /// The same verdict, with what was taken for the answer.
    #[must_use]
    pub fn with_extracted(mut self, extracted: impl Into<String>) -> Self {
        self.extracted = Some(extracted.into());
        self
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
        ] {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), json);
            assert_eq!(serde_json::from_str::<Verdict>(json).unwrap(), verdict);
        }
    }
}
