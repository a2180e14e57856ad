//! The reward `instruction_quality`: how good a response to a generated instruction really is.

use rewards::{CompletionView, GoldError, Problem, RewardFn, Verdict};

use super::Instruction;

const NAME: &str = "instruction_quality";

/// [`Instruction::quality`] as a reward: with weight 0 it shows whether what a reward model likes is good, or whether the policy
/// has found a hole in it.
///
/// It judges rows whose question is one of the generator's. Rows with a `domain` have to be; others it leaves alone.
///
/// `rule` of the verdict: `quality`, `other_question` (not applicable).
#[derive(Clone, Copy, Debug, Default)]
pub struct InstructionQuality;

impl RewardFn for InstructionQuality {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        if !problem.gold.fields.contains_key("domain") || Instruction::find(&problem.question).is_some() {
            return Ok(());
        }
        Err(GoldError::Invalid {
            reward: NAME.to_owned(),
            field: "question",
            reason: "it is no instruction of `grpo-train instructions`; leave `domain` out, or take the reward out"
                .to_owned(),
        })
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        match Instruction::find(&problem.question) {
            Some(instruction) => {
                let quality = instruction.quality(completion.text);
                Verdict::scored(quality as f32, "quality", format!("{quality} of 1 for `{}`", instruction.id()))
            }
            None => Verdict::not_applicable("other_question", "the question is no generated instruction"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rewards::Gold;

    #[test]
    fn generated_instructions_are_judged_and_others_left_alone() {
        let problem = |question: &str, domain: Option<&str>| {
            let mut gold = Gold::default();
            gold.fields.extend(domain.map(|domain| ("domain".to_owned(), domain.into())));
            Problem { id: String::new(), question: question.to_owned(), gold }
        };
        let judge = |question: &str, text: &str| {
            InstructionQuality.judge(&problem(question, None), &CompletionView::new(text, 9, false)).score
        };
        assert_eq!(judge("Greet Anna.", " <think> A. </think> <answer> Hello, Anna! </answer>"), Some(0.75));
        assert_eq!(judge("What is 1 + 1?", "2"), None);
        let check = |question, domain| InstructionQuality.check_gold(&problem(question, domain));
        assert_eq!(check("Greet Anna.", Some("helpful")), Ok(()));
        assert_eq!(check("What is 1 + 1?", None), Ok(()));
        let error = check("What is 1 + 1?", Some("helpful")).unwrap_err().to_string();
        assert!(error.contains("`question`") && error.contains("grpo-train instructions"), "{error}");
    }
}
