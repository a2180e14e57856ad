//! One request to the server, and what came of it.

use std::fmt;
use std::io;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::options::ClientOptions;
use crate::retry_after;

/// How much of a server's error is shown, in characters.
const ERROR_CHARS: usize = 300;

/// The key, which nothing prints.
#[derive(Clone)]
pub(crate) struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl Key {
    pub fn new(key: String) -> Self {
        Self(key)
    }

    /// `text` without the key: servers quote in errors what they were sent.
    fn hidden(&self, text: &str) -> String {
        text.replace(&self.0, "[key]")
    }
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, or the server says nothing of it.
    Stop,
    /// At the limit of tokens.
    Length,
    /// For another reason, such as a filter.
    Other,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The text; empty if there is none.
    pub content: String,
    /// What the server says instead of an answer, if the model refuses.
    pub refusal: Option<String>,
    /// Why it ended.
    pub end: End,
    /// Tokens of the prompt and of the reply, if the server counts them.
    pub tokens: Option<(u64, u64)>,
}

/// What came of one request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A reply.
    Reply(Reply),
    /// None for now, for the server's sake.
    Later { reason: String, retry_after: Option<Duration>, may_be_billed: bool },
    /// A response that is no reply.
    Garbled { reason: String },
    /// The server cannot answer this very text.
    Unfit { reason: String },
    /// The server would refuse any text: a wrong key, address or model.
    Refused { reason: String },
}

/// The server.
#[derive(Debug)]
pub(crate) struct Server {
    agent: ureq::Agent,
    url: String,
    key: Option<Key>,
    max_bytes: u64,
}

impl Server {
    pub fn new(options: &ClientOptions, key: Option<Key>) -> Self {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs_f64(options.timeout_seconds)))
            // A redirect is a wrong address: followed, it would carry the texts somewhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_idle_connections_per_host(options.concurrency)
            .max_idle_connections(options.concurrency);
        if is_loopback(&options.base_url) {
            config = config.proxy(None);
        }
        let url = format!("{}/chat/completions", options.base_url.trim_end_matches('/'));
        Self { agent: config.build().into(), url, key, max_bytes: options.max_response_bytes }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends `body` once.
    pub fn post(&self, body: &[u8]) -> Outcome {
        let outcome = self.answer(body).unwrap_or_else(|error| of_error(&error));
        let hidden = |reason: String| match &self.key {
            Some(key) => key.hidden(&reason),
            None => reason,
        };
        match outcome {
            Outcome::Reply(reply) => Outcome::Reply(reply),
            Outcome::Later { reason, retry_after, may_be_billed } => {
                Outcome::Later { reason: hidden(reason), retry_after, may_be_billed }
            }
            Outcome::Garbled { reason } => Outcome::Garbled { reason: hidden(reason) },
            Outcome::Unfit { reason } => Outcome::Unfit { reason: hidden(reason) },
            Outcome::Refused { reason } => Outcome::Refused { reason: hidden(reason) },
        }
    }

    fn answer(&self, body: &[u8]) -> Result<Outcome, ureq::Error> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(Key(key)) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.send(body)?;
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = header.and_then(|value| retry_after::read(value, SystemTime::now()));
        let bytes = match response.body_mut().with_config().limit(self.max_bytes).read_to_vec() {
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                let reason = format!("its response is longer than `max_response_bytes`, {}", self.max_bytes);
                return Ok(Outcome::Garbled { reason });
            }
            read => read?,
        };
        if (200..300).contains(&status) {
            return Ok(read_reply(&bytes).map_or_else(|reason| Outcome::Garbled { reason }, Outcome::Reply));
        }
        let reason = format!("status {status}: {}", excerpt(&String::from_utf8_lossy(&bytes), ERROR_CHARS));
        Ok(match status {
            408 | 425 | 429 | 500.. => Outcome::Later { reason, retry_after, may_be_billed: false },
            400 | 413 | 422 => Outcome::Unfit { reason },
            _ => Outcome::Refused { reason },
        })
    }
}

/// Whether the server is on this machine: then no proxy of the environment lies between.
fn is_loopback(base_url: &str) -> bool {
    let host = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let host = host.split('/').next().unwrap_or_default();
    ["localhost", "127.", "[::1]"].iter().any(|name| host.starts_with(name))
}

