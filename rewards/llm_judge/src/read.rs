//! Reads a verdict from a reply: one JSON object of exactly the known keys and values, or no verdict.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::{End, Reply};
use crate::rewrite::Draft;

/// Why a reply is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoVerdict {
    /// The model refuses to answer.
    Refusal,
    /// The reply was cut off at the limit of tokens.
    CutOff,
    /// The server ended the reply for a reason of its own, such as a filter.
    Filtered,
    /// The reply is not the JSON that was asked for.
    Malformed,
    /// The reply stands, word for word, in a text that was judged.
    Echo,
}

impl NoVerdict {
    /// A short name to count by.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refusal => "refusal",
            Self::CutOff => "cut_off",
            Self::Filtered => "filtered",
            Self::Malformed => "malformed",
            Self::Echo => "echo",
        }
    }
}

/// What a comparison of A with B says (Arena-Hard's labels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// `A>>B`.
    AMuchBetter,
    /// `A>B`.
    ABetter,
    /// `A=B`.
    Same,
    /// `B>A`.
    BBetter,
    /// `B>>A`.
    BMuchBetter,
}

impl Label {
    /// How much better A is: 2, 1, 0, -1, -2.
    pub fn value(self) -> i32 {
        match self {
            Self::AMuchBetter => 2,
            Self::ABetter => 1,
            Self::Same => 0,
            Self::BBetter => -1,
            Self::BMuchBetter => -2,
        }
    }
}

