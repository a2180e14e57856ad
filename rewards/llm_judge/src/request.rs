//! What a model is asked, and under what address the reply is kept.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::options::{ClientOptions, ResponseFormat};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions.
    System,
    /// What is asked.
    User,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// The JSON that a reply has to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Format {
    /// A short name for the server.
    pub name: &'static str,
    /// The JSON schema.
    pub schema: Value,
}

impl Format {
    /// An object of exactly `properties`, which are `(name, schema)`.
    pub fn object(name: &'static str, properties: &[(&str, Value)]) -> Self {
        let names: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
        let properties: serde_json::Map<String, Value> =
            properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
        let schema =
            json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false});
        Self { name, schema }
    }
}

/// One question to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The JSON that the reply has to be; none for text.
    pub format: Option<Format>,
    /// Which of several askings of the same question this is, from 0: each is answered, and kept, by itself.
    pub vote: u32,
}

impl Request {
    /// Instructions and a question, asked once.
    pub fn new(system: impl Into<String>, user: impl Into<String>, format: Option<Format>) -> Self {
        let message = |role, content| Message { role, content };
        Self { messages: vec![message(Role::System, system.into()), message(Role::User, user.into())], format, vote: 0 }
    }

    /// The body of the request.
    pub(crate) fn body(&self, options: &ClientOptions) -> Value {
        let mut body = json!({
            "model": options.model,
            "messages": self.messages,
            "temperature": options.temperature,
            "max_tokens": options.max_tokens,
            "stream": false,
        });
        if let Some(seed) = options.seed {
            body["seed"] = (u64::from(seed) + u64::from(self.vote)).into();
        }
        if let Some(Format { name, schema }) = &self.format {
            match options.response_format {
                ResponseFormat::JsonSchema => {
                    let schema = json!({"name": name, "strict": true, "schema": schema});
                    body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
                }
                ResponseFormat::JsonObject => body["response_format"] = json!({"type": "json_object"}),
                ResponseFormat::Text => {}
            }
        }
        body
    }

    /// Where the reply is kept: SHA-256 over everything that it depends on but the server's address, as 64 digits. Servers
    /// move, and replies are to stay.
    pub(crate) fn address(&self, options: &ClientOptions) -> String {
        let content = json!([1, self.body(options), self.vote]);
        hex(&Sha256::digest(content.to_string()))
    }
}

/// `bytes` in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_depends_on_all_that_the_reply_depends_on() {
        let options = ClientOptions::new("http://a/v1", "m");
        let format = Format::object("f", &[("x", json!({"type": "string"}))]);
        let request = Request::new("s", "u", Some(format));
        let address = request.address(&options);
        assert_eq!(address.len(), 64);
        assert_eq!(address, request.address(&ClientOptions { base_url: "http://b/v1".to_owned(), ..options.clone() }));
        for other in [
            ClientOptions { model: "n".to_owned(), ..options.clone() },
            ClientOptions { temperature: 0.5, ..options.clone() },
            ClientOptions { seed: Some(0), ..options.clone() },
            ClientOptions { max_tokens: 17, ..options.clone() },
            ClientOptions { response_format: ResponseFormat::JsonObject, ..options.clone() },
        ] {
            assert_ne!(address, request.address(&other), "{other:?}");
        }
        for other in [
            Request { vote: 1, ..request.clone() },
            Request { format: None, ..request.clone() },
            Request::new("s", "v", request.format.clone()),
            Request::new("su", "", request.format.clone()),
        ] {
            assert_ne!(address, other.address(&options), "{other:?}");
        }
    }

    #[test]
    fn the_body_is_the_protocols() {
        let mut options = ClientOptions::new("http://a/v1", "m");
        options.seed = Some(7);
        let format = Format::object("f", &[("x", json!({"type": "string"}))]);
        let request = Request { vote: 2, ..Request::new("s", "u", Some(format)) };
        assert_eq!(
            request.body(&options).to_string(),
            concat!(
                r#"{"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"#,
                r#""temperature":0.0,"max_tokens":1024,"stream":false,"seed":9,"response_format":{"type":"json_schema","#,
                r#""json_schema":{"name":"f","strict":true,"schema":{"type":"object","properties":{"x":{"type":"string"}},"#,
                r#""required":["x"],"additionalProperties":false}}}}"#
            )
        );
        options.response_format = ResponseFormat::JsonObject;
        assert_eq!(request.body(&options)["response_format"], json!({"type": "json_object"}));
        options.response_format = ResponseFormat::Text;
        assert_eq!(request.body(&options).get("response_format"), None);
    }
}
