//! What a reward model reads: the tokens of a prompt and of a response, the same in training and in judging.

use rewards::summary;
use rollout::{Template, Tokenizer};

use crate::config::Over;

/// Makes token ids for a reward model.
#[derive(Debug)]
pub struct Reader {
    /// The reward model's own, which may differ from the policy's.
    pub tokenizer: Tokenizer,
    /// What stands around a question.
    pub template: Template,
    /// What of a response is read.
    pub over: Over,
    /// What a response ends with, if the model has such a token.
    pub end: Option<i64>,
}

impl Reader {
    /// The text of a question with its template.
    ///
    /// # Errors
    /// If the chat template refuses it.
    pub fn prompt(&self, question: &str) -> rollout::Result<String> {
        self.template.render(question)
    }

    /// Token ids of a prompt and of what is read of a response to it, with the end token behind; none if the response has
    /// no summary and that is to be read.
    ///
    /// - `think_prefilled`: whether the prompt ends inside of `<think>`
    ///
    /// # Errors
    /// If the tokenizer cannot represent a text.
    pub fn sequence(&self, prompt: &str, response: &str, think_prefilled: bool) -> rollout::Result<Option<Vec<i64>>> {
        let read = match self.over {
            Over::Response => Some(response),
            Over::Summary => summary(response, think_prefilled),
        };
        let Some(read) = read else { return Ok(None) };
        let mut ids = self.template.encode(prompt, &self.tokenizer)?;
        ids.extend(self.tokenizer.encode_within(read)?);
        ids.extend(self.end);
        Ok(Some(ids))
    }
}
