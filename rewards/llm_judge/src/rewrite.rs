//! Rewrites reasoning and summary of an answer, as DeepSeek-R1 does for its cold start (arXiv 2501.12948v2, B.3.2).

use rewards::InvalidOption;
use serde::{Deserialize, Serialize};

use crate::client::ChatClient;
use crate::judge::{check_max_chars, default_max_chars};
use crate::{prompt, read};

/// Settings of a [`Rewriter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RewriteOptions {
    /// What the text is to become, in your words. Default: the first person, plain and readable, in the question's language,
    /// every step kept, and a summary with the result.
    pub instructions: String,
    /// Longest text that is rewritten, in characters, from 100 to 1000000; longer ones are left as they are. Default 20000.
    pub max_chars: usize,
}

impl Default for RewriteOptions {
    fn default() -> Self {
        Self { instructions: prompt::REWRITE.to_owned(), max_chars: default_max_chars() }
    }
}

impl RewriteOptions {
    /// Whether these settings make sense.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used, with the remedy.
    pub fn check(&self) -> Result<(), InvalidOption> {
        if self.instructions.trim().is_empty() {
            return Err(crate::options::invalid("instructions", "is empty: say what the text is to become"));
        }
        check_max_chars(self.max_chars)
    }
}

/// An answer in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The chain of thought.
    pub reasoning: String,
    /// What the user is told.
    pub summary: String,
}

/// Rewrites answers by a language model.
#[derive(Debug, Clone)]
pub struct Rewriter {
    client: ChatClient,
    options: RewriteOptions,
}

impl Rewriter {
    /// # Errors
    ///
    /// A setting that makes no sense.
    pub fn new(client: ChatClient, options: RewriteOptions) -> Result<Self, InvalidOption> {
        options.check()?;
        Ok(Self { client, options })
    }

    /// What asks: whether it has failed, and what it counted.
    pub fn client(&self) -> &ChatClient {
        &self.client
    }

    /// `drafts`, each with its question, rewritten, in their order; or why not, as a name to count by: those of a verdict's
    /// `rule`, `too_long_to_show`, or `empty` where a part of the new one is. Whether all could be asked says [`ChatClient::failure`].
    pub fn rewrite_all(&self, drafts: &[(&str, &Draft)]) -> Vec<Result<Draft, &'static str>> {
        let max_chars = self.options.max_chars;
        let fits = |(question, draft): &(&str, &Draft)| {
            [question, &*draft.reasoning, &*draft.summary].iter().all(|text| text.chars().count() <= max_chars)
        };
        let request = |(question, draft): &(&str, &Draft)| {
            prompt::rewrite(question, &draft.reasoning, &draft.summary, &self.options.instructions, max_chars)
        };
        let requests: Vec<_> = drafts.iter().filter(|draft| fits(draft)).map(request).collect();
        let mut replies = self.client.ask_all(&requests).into_iter();
        let one = |draft: &(&str, &Draft)| {
            let reply = if fits(draft) {
                replies.next().expect("a reply to each request")
            } else {
                return Err("too_long_to_show");
            };
            let rewritten = match reply {
                Ok(reply) => read::draft(&reply).map_err(read::NoVerdict::name),
                Err(why) => Err(why.name()),
            };
            let rewritten = rewritten.and_then(|draft| {
                let is_whole = !draft.reasoning.is_empty() && !draft.summary.is_empty();
                if is_whole { Ok(draft) } else { Err("empty") }
            });
            rewritten.inspect_err(|name| self.client.count_no_verdict(name))
        };
        drafts.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        assert_eq!(RewriteOptions::default().check(), Ok(()));
        let check = |options: RewriteOptions, option: &str| assert_eq!(options.check().unwrap_err().option, option);
        check(RewriteOptions { instructions: " ".to_owned(), ..RewriteOptions::default() }, "instructions");
        check(RewriteOptions { max_chars: 0, ..RewriteOptions::default() }, "max_chars");
    }
}
