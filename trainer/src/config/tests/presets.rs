//! The run files of configs/papers and configs/small: they are read, nothing in them is warned about, each setting of a paper has
//! its source, and a small one differs from that of its paper where its header says so and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use toml::{Table, Value};

use super::super::Stage;
use super::accepted;

/// What has to be the same but for scale; the rest of a stage is its task.
const COMPARED: [&str; 5] = ["steps", "prompt", "rollout", "grpo", "optimizer"];

/// Name and text of every run file of a folder of configs/.
fn files(folder: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(folder);
    let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let files: BTreeMap<String, String> = entries
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_stem().expect("a name").to_string_lossy().into_owned(), text)
        })
        .collect();
    assert!(files.len() >= 14, "{folder} has {} files", files.len());
    files
}

/// Every setting that is compared, by its path within the stage.
fn settings(text: &str) -> BTreeMap<String, Value> {
    let resolved: Table = accepted(text, &[]).to_toml().parse().expect("a resolved file is TOML");
    let stage = resolved["stage"][0].as_table().expect("a stage is a table");
    let mut found = BTreeMap::new();
    COMPARED.iter().for_each(|name| collect(name, &stage[*name], &mut found));
    found
}

fn collect(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| collect(&format!("{path}.{key}"), value, into)),
        value => {
            into.insert(path.to_owned(), value.clone());
        }
    }
}

#[test]
fn every_paper_has_a_small_file_that_keeps_its_objective() {
    let (papers, small) = (files("papers"), files("small"));
    assert_eq!(papers.keys().collect::<Vec<_>>(), small.keys().collect::<Vec<_>>());
    for (name, text) in &small {
        let header = text.lines().find_map(|line| line.strip_prefix("# scaled: "));
        let said: BTreeSet<&str> =
            header.unwrap_or_else(|| panic!("{name}: no line `# scaled: `")).split(", ").collect();
        let (ours, theirs) = (settings(text), settings(&papers[name]));
        let differs = |path: &&String| ours.get(*path) != theirs.get(*path);
        let found: BTreeSet<&str> = ours.keys().chain(theirs.keys()).filter(differs).map(String::as_str).collect();
        assert_eq!(found, said, "configs/small/{name}.toml: what differs, and what it says to be scaled");
    }
}

#[test]
fn every_setting_of_a_paper_has_its_source() {
    for (name, text) in files("papers") {
        let settings = text.lines().filter(|line| line.contains(" = ") && !line.starts_with(['#', '[']));
        let bare =
            |line: &&str| !["kind", "name"].contains(&line.split(' ').next().unwrap_or("")) && !line.contains(" # ");
        let missing: Vec<&str> = settings.filter(bare).collect();
        assert!(missing.is_empty(), "configs/papers/{name}.toml: no source: {missing:#?}");
    }
}

#[test]
fn nothing_published_is_warned_about() {
    for (name, text) in files("papers").into_iter().chain(files("small")) {
        for stage in accepted(&text, &[]).stages {
            let Stage::Grpo(stage) = stage else { panic!("{name}: not of kind grpo") };
            // ScaleRL is off policy by its pipeline, which is not there: here its cap has nothing to cut, and that is said.
            let warnings = stage.warnings();
            let expected = usize::from(name == "scale_rl");
            assert_eq!(warnings.len(), expected, "{name}: {warnings:#?}");
            assert!(warnings.iter().all(|warning| warning.contains("every ratio is 1")), "{name}: {warnings:#?}");
        }
    }
}
