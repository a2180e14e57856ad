//! configs/reference.toml against the program: keys, defaults and choices. And the other run files that ship: they
//! are read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::{Table, Value};

use super::super::ablation::WrittenAblation;
use super::super::schema::Schema;
use super::super::stage::StageKind;
use super::super::written::head_schemas;
use super::accepted;

fn config(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The reference file with the tables that cannot stand beside the others.
fn with_hidden_tables() -> String {
    let text = config("reference.toml");
    let bare = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(bare).collect()
}

/// The lines `key = value # comment` as (key, value, comment).
fn settings(text: &str) -> Vec<(&str, &str, &str)> {
    let split = |line| -> Option<(&str, &str, &str)> {
        let (key, rest): (&str, &str) = str::split_once(line, " = ").filter(|(key, _)| !key.contains(['#', ' ']))?;
        let (value, comment) = rest.split_once(" # ").unwrap_or_else(|| panic!("no comment: {line}"));
        Some((key, value.trim(), comment))
    };
    text.lines().filter_map(split).collect()
}

fn paths_of(table: &Table, path: &str, into: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match value {
            Value::Table(inner) => paths_of(inner, &path, into),
            _ => {
                into.insert(path);
            }
        }
    }
}

fn leaves(schema: &Schema) -> BTreeMap<String, Schema> {
    let mut leaves = Vec::new();
    schema.leaves("", &mut leaves);
    leaves.into_iter().collect()
}

#[test]
fn the_reference_has_every_key_and_no_other() {
    let file: Table = toml::from_str(&with_hidden_tables()).unwrap();
    let check = |name: &str, table: &Table, schema: &Schema| {
        let (mut documented, known) = (BTreeSet::new(), leaves(schema));
        paths_of(table, "", &mut documented);
        documented.remove("kind");
        // Rewards and problems are the same in every kind that has them, and stand under kind "grpo".
        let elsewhere =
            |key: &String| name != "grpo" && ["rewards.", "problems."].iter().any(|table| key.starts_with(table));
        documented.retain(|key| !elsewhere(key));
        let known: BTreeSet<String> = known.into_keys().filter(|key| !elsewhere(key)).collect();
        assert_eq!(documented, known, "keys of {name}");
    };
    for (name, schema) in head_schemas() {
        check(name, file[name].as_table().unwrap(), &schema);
    }
    let stages = file["stage"].as_array().unwrap();
    assert_eq!(stages.len(), StageKind::ALL.len());
    for (stage, kind) in stages.iter().zip(StageKind::ALL) {
        assert_eq!(stage["kind"].as_str(), Some(kind.name()));
        check(kind.name(), stage.as_table().unwrap(), &kind.schema());
    }
}

#[test]
fn the_reference_states_the_defaults_of_the_program() {
    let full = config("reference.toml");
    let no_default = |line: &str| line.contains("# required") || line.contains("# default none");
    let is_setting = |line: &str| settings(line).len() == 1;
    let least: String =
        full.lines().filter(|line| !is_setting(line) || no_default(line)).map(|l| format!("{l}\n")).collect();
    assert!(least.lines().count() + 40 < full.lines().count(), "the defaults have not been taken out");
    let name = |text: &str| text.replace("configs/a.toml", "");
    let [full, least] = [full, least].map(|text| accepted(&name(&text), &["run.dir=runs/reference"]));
    assert_eq!(full.to_toml(), least.to_toml());
}

#[test]
fn the_comments_of_the_reference_say_what_the_lines_say() {
    let derived = ["the kind", "runs/NAME for NAME.toml", "none", "hidden_size / n_heads", "clip_epsilon"];
    let text = with_hidden_tables();
    let settings = settings(&text);
    assert!(settings.len() > 80, "{} settings", settings.len());
    for (key, value, comment) in settings {
        let said = comment.split(" · ").next().unwrap();
        let Some(default) = said.strip_prefix("default").map(|rest| rest.trim_start_matches(':').trim()) else {
            assert_eq!(said, "required", "{key}");
            continue;
        };
        assert!(default == value || derived.contains(&default), "{key} = {value}, but its comment says {default}");
    }
}

#[test]
fn the_reference_names_every_choice() {
    let text = with_hidden_tables();
    let schemas = head_schemas().map(|(_, schema)| schema).into_iter().chain(StageKind::ALL.map(StageKind::schema));
    let mut n_choices = 0;
    for (path, schema) in schemas.flat_map(|schema| leaves(&schema)) {
        let Schema::Choice(names) = schema else { continue };
        let key = path.rsplit('.').next().unwrap();
        n_choices += names.len();
        for name in names {
            let said = settings(&text)
                .iter()
                .any(|(other, _, comment)| *other == key && comment.contains(&format!("\"{name}\"")));
            assert!(said, "{path} may be \"{name}\"");
        }
    }
    assert!(n_choices > 10);
}

#[test]
fn the_reference_has_every_key_of_an_ablation() {
    let text = config("reference.toml");
    let documented: BTreeSet<&str> = (text.lines())
        .skip_while(|line| !line.contains("[ablation]"))
        .take_while(|line| !line.contains("[[arm]]"))
        .filter_map(|line| Some(line.strip_prefix("#   ")?.split_once(" = ")?.0))
        .collect();
    let known = leaves(&Schema::of::<WrittenAblation>());
    assert_eq!(documented, known.keys().map(String::as_str).collect());
}

#[test]
fn the_run_files_that_ship_are_read() {
    for name in [
        "reference.toml",
        "r1_zero.toml",
        "pretrain_base.toml",
        "pretrain_r1_base.toml",
        "pretrain_r1_student.toml",
        "r1.toml",
        "distill.toml",
        "reward_ablation.toml",
    ] {
        accepted(&config(name), &[]);
    }
}
