//! open-r1's `code_format`: its format, with a fenced code block of a given language in the answer.

use serde::{Deserialize, Serialize};

use super::open_r1::{Missing, after_answer_tag, closes, verdict};
use super::opening::with_opening;
use crate::option::InvalidOption;
use crate::{CompletionView, GoldError, Problem, RewardFn, Verdict};

const NAME: &str = "code_format";

/// Settings of [`CodeFormat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeFormatOptions {
    /// What must stand right behind the three back-ticks; default `python` (open-r1).
    pub language: String,
    /// Field of the data row that names the language instead, in rows that have it. open-r1 takes `language`; none by
    /// default, because that field also names the language of the chain of thought.
    pub language_field: Option<String>,
}

impl Default for CodeFormatOptions {
    fn default() -> Self {
        Self { language: "python".to_owned(), language_field: None }
    }
}

/// open-r1's `code_format` reward, 1 or 0: the completion matches
/// ```` ^<think>\n.*?\n</think>\n<answer>\n.*?```LANGUAGE.*?```.*?\n</answer>$ ```` as [`OpenR1Format`](crate::OpenR1Format)
/// matches its own pattern, prefilled `<think>` included.
///
/// As in the original the language is a prefix (`python` takes a block of `python3`) and its case counts. The original puts
/// it into the pattern unquoted, so that `c++` is an error there; here it is plain text.
///
/// `rule` of the verdict: `well_formed` (1), `no_opening`, `no_middle`, `no_code`, `unclosed_code`, `no_closing` (0), `gold`
/// (not applicable).
#[derive(Debug, Clone)]
pub struct CodeFormat {
    options: CodeFormatOptions,
}

impl CodeFormat {
    /// The format for `options`.
    ///
    /// # Errors
    ///
    /// [`InvalidOption`] if the language is empty or has a line break, or the field's name is empty.
    pub fn new(options: CodeFormatOptions) -> Result<Self, InvalidOption> {
        if let Err(reason) = usable(&options.language) {
            return Err(InvalidOption::new(NAME, "language", reason));
        }
        if options.language_field.as_deref() == Some("") {
            return Err(InvalidOption::new(
                NAME,
                "language_field",
                "is empty: name a field of the data, or leave it out",
            ));
        }
        Ok(Self { options })
    }

    /// The language for `problem`.
    fn language<'a>(&'a self, problem: &'a Problem) -> Result<&'a str, GoldError> {
        let value = self.options.language_field.as_ref().and_then(|field| problem.gold.fields.get(field));
        let Some(value) = value else { return Ok(&self.options.language) };
        let invalid = |reason| GoldError::Invalid { reward: NAME.to_owned(), field: "language_field", reason };
        let language = value.as_str().ok_or_else(|| invalid("the language must be a string".to_owned()))?;
        usable(language).map_err(|reason| invalid(format!("the language {reason}")))?;
        Ok(language)
    }
}

/// Whether a fence can name `language`.
fn usable(language: &str) -> Result<(), &'static str> {
    match language {
        "" => Err("is empty: name the language of the code block"),
        language if language.contains('\n') => Err("has a line break: a fence names its language on one line"),
        _ => Ok(()),
    }
}

impl RewardFn for CodeFormat {
    fn name(&self) -> &str {
        NAME
    }

    fn check_gold(&self, problem: &Problem) -> Result<(), GoldError> {
        self.language(problem).map(|_| ())
    }

    fn judge(&self, problem: &Problem, completion: &CompletionView<'_>) -> Verdict {
        let language = match self.language(problem) {
            Ok(language) => language,
            Err(error) => return Verdict::not_applicable("gold", error.to_string()),
        };
        let text = with_opening(completion);
        let found = after_answer_tag(&text).and_then(|answer| after_code(answer, language)).and_then(closes);
        verdict(found, "a <think> and an <answer> block with a code block in it")
    }
}

/// The part of `answer` behind its first code block of `language`.
fn after_code<'a>(answer: &'a str, language: &str) -> Result<&'a str, Missing> {
    let (_, code) = answer
        .split_once(&format!("```{language}"))
        .ok_or(Missing("no_code", "no code block of the right language in <answer>"))?;
    let (_, rest) = code.split_once("```").ok_or(Missing("unclosed_code", "the code block is never closed"))?;
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(language: Option<serde_json::Value>) -> Problem {
        let mut gold = crate::Gold::default();
        gold.fields.extend(language.map(|language| ("language".to_owned(), language)));
        Problem { id: String::new(), question: String::new(), gold }
    }

    #[test]
    fn the_language_is_the_rows_where_it_has_one() {
        let options = CodeFormatOptions { language_field: Some("language".to_owned()), ..CodeFormatOptions::default() };
        let reward = CodeFormat::new(options).unwrap();
        let completion = |fence: &str| format!("<think>\na\n</think>\n<answer>\n```{fence}\nx\n```\n</answer>");
        let check = |language: Option<&str>, fence: &str, rule: &str| {
            let verdict =
                reward.judge(&problem(language.map(Into::into)), &CompletionView::new(&completion(fence), 1, false));
            assert_eq!(verdict.rule, rule, "{language:?}, {fence}");
        };
        check(None, "python", "well_formed");
        check(None, "python3", "well_formed");
        check(None, "Python", "no_code");
        check(None, "", "no_code");
        check(Some("c++"), "c++", "well_formed");
        check(Some("c++"), "python", "no_code");
        check(Some(""), "python", "gold");
        assert!(reward.check_gold(&problem(Some(3.into()))).is_err());
        assert!(reward.check_gold(&problem(None)).is_ok());
        // Not asked for: the row's language is that of the prose.
        let reward = CodeFormat::new(CodeFormatOptions::default()).unwrap();
        let verdict = reward.judge(&problem(Some("de".into())), &CompletionView::new(&completion("python"), 1, false));
        assert_eq!(verdict.score, Some(1.0));
    }

    #[test]
    fn settings_are_checked() {
        for (language, field) in [("", None), ("a\nb", None), ("python", Some(""))] {
            let options = CodeFormatOptions { language: language.to_owned(), language_field: field.map(str::to_owned) };
            assert!(CodeFormat::new(options).is_err(), "{language:?}, {field:?}");
        }
        assert!(serde_json::from_str::<CodeFormatOptions>(r#"{"lang": "c"}"#).is_err());
    }
}