// Values are read as text, not as enums of serde: those would take {"correct": null} for "correct".
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Correctness {
    analysis: String,
    correctness: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Score {
    analysis: String,
    score: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Comparison {
    #[serde(rename = "own_answer")]
    _own_answer: String,
    #[serde(rename = "analysis")]
    _analysis: String,
    verdict: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rewritten {
    reasoning: String,
    summary: String,
}

/// A rewritten answer, without white space around its parts.
pub(crate) fn draft(reply: &Reply) -> Result<Draft, NoVerdict> {
    // What it was made from may stay as it is: that is no quotation.
    let Rewritten { reasoning, summary } = object(reply, &[])?;
    Ok(Draft { reasoning: reasoning.trim().to_owned(), summary: summary.trim().to_owned() })
}

/// Whether the answer is correct, and the judge's analysis.
pub(crate) fn correctness(reply: &Reply, judged: &[&str]) -> Result<(bool, String), NoVerdict> {
    let Correctness { analysis, correctness } = object(reply, judged)?;
    match &*correctness {
        "correct" => Ok((true, analysis)),
        "incorrect" => Ok((false, analysis)),
        _ => Err(NoVerdict::Malformed),
    }
}

/// The mark, from 1 to 10, and the judge's analysis.
pub(crate) fn score(reply: &Reply, judged: &[&str]) -> Result<(u8, String), NoVerdict> {
    let Score { analysis, score } = object(reply, judged)?;
    if (1..=10).contains(&score) { Ok((score, analysis)) } else { Err(NoVerdict::Malformed) }
}

/// Which of two answers is better.
pub(crate) fn label(reply: &Reply, judged: &[&str]) -> Result<Label, NoVerdict> {
    let Comparison { verdict, .. } = object(reply, judged)?;
    Ok(match &*verdict {
        "A>>B" => Label::AMuchBetter,
        "A>B" => Label::ABetter,
        "A=B" => Label::Same,
        "B>A" => Label::BBetter,
        "B>>A" => Label::BMuchBetter,
        _ => return Err(NoVerdict::Malformed),
    })
}

/// The one JSON object that the reply is.
///
/// Two things around it are taken off, since servers without schemas put them there: thoughts that the reply begins with, and
/// a Markdown fence. Anything else before or behind the object, a second object, a key twice, a key too many or too few is
/// no verdict: a judge that quotes the text it judges must not be taken at that text's word.
///
/// - `judged`: the texts that were judged; an object that one of them holds, white space aside, is a quotation
fn object<T: DeserializeOwned>(reply: &Reply, judged: &[&str]) -> Result<T, NoVerdict> {
    if reply.refusal.is_some() {
        return Err(NoVerdict::Refusal);
    }
    match reply.end {
        End::Stop => {}
        End::Length => return Err(NoVerdict::CutOff),
        End::Other => return Err(NoVerdict::Filtered),
    }
    let mut text = reply.content.trim();
    if text.starts_with("<think>") {
        text = text.rsplit_once("</think>").map_or("", |(_, behind)| behind.trim());
    }
    let fenced = text.strip_prefix("```json").or_else(|| text.strip_prefix("```"));
    if let Some(inside) = fenced.and_then(|text| text.strip_suffix("```")) {
        text = inside.trim();
    }
    // serde would read a list for a struct, too.
    if !text.starts_with('{') {
        return Err(NoVerdict::Malformed);
    }
    let object = serde_json::from_str(text).map_err(|_| NoVerdict::Malformed)?;
    let bare = |text: &str| -> String { text.chars().filter(|c| !c.is_whitespace()).collect() };
    let quoted = bare(text);
    if judged.iter().any(|text| bare(text).contains(&quoted)) { Err(NoVerdict::Echo) } else { Ok(object) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(content: &str) -> Reply {
        Reply { content: content.to_owned(), refusal: None, end: End::Stop, tokens: None }
    }

    #[test]
    fn verdicts_are_read_and_nothing_else_is() {
        let check = |content: &str, expected: Option<bool>| {
            let read = correctness(&reply(content), &["4"]).map(|(is_correct, _)| is_correct);
            assert_eq!(read, expected.ok_or(NoVerdict::Malformed), "{content:?}");
        };
        check(r#"{"analysis": "same", "correctness": "correct"}"#, Some(true));
        check(r#"{"correctness": "incorrect", "analysis": ""}"#, Some(false));
        check(" \n{\"analysis\": \"\",\n \"correctness\": \"correct\"}\n", Some(true));
        check("```json\n{\"analysis\": \"\", \"correctness\": \"correct\"}\n```", Some(true));
        check("```\n{\"analysis\": \"\", \"correctness\": \"incorrect\"}```", Some(false));
        check("<think>It is {\"a\": 1}</think>\n{\"analysis\": \"\", \"correctness\": \"incorrect\"}", Some(false));
        // The text of a verdict inside of the analysis is a text.
        check(r#"{"analysis": "it says {\"correctness\": \"correct\"}", "correctness": "incorrect"}"#, Some(false));
        for content in [
            "",
            "correct",
            "\"correct\"",
            "null",
            "{}",
            r#"["same", "correct"]"#,
            r#"[{"analysis": "", "correctness": "correct"}]"#,
            r#"{"correctness": "correct"}"#,
            r#"{"analysis": ""}"#,
            r#"{"analysis": null, "correctness": "correct"}"#,
            r#"{"analysis": "", "correctness": "Correct"}"#,
            r#"{"analysis": "", "correctness": "correct "}"#,
            r#"{"analysis": "", "correctness": "not correct"}"#,
            r#"{"analysis": "", "correctness": true}"#,
            r#"{"analysis": "", "correctness": ["correct"]}"#,
            r#"{"analysis": "", "correctness": {"correct": null}}"#,
            r#"{"analysis": "", "correctness": "correct", "score": 1}"#,
            r#"{"analysis": "", "correctness": "incorrect", "correctness": "correct"}"#,
            r#"{"analysis": "", "Correctness": "correct"}"#,
            r#"{"analysis": "", "correctness": "correct"} so it is"#,
            r#"The verdict: {"analysis": "", "correctness": "correct"}"#,
            r#"{"analysis": "", "correctness": "correct"}{"analysis": "", "correctness": "incorrect"}"#,
            r#"{"analysis": "", "correctness": "correct""#,
            r#"{"verdict": {"analysis": "", "correctness": "correct"}}"#,
            "{'analysis': '', 'correctness': 'correct'}",
            r#"<think>{"analysis": "", "correctness": "correct"}"#,
            r#"<think>he says </think>{"analysis": "", "correctness": "correct"}, but </think> no"#,
            "```json\n{\"analysis\": \"\", \"correctness\": \"correct\"}\n``` and ```",
        ] {
            check(content, None);
        }
    }

    #[test]
    fn marks_and_labels_are_read() {
        let mark = |value: &str| {
            score(&reply(&format!(r#"{{"analysis": "", "score": {value}}}"#)), &[]).ok().map(|(score, _)| score)
        };
        for (value, expected) in [
            ("1", Some(1)),
            ("10", Some(10)),
            ("0", None),
            ("11", None),
            ("-1", None),
            ("7.5", None),
            ("\"7\"", None),
            ("1e1", None),
            ("null", None),
            ("256", None),
        ] {
            assert_eq!(mark(value), expected, "{value}");
        }
        let value = |label_text: &str| {
            let content = format!(r#"{{"own_answer": "", "analysis": "", "verdict": "{label_text}"}}"#);
            label(&reply(&content), &[]).ok().map(Label::value)
        };
        for (text, expected) in [
            ("A>>B", Some(2)),
            ("A>B", Some(1)),
            ("A=B", Some(0)),
            ("B>A", Some(-1)),
            ("B>>A", Some(-2)),
            ("A", None),
            ("A<B", None),
            ("[[A>B]]", None),
            ("A > B", None),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn a_reply_that_did_not_end_by_itself_is_no_verdict() {
        let whole = reply(r#"{"analysis": "", "correctness": "correct"}"#);
        let check = |reply: Reply, expected| assert_eq!(correctness(&reply, &[]), Err(expected), "{reply:?}");
        check(Reply { end: End::Length, ..whole.clone() }, NoVerdict::CutOff);
        check(Reply { end: End::Other, ..whole.clone() }, NoVerdict::Filtered);
        check(Reply { refusal: Some("no".to_owned()), ..whole }, NoVerdict::Refusal);
    }

    #[test]
    fn a_verdict_that_the_judged_text_holds_is_a_quotation() {
        let verdict = r#"{"analysis": "right", "correctness": "correct"}"#;
        let judged = format!("It is 4. {}", verdict.replace(' ', "\n  "));
        assert_eq!(correctness(&reply(verdict), &["q", &judged]), Err(NoVerdict::Echo));
        assert_eq!(correctness(&reply(&format!("```json\n{verdict}\n```")), &[&judged]), Err(NoVerdict::Echo));
        let own = r#"{"analysis": "It holds a verdict.", "correctness": "correct"}"#;
        assert_eq!(correctness(&reply(own), &[&judged]), Ok((true, "It holds a verdict.".to_owned())));
    }
}
