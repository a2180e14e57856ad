//! Rewards given on the command line: `accuracy`, `regex:{"pattern": "^yes$"}`, `short:{"kind": "length_limits", ..}`.

use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, ValueDeserializer};
use toml::{Table, Value};

use super::checks::{Checks, Place};
use super::document::Document;
use super::error::{ConfigError, Finding};
use super::rewards::{Rewards, WrittenRewards};

/// The rewards of arguments `NAME` or `NAME:JSON`, whose object has the keys of a `[stage.rewards.NAME]` table.
///
/// Where a run refuses a gold that `accuracy` cannot read, here it is compared as a text unless the argument says otherwise:
/// a table of cases is to have a verdict on every line.
///
/// # Errors
/// As for a run file; the message shows the argument as such a table.
pub fn rewards_from_arguments(arguments: &[String]) -> Result<Rewards, ConfigError> {
    let mut tables = Table::new();
    for argument in arguments {
        let (name, mut table) = parse(argument).map_err(|title| {
            ConfigError::new(Vec::new(), vec![Finding::without_place(title, "write NAME or NAME:{\"key\": value}")])
        })?;
        if table.get("kind").and_then(Value::as_str).unwrap_or(&name) == "accuracy" {
            table.entry("on_unreadable_gold").or_insert("text".into());
        }
        tables.insert(name, Value::Table(table));
    }
    let whole = Table::from_iter([("rewards".to_owned(), Value::Table(tables))]);
    let text = toml::to_string(&whole).expect("tables of values can be written");
    let mut document = Document::new("--reward", &text, &[]);
    let root = DeTable::parse(&text).expect("what was written can be read").into_inner();
    document.index(&root);
    let (_, value) = root.into_iter().next().expect("the one table");
    let written = WrittenRewards::deserialize(ValueDeserializer::from(value)).map_err(|error| {
        document.error(vec![Finding {
            title: error.message().to_owned(),
            span: error.span(),
            label: String::new(),
            help: vec![],
        }])
    })?;
    let current = std::env::current_dir().unwrap_or_else(|_| Path::new("/").to_owned());
    let place = Place { folder: current.clone(), current, inputs_must_exist: true };
    let mut checks = Checks::new(&document, &place);
    let rewards = written.resolve(&mut checks.table("rewards"));
    let findings = checks.into_findings();
    if findings.is_empty() { Ok(rewards) } else { Err(document.error(findings)) }
}

fn parse(argument: &str) -> Result<(String, Table), String> {
    let (name, json) = argument.split_once(':').unwrap_or((argument, "{}"));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_name) {
        return Err(format!("`{name}` is no name of a reward"));
    }
    let value: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|error| format!("the settings of `{name}` are no JSON object: {error}"))?;
    let table = Table::try_from(value).map_err(|error| format!("the settings of `{name}`: {error}"))?;
    Ok((name.to_owned(), table))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Rewards, String> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        rewards_from_arguments(&arguments).map_err(|error| error.render(false))
    }

    #[test]
    fn arguments_are_tables() {
        let rewards = read(&[
            "accuracy",
            "short:{\"kind\": \"cosine\", \"of\": \"accuracy\", \"max_length\": 50, \"weight\": 0.5}",
        ]);
        let rewards = rewards.unwrap();
        let names: Vec<&str> = rewards.0.iter().map(|reward| reward.name.as_str()).collect();
        assert_eq!(names, ["accuracy", "short"]);
        assert_eq!((rewards.0[1].weight, rewards.0[1].judge.kind()), (0.5, "cosine"));
    }

    #[test]
    fn faults_are_told() {
        let check = |arguments: &[&str], parts: &[&str]| {
            let message = read(arguments).unwrap_err();
            for part in parts {
                assert!(message.contains(part), "no `{part}` in\n{message}");
            }
        };
        check(&["acuracy"], &["unknown kind of reward `acuracy`", "accuracy"]);
        check(&["accuracy:3"], &["no JSON object"]);
        check(&["accuracy:{\"boxd\": true}"], &["unknown key `boxd`", "boxed"]);
        check(&["accuracy:{\"boxed\": 1}"], &["`boxed` is the number 1", "true or false"]);
        check(&["cosine"], &["no `of`"]);
        check(&["cosine:{\"of\": \"nothing\"}"], &["cosine", "nothing"]);
        check(&["a b"], &["`a b` is no name"]);
        check(&["regex"], &["missing key `pattern`"]);
    }
}
