//! Where the judge is, how it is asked, what it may cost, and what happens when it is not there.

use rewards::InvalidOption;
use serde::{Deserialize, Serialize};

/// Name of the reward, as run files spell it.
pub(crate) const NAME: &str = "llm_judge";

/// What happens when the server does not answer, after all [`ClientOptions::retries`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// Wait and ask again until it is back, for [`ClientOptions::pause_limit_seconds`] at most; then stop. The default.
    #[default]
    Pause,
    /// No verdict: what was asked for leaves the baseline. Until the server is back each question is asked once.
    Skip,
    /// The run stops.
    Stop,
}

/// How the server is asked for JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// `response_format` with a strict schema. Servers that know no schemas mostly ignore it. The default.
    #[default]
    JsonSchema,
    /// `response_format` of type `json_object`.
    JsonObject,
    /// No `response_format`, for servers that refuse it; the prompt asks for JSON in any case.
    Text,
}

/// The settings of a [`ChatClient`](crate::ChatClient).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientOptions {
    /// Where the server is, up to and with the version: `"http://127.0.0.1:8000/v1"`; http or https. `/chat/completions` is
    /// put behind it. Required.
    pub base_url: String,
    /// Name of the model, as the server knows it. Required.
    pub model: String,
    /// Name of the environment variable that holds the key. Default "": no key, for servers of your own.
    #[serde(default)]
    pub key_variable: String,
    /// Sampling temperature, from 0 to 2. Default 0.
    #[serde(default)]
    pub temperature: f64,
    /// Seed of the server's sampling; the number of the vote is added. Default none: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// Longest reply, in the judge's tokens, from 16 to 1000000. Default 1024.
    #[serde(default = "default_max_tokens")]
    pub max_tokens: u32,
    /// How JSON is asked for. Default json_schema.
    #[serde(default)]
    pub response_format: ResponseFormat,
    /// Seconds that one request may take, from 0.05 to 86400. Default 120.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: f64,
    /// How often a request that failed for the server's sake is sent again, from 0 to 1000. Default 5.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// Seconds before the first retry, from 0.001 to 3600; they double with each, less up to a half by jitter. Default 1.
    #[serde(default = "default_backoff_seconds")]
    pub backoff_seconds: f64,
    /// Longest wait before a retry, in seconds, from 0.001 to 86400. A server that asks for more (`Retry-After`) is out.
    /// Default 60.
    #[serde(default = "default_backoff_limit_seconds")]
    pub backoff_limit_seconds: f64,
    /// Requests at once, from 1 to 256. Default 8.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// Longest body of a response, in bytes, from 1024 to 67108864. Default 1048576 (1 MiB).
    #[serde(default = "default_max_response_bytes")]
    pub max_response_bytes: u64,
    /// What a million tokens of prompt cost, in the currency of `max_cost`, at least 0. Default 0.
    #[serde(default)]
    pub price_in: f64,
    /// What a million tokens of reply cost, in the currency of `max_cost`, at least 0. Default 0.
    #[serde(default)]
    pub price_out: f64,
    /// What the requests of one process may cost, over all that ask this model under this cap; at the cap the run stops. Default
    /// 0: no cap.
    #[serde(default)]
    pub max_cost: f64,
    /// Requests that one process may send, retries included, counted likewise; at the cap the run stops. Default 0: no cap.
    #[serde(default)]
    pub max_requests: u64,
    /// What happens when the server does not answer. Default pause.
    #[serde(default)]
    pub on_outage: OnOutage,
    /// Longest pause, in seconds, from 0 to 31536000 (a year). Default 3600.
    #[serde(default = "default_pause_limit_seconds")]
    pub pause_limit_seconds: f64,
    /// Folder of the replies that are kept. Several runs may share it, also at once. Default "": none are kept.
    #[serde(default)]
    pub cache: String,
}

fn default_max_tokens() -> u32 {
    1024
}

fn default_timeout_seconds() -> f64 {
    120.0
}

fn default_retries() -> u32 {
    5
}

fn default_backoff_seconds() -> f64 {
    1.0
}

fn default_backoff_limit_seconds() -> f64 {
    60.0
}

fn default_concurrency() -> usize {
    8
}

fn default_max_response_bytes() -> u64 {
    1 << 20
}

fn default_pause_limit_seconds() -> f64 {
    3600.0
}

