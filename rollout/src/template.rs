//! From a question to the text that the policy continues.

/// How a question is put to a base model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// DeepSeek-R1-Zero's template (arXiv 2501.12948, Table 1), with the question in place of `prompt`.
    R1Zero,
    /// The question itself.
    None,
}

/// The text before the question, verbatim from the paper.
const R1_ZERO_BEFORE: &str = "A conversation between User and Assistant. The user asks a question, and the Assistant \
solves it. The assistant first thinks about the reasoning process in the mind and then provides the user with the answer. \
The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., \
<think> reasoning process here </think> <answer> answer here </answer>. User: ";

/// The text after the question.
const R1_ZERO_AFTER: &str = ". Assistant:";

impl Template {
    /// The text of the prompt.
    pub fn render(self, question: &str) -> String {
        match self {
            // The paper writes "User: prompt. Assistant:"; a question that brings its own full stop keeps one.
            Self::R1Zero => {
                format!("{R1_ZERO_BEFORE}{}{R1_ZERO_AFTER}", question.strip_suffix('.').unwrap_or(question))
            }
            Self::None => question.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_stands_where_the_paper_puts_it() {
        let text = Template::R1Zero.render("What is 1 + 1?");
        assert!(text.starts_with("A conversation between User and Assistant. The user asks"));
        assert!(text.ends_with("<answer> answer here </answer>. User: What is 1 + 1?. Assistant:"));
        assert_eq!(Template::R1Zero.render("Add."), Template::R1Zero.render("Add"));
        assert_eq!(Template::None.render("Add."), "Add.");
    }
}
