//! From a question to the prompt that the policy continues.

use std::sync::Arc;

use crate::{ChatTemplate, Message, Prompt, Result, Tokenizer};

/// How a question is put to a model.
#[derive(Clone, Debug)]
pub enum Template {
    /// DeepSeek-R1-Zero's template (arXiv 2501.12948, Table 1), with the question in place of `prompt`.
    R1Zero,
    /// The question itself.
    None,
    /// The question as a user's message in the model's own chat template, and the beginning of the assistant's turn.
    Chat(Arc<Chat>),
}

/// A chat template and what stands before every question.
#[derive(Debug)]
pub struct Chat {
    template: ChatTemplate,
    system: Option<String>,
}

/// The text before the question, verbatim from the paper.
const R1_ZERO_BEFORE: &str = "A conversation between User and Assistant. The user asks a question, and the Assistant \
solves it. The assistant first thinks about the reasoning process in the mind and then provides the user with the answer. \
The reasoning process and answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., \
<think> reasoning process here </think> <answer> answer here </answer>. User: ";

/// The text after the question.
const R1_ZERO_AFTER: &str = ". Assistant:";

/// DeepSeek-R1-Zero's prompt of a question.
pub fn r1_zero(question: &str) -> String {
    // The paper writes "User: prompt. Assistant:"; a question that brings its own full stop keeps one.
    format!("{R1_ZERO_BEFORE}{}{R1_ZERO_AFTER}", question.strip_suffix('.').unwrap_or(question))
}

impl Template {
    /// A chat template as a template of questions.
    ///
    /// - `system`: the message before every question; without one, the chat template may bring its own
    pub fn chat(template: ChatTemplate, system: Option<String>) -> Self {
        Self::Chat(Arc::new(Chat { template, system }))
    }

    /// The prompt of a question.
    ///
    /// # Errors
    /// If the chat template refuses it, or it cannot be tokenized.
    pub fn prompt(&self, question: &str, tokenizer: &Tokenizer) -> Result<Prompt> {
        let text = self.render(question)?;
        Ok(Prompt { ids: self.encode(&text, tokenizer)?, text })
    }

    /// The text of the prompt.
    ///
    /// # Errors
    /// If the chat template refuses it.
    pub fn render(&self, question: &str) -> Result<String> {
        match self {
            Self::R1Zero => Ok(r1_zero(question)),
            Self::None => Ok(question.to_owned()),
            Self::Chat(chat) => {
                let mut messages: Vec<Message> =
                    chat.system.iter().map(|system| Message::new("system", system)).collect();
                messages.push(Message::new("user", question));
                chat.template.render(&messages, true)
            }
        }
    }

    /// Token ids of a text that this template has rendered.
    ///
    /// # Errors
    /// If it cannot be tokenized.
    pub fn encode(&self, text: &str, tokenizer: &Tokenizer) -> Result<Vec<i64>> {
        match self {
            Self::R1Zero | Self::None => tokenizer.encode(text),
            // A chat template writes the begin token itself; the tokenizer would put a second one before it.
            Self::Chat(_) => tokenizer.encode_within(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_stands_where_the_paper_puts_it() {
        let text = r1_zero("What is 1 + 1?");
        assert!(text.starts_with("A conversation between User and Assistant. The user asks"));
        assert!(text.ends_with("<answer> answer here </answer>. User: What is 1 + 1?. Assistant:"));
        assert_eq!(Template::R1Zero.render("Add.").unwrap(), r1_zero("Add"));
        assert_eq!(Template::None.render("Add.").unwrap(), "Add.");
    }
}
