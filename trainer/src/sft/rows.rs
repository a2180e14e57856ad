//! Rows of data for supervised fine-tuning: one JSON object a line, in one of four shapes.

use rollout::{ASSISTANT, Message};
use serde::Deserialize;

/// What a row teaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// `{"prompt" | "question", "completion"}`: to continue a prompt.
    Completion {
        /// What is continued.
        asked: Asked,
        /// What is learned.
        completion: String,
    },
    /// `{"messages"}`: to speak as the assistant of a conversation.
    Messages(Vec<Message>),
    /// `{"text"}`: all of it.
    Text(String),
}

/// What a completion answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The rendered text that the policy continues, taken as it is.
    Prompt(String),
    /// A question, to be put into the template of the stage.
    Question(String),
}

/// The keys that a row may have; what a row has besides (a sample knows its reward and where it came from) is not read.
#[derive(Debug, Deserialize)]
pub(super) struct WrittenRow {
    prompt: Option<String>,
    question: Option<String>,
    completion: Option<String>,
    messages: Option<Vec<Message>>,
    text: Option<String>,
}

const SHAPES: &str = "`prompt` and `completion`, `question` and `completion`, `messages`, or `text`";

impl TryFrom<WrittenRow> for Row {
    type Error = String;

    fn try_from(written: WrittenRow) -> Result<Self, String> {
        let WrittenRow { prompt, question, completion, messages, text } = written;
        match (completion, messages, text) {
            (Some(completion), None, None) => completed(prompt, question, completion),
            (None, Some(messages), None) => conversation(messages),
            (None, None, Some(text)) if text.is_empty() => Err("`text` is empty".to_owned()),
            (None, None, Some(text)) => Ok(Self::Text(text)),
            (None, None, None) if prompt.is_some() || question.is_some() => {
                Err("the row has no `completion`: there is nothing to learn in it".to_owned())
            }
            (None, None, None) => Err(format!("the row has none of {SHAPES}")),
            _ => Err(format!("the row has more than one of {SHAPES}: which is to be learned?")),
        }
    }
}

fn completed(prompt: Option<String>, question: Option<String>, completion: String) -> Result<Row, String> {
    if completion.is_empty() {
        return Err("`completion` is empty".to_owned());
    }
    // A sample has both: its prompt is what the completion was sampled from.
    let asked = match (prompt, question) {
        (Some(prompt), _) => Asked::Prompt(prompt),
        (None, Some(question)) => Asked::Question(question),
        (None, None) => return Err("the row has a `completion`, but neither `prompt` nor `question`".to_owned()),
    };
    Ok(Row::Completion { asked, completion })
}

fn conversation(messages: Vec<Message>) -> Result<Row, String> {
    if messages.iter().any(|message| message.role == ASSISTANT) {
        Ok(Row::Messages(messages))
    } else {
        Err("`messages` holds no message of the assistant: there is nothing to learn in it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Row, String> {
        serde_json::from_str::<WrittenRow>(json).map_err(|error| error.to_string()).and_then(Row::try_from)
    }

    #[test]
    fn a_row_has_one_of_four_shapes() {
        let completion = |asked| Ok(Row::Completion { asked, completion: "2".to_owned() });
        let question = Asked::Question("1 + 1?".to_owned());
        assert_eq!(read(r#"{"question": "1 + 1?", "completion": "2", "gold": "2"}"#), completion(question));
        let sample = r#"{"id": "a", "question": "1 + 1?", "prompt": "User: 1 + 1?", "completion": "2", "reward": 1.0}"#;
        assert_eq!(read(sample), completion(Asked::Prompt("User: 1 + 1?".to_owned())));
        assert_eq!(read(r#"{"text": "a b"}"#), Ok(Row::Text("a b".to_owned())));
        let messages = r#"{"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]}"#;
        let expected = vec![Message::new("user", "1"), Message::new("assistant", "2")];
        assert_eq!(read(messages), Ok(Row::Messages(expected)));
    }

    #[test]
    fn what_cannot_be_learned_is_refused_by_its_reason() {
        for (json, reason) in [
            ("{}", "the row has none of `prompt` and `completion`"),
            (r#"{"completion": "2"}"#, "neither `prompt` nor `question`"),
            (r#"{"question": "1 + 1?", "gold": "2"}"#, "the row has no `completion`"),
            (r#"{"prompt": "p", "completion": ""}"#, "`completion` is empty"),
            (r#"{"text": ""}"#, "`text` is empty"),
            (r#"{"text": "a", "messages": []}"#, "more than one of"),
            (r#"{"messages": [{"role": "user", "content": "1"}]}"#, "no message of the assistant"),
            (r#"{"messages": [{"content": "1"}]}"#, "missing field `role`"),
            (r#"{"prompt": 3, "completion": "2"}"#, "expected a string"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }
}