fn of_error(error: &ureq::Error) -> Outcome {
    let later = |may_be_billed| Outcome::Later { reason: error.to_string(), retry_after: None, may_be_billed };
    match error {
        ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed => later(false),
        ureq::Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => later(false),
        ureq::Error::Timeout(_) | ureq::Error::Io(_) | ureq::Error::Protocol(_) => later(true),
        // What is left lies in address, certificate or proxy, and stays as it is.
        _ => Outcome::Refused { reason: error.to_string() },
    }
}

#[derive(Deserialize)]
struct Body {
    choices: [Choice; 1],
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    message: Answer,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

/// The reply in the body of a response, or what is wrong with it.
fn read_reply(bytes: &[u8]) -> Result<Reply, String> {
    let body: Body = serde_json::from_slice(bytes).map_err(|error| {
        let text = excerpt(&String::from_utf8_lossy(bytes), ERROR_CHARS);
        format!("its response is no chat completion ({error}): {text}")
    })?;
    let [Choice { message, finish_reason }] = body.choices;
    let end = match finish_reason.as_deref() {
        None | Some("stop") => End::Stop,
        Some("length") => End::Length,
        Some(_) => End::Other,
    };
    Ok(Reply {
        content: message.content.unwrap_or_default(),
        refusal: message.refusal.filter(|refusal| !refusal.is_empty()),
        end,
        tokens: body.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens)),
    })
}

/// The first `max_chars` characters of `text` on one line, with `…` behind them if something was cut off.
pub(crate) fn excerpt(text: &str, max_chars: usize) -> String {
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(max_chars) {
        None => line(text),
        Some((cut, _)) => format!("{}…", line(&text[..cut])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        let check = |body: &str, expected: Result<(&str, Option<&str>, End), &str>| {
            let read = read_reply(body.as_bytes());
            match (&read, expected) {
                (Ok(reply), Ok((content, refusal, end))) => {
                    assert_eq!(
                        (&*reply.content, reply.refusal.as_deref(), reply.end),
                        (content, refusal, end),
                        "{body}"
                    );
                }
                (Err(reason), Err(part)) => assert!(reason.contains(part), "{body}: {reason}"),
                _ => panic!("{body}: {read:?}"),
            }
        };
        let one = |message: &str, rest: &str| format!(r#"{{"choices": [{{"message": {message}{rest}}}]}}"#);
        check(&one(r#"{"content": "a"}"#, ""), Ok(("a", None, End::Stop)));
        check(&one(r#"{"content": "a", "role": "x"}"#, r#", "finish_reason": "stop""#), Ok(("a", None, End::Stop)));
        check(&one(r#"{"content": "a"}"#, r#", "finish_reason": "length""#), Ok(("a", None, End::Length)));
        check(&one(r#"{"content": "a"}"#, r#", "finish_reason": "content_filter""#), Ok(("a", None, End::Other)));
        check(&one(r#"{"content": null, "refusal": "no"}"#, ""), Ok(("", Some("no"), End::Stop)));
        check(&one(r#"{"content": "a", "refusal": ""}"#, ""), Ok(("a", None, End::Stop)));
        check(&one("{}", ""), Ok(("", None, End::Stop)));
        check("<html>be right back</html>", Err("<html>be right back"));
        check("{}", Err("choices"));
        check(r#"{"choices": []}"#, Err("length"));
        check(
            r#"{"choices": [{"message": {"content": "a"}}, {"message": {"content": "b"}}]}"#,
            Err("no chat completion"),
        );
        check(r#"{"choices": [{"message": {"content": 3}}]}"#, Err("3"));
        let tokens = |usage: &str| {
            let body = format!(r#"{{"choices": [{{"message": {{}}}}], "usage": {usage}}}"#);
            read_reply(body.as_bytes()).unwrap().tokens
        };
        assert_eq!(tokens(r#"{"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}"#), Some((3, 4)));
        assert_eq!(tokens("null"), None);
    }

    #[test]
    fn the_key_is_not_printed() {
        let key = Key::new("sk-1".to_owned());
        assert_eq!(format!("{key:?}"), "[key]");
        assert_eq!(key.hidden("bad key sk-1."), "bad key [key].");
    }

    #[test]
    fn machines_of_ones_own_are_known() {
        for (url, expected) in [
            ("http://127.0.0.1:8/v1", true),
            ("http://localhost/v1", true),
            ("http://[::1]:1", true),
            ("http://a/127.", false),
        ] {
            assert_eq!(is_loopback(url), expected, "{url}");
        }
    }
}
