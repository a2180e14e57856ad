//! Where rewards find what they read and keep: paths become absolute, and a run is the same run wherever that is.

use std::path::Path;

use llm_judge::ClientOptions;
use toml::{Table, Value};

use super::checks::Section;
use super::rewards::{Judge, Rewards};

/// Where replies of models are kept unless the run file says otherwise, in the current folder: beside the run folders, so that
/// one run finds what another has asked.
const REPLIES: &str = "runs/llm_judge";

/// The folder of replies becomes absolute. Like the run folder it is made by the run, and relative to the current folder.
fn place_cache(server: &mut Table, at: &mut Section<'_, '_>) {
    let cache = server.entry("cache").or_insert_with(|| REPLIES.into());
    if let Value::String(path) = cache
        && !path.is_empty()
    {
        *path = at.in_current_folder("server.cache", Path::new(path.as_str())).display().to_string();
    }
}

/// The same for a server in a table of its own, which is read already.
pub(super) fn place_cache_of(server: &mut ClientOptions, at: &mut Section<'_, '_>) {
    if server.cache.is_empty() && !at.has("server.cache") {
        server.cache = REPLIES.to_owned();
    }
    if !server.cache.is_empty() {
        server.cache = at.in_current_folder("server.cache", Path::new(&server.cache)).display().to_string();
    }
}

/// Takes out what decides where and when a model is asked, but not what it answers.
pub(super) fn forget_server(server: &mut ClientOptions) {
    let ClientOptions { model, temperature, seed, max_tokens, response_format, on_outage, .. } = server.clone();
    *server =
        ClientOptions { temperature, seed, max_tokens, response_format, on_outage, ..ClientOptions::new("", model) };
}

/// Files beside the run file become absolute: the program and the script of a command (its first two words), and what the
/// sandbox may read. Other words of a command are left as they are.
pub(super) fn place_paths(kind: &str, table: &mut Table, at: &mut Section<'_, '_>) {
    if let (Some(Value::Table(server)), "llm_judge") = (table.get_mut("server"), kind) {
        place_cache(server, at);
    }
    let mut place = |value: &mut Value| {
        if let Value::String(text) = value
            && !text.is_empty()
        {
            let path = at.beside_run_file("", Path::new(text.as_str()));
            if path.exists() && (kind == "code" || path.is_file()) {
                *text = path.display().to_string();
            }
        }
    };
    let keys: &[&str] = match kind {
        "process" => &["command"],
        "code" => &["interpreter", "read_only"],
        _ => &[],
    };
    for key in keys {
        match table.get_mut(*key) {
            Some(Value::Array(values)) if kind == "process" => values.iter_mut().take(2).for_each(&mut place),
            Some(Value::Array(values)) => values.iter_mut().for_each(&mut place),
            Some(value) => place(value),
            None => {}
        }
    }
}

impl Rewards {
    /// Takes out of the settings what decides where and when models are asked, and what for, but not what they answer.
    pub(crate) fn forget_where_and_when(&mut self) {
        for reward in &mut self.0 {
            if let Judge::RewardModel { options, .. } = &mut reward.judge {
                options.forget_speed();
            }
            if let Judge::LlmJudge { options, .. } = &mut reward.judge {
                forget_server(&mut options.server);
            }
        }
    }
}
