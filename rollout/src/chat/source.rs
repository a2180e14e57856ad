//! Where a model folder has its chat template and its special tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, Result};

/// The content of a file of the folder, if it is there.
pub(crate) type Files<'a> = dyn Fn(&str) -> Option<Vec<u8>> + 'a;

const TEMPLATE: &str = "chat_template.jinja";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";

/// Tokens that templates read as variables.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The text of the template and the file that it stands in.
///
/// # Errors
/// If there is none, or a file is malformed.
pub(super) fn template(folder: &Path, files: &Files) -> Result<(PathBuf, String)> {
    if let Some(bytes) = files(TEMPLATE) {
        let path = folder.join(TEMPLATE);
        let text = String::from_utf8(bytes).map_err(|error| {
            let reason = format!("byte {} is not UTF-8", error.utf8_error().valid_up_to());
            Error::ChatTemplate { path: path.clone(), reason }
        })?;
        return Ok((path, text));
    }
    let written = object(folder, TOKENIZER_CONFIG, files)?.remove("chat_template");
    match written.as_ref().and_then(default_template) {
        Some(text) => Ok((folder.join(TOKENIZER_CONFIG), text.to_owned())),
        None => Err(Error::NoChatTemplate { folder: folder.to_owned() }),
    }
}

/// A text, or of a list `[{"name", "template"}]` the one that is named `default`.
fn default_template(written: &Value) -> Option<&str> {
    match written {
        Value::String(text) => Some(text),
        Value::Array(named) => {
            named.iter().find(|entry| entry["name"] == "default").and_then(|entry| entry["template"].as_str())
        }
        _ => None,
    }
}

/// The special tokens that have a name, from special_tokens_map.json and tokenizer_config.json, of which the second counts.
///
/// # Errors
/// If a file is malformed.
pub(super) fn special_tokens(folder: &Path, files: &Files) -> Result<BTreeMap<String, String>> {
    let mut tokens = BTreeMap::new();
    for file in [SPECIAL_TOKENS, TOKENIZER_CONFIG] {
        let object = object(folder, file, files)?;
        for name in NAMES {
            // A text, or an object that says how the token is found in texts.
            let token = object.get(name).and_then(|token| token.as_str().or_else(|| token["content"].as_str()));
            if let Some(token) = token {
                tokens.insert(name.to_owned(), token.to_owned());
            }
        }
    }
    Ok(tokens)
}

/// The object of a JSON file; empty if there is no file.
fn object(folder: &Path, name: &str, files: &Files) -> Result<Map<String, Value>> {
    let Some(bytes) = files(name) else { return Ok(Map::new()) };
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::ChatTemplate { path: folder.join(name), reason: error.to_string() })
}