impl ClientOptions {
    /// The defaults, for the model `model` of the server at `base_url`.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            key_variable: String::new(),
            temperature: 0.0,
            seed: None,
            max_tokens: default_max_tokens(),
            response_format: ResponseFormat::JsonSchema,
            timeout_seconds: default_timeout_seconds(),
            retries: default_retries(),
            backoff_seconds: default_backoff_seconds(),
            backoff_limit_seconds: default_backoff_limit_seconds(),
            concurrency: default_concurrency(),
            max_response_bytes: default_max_response_bytes(),
            price_in: 0.0,
            price_out: 0.0,
            max_cost: 0.0,
            max_requests: 0,
            on_outage: OnOutage::Pause,
            pause_limit_seconds: default_pause_limit_seconds(),
            cache: String::new(),
        }
    }

    /// Whether these settings make sense. Asks nothing, reads no file and no variable.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be used, with the remedy.
    pub fn check(&self) -> Result<(), InvalidOption> {
        self.check_address()?;
        for (option, value, least, most) in [
            ("server.temperature", self.temperature, 0.0, 2.0),
            ("server.max_tokens", f64::from(self.max_tokens), 16.0, 1e6),
            ("server.timeout_seconds", self.timeout_seconds, 0.05, 86_400.0),
            ("server.retries", f64::from(self.retries), 0.0, 1000.0),
            ("server.backoff_seconds", self.backoff_seconds, 0.001, 3600.0),
            ("server.backoff_limit_seconds", self.backoff_limit_seconds, 0.001, 86_400.0),
            ("server.concurrency", self.concurrency as f64, 1.0, 256.0),
            ("server.max_response_bytes", self.max_response_bytes as f64, 1024.0, f64::from(64 << 20)),
            ("server.price_in", self.price_in, 0.0, 1e9),
            ("server.price_out", self.price_out, 0.0, 1e9),
            ("server.max_cost", self.max_cost, 0.0, 1e12),
            ("server.pause_limit_seconds", self.pause_limit_seconds, 0.0, 31_536_000.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(invalid(option, format!("is {value}: it must be from {least} to {most}")));
            }
        }
        if self.max_cost > 0.0 && self.price_in == 0.0 && self.price_out == 0.0 {
            let reason = "caps nothing while `price_in` and `price_out` are 0: give the prices of a million tokens";
            return Err(invalid("server.max_cost", reason));
        }
        Ok(())
    }

    fn check_address(&self) -> Result<(), InvalidOption> {
        let url = &self.base_url;
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let Some(host) = host.filter(|host| !host.is_empty()) else {
            let reason = format!("is \"{url}\": it must be an address as \"http://127.0.0.1:8000/v1\"");
            return Err(invalid("server.base_url", reason));
        };
        if host.contains(['?', '#', '@']) || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let reason =
                "must be scheme, host, port and path alone; a key belongs into the variable that `key_variable` names";
            return Err(invalid("server.base_url", reason));
        }
        if self.model.trim().is_empty() {
            return Err(invalid("server.model", "is empty: name the model, as the server knows it"));
        }
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name(&self.key_variable) {
            // What stands there may be the key itself, and is not repeated.
            let reason = "is no name of an environment variable: letters, digits and _, such as OPENAI_API_KEY; the key \
                          itself belongs into that variable, not into the run file";
            return Err(invalid("server.key_variable", reason));
        }
        Ok(())
    }
}

pub(crate) fn invalid(option: &'static str, reason: impl Into<String>) -> InvalidOption {
    InvalidOption { reward: NAME, option, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let check = |change: fn(&mut ClientOptions), option: &str| {
            let mut options = ClientOptions::new("http://localhost:1/v1", "m");
            assert_eq!(options.check(), Ok(()));
            change(&mut options);
            assert_eq!(options.check().unwrap_err().option, option);
        };
        check(|o| o.base_url = "localhost:1".to_owned(), "server.base_url");
        check(|o| o.base_url = "https://".to_owned(), "server.base_url");
        check(|o| o.base_url = "https://key@host/v1".to_owned(), "server.base_url");
        check(|o| o.base_url = "http://host/v1?key=1".to_owned(), "server.base_url");
        check(|o| o.base_url = "http://ho st/".to_owned(), "server.base_url");
        check(|o| o.model = " ".to_owned(), "server.model");
        check(|o| o.key_variable = "sk-123".to_owned(), "server.key_variable");
        check(|o| o.temperature = f64::NAN, "server.temperature");
        check(|o| o.temperature = -0.1, "server.temperature");
        check(|o| o.max_tokens = 1, "server.max_tokens");
        check(|o| o.timeout_seconds = 0.0, "server.timeout_seconds");
        check(|o| o.retries = 1001, "server.retries");
        check(|o| o.backoff_seconds = 0.0, "server.backoff_seconds");
        check(|o| o.backoff_limit_seconds = f64::INFINITY, "server.backoff_limit_seconds");
        check(|o| o.concurrency = 0, "server.concurrency");
        check(|o| o.max_response_bytes = 0, "server.max_response_bytes");
        check(|o| o.price_in = -1.0, "server.price_in");
        check(|o| o.price_out = f64::NAN, "server.price_out");
        check(|o| o.max_cost = 1.0, "server.max_cost");
        check(|o| o.pause_limit_seconds = -1.0, "server.pause_limit_seconds");
    }

    #[test]
    fn a_key_in_the_wrong_place_is_not_repeated() {
        let mut options = ClientOptions::new("http://localhost:1/v1", "m");
        options.key_variable = "sk-SECRET".to_owned();
        assert!(!options.check().unwrap_err().to_string().contains("SECRET"));
    }
}
