//! What a reward model reads: the tokens of a prompt and of a response, the same in training and in judging.

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

/// The inside of the last closed `<answer>`, or else what follows the last `</think>`, or else, where there are no thoughts
/// either, everything; without white space around it. None where that is empty.
fn summary(response: &str, think_prefilled: bool) -> Option<&str> {
    let in_answer = response.rfind("</answer>").and_then(|end| {
        let start = response[..end].rfind("<answer>")? + "<answer>".len();
        Some(&response[start..end])
    });
    let behind_thoughts = || response.rsplit_once("</think>").map(|(_, behind)| behind);
    let has_thoughts = think_prefilled || response.contains("<think>");
    let all = || (!has_thoughts).then_some(response);
    in_answer.or_else(behind_thoughts).or_else(all).map(str::trim).filter(|summary| !summary.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_what_a_user_reads() {
        let check = |response: &str, prefilled: bool, expected: Option<&str>| {
            assert_eq!(summary(response, prefilled), expected, "{response:?}, {prefilled}");
        };
        check("<think>a</think> <answer> b\nc </answer>", false, Some("b\nc"));
        check("<think>a</think> first <answer>b</answer> <answer>c</answer> end", false, Some("c"));
        check("a</think>\nb ", true, Some("b"));
        check("<think>a</think>b <answer>c", false, Some("b <answer>c"));
        check("plain text", false, Some("plain text"));
        check("plain text", true, None);
        check("<think>never closed", false, None);
        check("<think>a</think> \n", false, None);
        check("<think>a</think><answer> </answer>", false, None);
        check("", false, None);
    }
}
