//! What manifests and text can show of the rules in ARCHITECTURE.md: who may know whom, and the form of files.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are made, not written.
const MADE: [&str; 5] = [".git", "target", "third_party", "runs", "__pycache__"];
/// Longest source file, in lines; most have a job of 300 or fewer.
const MAX_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace's folder").to_path_buf()
}

/// Every file of the repository that `wanted` takes, with its text; paths are relative to the root.
fn files(wanted: impl Fn(&Path) -> bool) -> Vec<(PathBuf, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a directory entry").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            if path.is_symlink() || MADE.contains(&name.as_str()) || name.starts_with(".venv") {
                continue;
            }
            let inside = path.strip_prefix(&root).expect("below the root");
            if path.is_dir() {
                folders.push(path);
            } else if wanted(inside) {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                found.push((inside.to_path_buf(), text));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no such file: the rule below would hold of nothing");
    found
}

fn is(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known))
}

/// Everything a person wrote as a program; the shell scripts have no extension.
fn is_source(path: &Path) -> bool {
    let is_script = path.extension().is_none() && (path.starts_with("scripts") || path.starts_with(".ci"));
    is_script || is(path, &["rs", "py", "sh", "cpp", "h"])
}

/// Fails with every complaint at once, one a line.
fn report(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}

/// Names of everything `crate_name` depends on, also for its tests and builds and on single platforms only.
fn dependencies(crate_name: &str) -> Vec<String> {
    let path = root().join(crate_name).join("Cargo.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let manifest: toml::Table = text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut names = Vec::new();
    collect_dependencies(&manifest, &mut names);
    if let Some(platforms) = manifest.get("target").and_then(toml::Value::as_table) {
        platforms.values().filter_map(toml::Value::as_table).for_each(|table| collect_dependencies(table, &mut names));
    }
    names
}

fn collect_dependencies(table: &toml::Table, names: &mut Vec<String>) {
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (name, value) in table.get(kind).and_then(toml::Value::as_table).into_iter().flatten() {
            // A renamed dependency goes by its key here and by `package` in the registry.
            names.push(value.get("package").and_then(toml::Value::as_str).unwrap_or(name).to_owned());
        }
    }
}

#[test]
fn crates_know_only_whom_they_may() {
    let rules: [(&str, &[&str]); 6] = [
        (
            "rewards",
            &["tch", "torch-sys", "shim", "policy", "rollout", "trainer", "tokenizers", "safetensors", "memmap2"],
        ),
        ("rewards/sandbox", &["tch", "torch-sys", "shim", "policy", "rollout", "trainer", "tokenizers", "safetensors"]),
        (
            "rewards/llm_judge",
            &["tch", "torch-sys", "shim", "policy", "rollout", "trainer", "sandbox", "tokenizers", "toml"],
        ),
        ("shim", &["policy", "rollout", "rewards", "sandbox", "trainer", "tokenizers", "safetensors", "serde", "toml"]),
        ("policy", &["rollout", "rewards", "trainer", "tokenizers", "toml", "regex", "clap", "indicatif"]),
        ("rollout", &["shim", "rewards", "trainer", "toml", "clap", "indicatif"]),
    ];
    let mut complaints = Vec::new();
    for (crate_name, forbidden) in rules {
        let known = dependencies(crate_name);
        assert!(!known.is_empty(), "{crate_name}/Cargo.toml: no dependency found, so the rule would hold of nothing");
        for name in known.iter().filter(|name| forbidden.contains(&name.as_str())) {
            complaints.push(format!("{crate_name}/Cargo.toml: `{name}`"));
        }
    }
    report("a crate knows one that it must not (ARCHITECTURE.md, invariants 1 to 3 and 16)", &complaints);
}

#[test]
fn rewards_touch_nothing_outside_memory() {
    let outside = ["std::fs", "std::net", "std::process", "std::env", "std::time", "tempfile::"];
    let mut complaints = Vec::new();
    for (path, text) in files(|path| is(path, &["rs"]) && path.starts_with("rewards/src")) {
        for (number, line) in (1..).zip(text.lines()) {
            for name in outside.iter().filter(|name| line.contains(**name)) {
                complaints.push(format!("{}:{number}: {name}", path.display()));
            }
        }
    }
    report(
        "rewards judge what they are given; files, clock and processes are the trainer's and the sandbox's",
        &complaints,
    );
}

#[test]
fn the_network_is_the_judges_alone() {
    let clients = ["ureq", "reqwest", "hyper", "curl", "attohttpc", "minreq"];
    let mut complaints = Vec::new();
    for crate_name in ["policy", "rewards", "rewards/sandbox", "rollout", "shim", "trainer"] {
        for name in dependencies(crate_name).iter().filter(|name| clients.contains(&name.as_str())) {
            complaints.push(format!("{crate_name}/Cargo.toml: `{name}`"));
        }
    }
    report("only rewards/llm_judge speaks to servers (ARCHITECTURE.md, invariant 17)", &complaints);
}

#[test]
fn foreign_code_is_the_shims_alone() {
    let mut complaints = Vec::new();
    for (path, text) in files(|path| is_source(path) || is(path, &["c", "cc", "hpp", "cu"])) {
        if !is(&path, &["rs", "py", "sh"]) && path.extension().is_some() && !path.starts_with("shim/cpp") {
            complaints.push(path.display().to_string());
        }
        // In two pieces, or this file would break its own rule. A block declares; a single function defines.
        let block = ["extern \"C\"", " {"].concat();
        if path != Path::new("shim/src/ffi.rs") && is(&path, &["rs"]) && text.contains(&block) {
            complaints.push(format!("{}: {block}", path.display()));
        }
    }
    report("C++ is in shim/cpp, and its functions are declared in shim/src/ffi.rs", &complaints);
}

#[test]
fn nothing_is_left_half_done() {
    // In two pieces, or this file would break its own rule.
    let marks = [("todo", "!("), ("unimplemented", "!("), ("dbg", "!("), ("FIX", "ME"), ("TO", "DO"), ("@", "@")];
    let marks = marks.map(|(start, end)| format!("{start}{end}"));
    let mut complaints = Vec::new();
    for (path, text) in files(|path| is_source(path) || path.extension().is_some_and(|ext| ext == "md")) {
        for (number, line) in (1..).zip(text.lines()) {
            for mark in marks.iter().filter(|mark| has_word(line, mark)) {
                complaints.push(format!("{}:{number}: {mark}", path.display()));
            }
        }
    }
    report("finish it, or write down in the docs that it is not there", &complaints);
}

/// Whether `word` is in `line`, not as a part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        (word.starts_with('@') || !before.is_some_and(part_of_word))
            && (word.ends_with(['(', '@']) || !after.is_some_and(part_of_word))
    })
}

#[test]
fn files_are_short() {
    let complaints: Vec<String> = files(is_source)
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, n_lines)| *n_lines > MAX_LINES)
        .map(|(path, n_lines)| format!("{}: {n_lines} lines", path.display()))
        .collect();
    report(&format!("a file has one job and at most {MAX_LINES} lines"), &complaints);
}

#[test]
fn source_files_say_their_job_first() {
    let complaints: Vec<String> = files(|path| is(path, &["rs", "cpp", "h"]))
        .iter()
        .filter(|(path, text)| !text.starts_with(if is(path, &["rs"]) { "//! " } else { "// " }))
        .map(|(path, _)| path.display().to_string())
        .collect();
    report("the first line of a file in Rust is `//! `, in C++ `// `, and its one job", &complaints);
}

#[test]
fn text_is_clean() {
    let mut complaints = Vec::new();
    for (path, text) in files(|path| is_source(path) || is(path, &["md", "toml"])) {
        let path = path.display();
        for (number, line) in (1..).zip(text.lines()) {
            if line.ends_with([' ', '\t']) {
                complaints.push(format!("{path}:{number}: white space at the end"));
            }
            if line.contains('\t') {
                complaints.push(format!("{path}:{number}: a tab"));
            }
        }
        if text.contains('\r') {
            complaints.push(format!("{path}: carriage returns"));
        }
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            complaints.push(format!("{path}: must end in exactly one newline"));
        }
    }
    report("text is plain", &complaints);
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for (path, text) in files(|path| is(path, &["md"])) {
        let folder = root().join(path.parent().expect("a file lies in a folder"));
        for (number, target) in links(&text) {
            let file = target.split('#').next().expect("split yields at least one piece");
            if !file.is_empty() && !folder.join(file).exists() {
                complaints.push(format!("{}:{number}: {target}", path.display()));
            }
        }
    }
    report("a link leads to a file that is not there", &complaints);
}

/// Targets of `[text](target)` and `src="target"` outside of code, with their line; addresses on the network left out.
fn links(markdown: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in (1..).zip(markdown.lines()) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second piece between back-ticks is code.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("_");
        for (open, close) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            for piece in prose.split(open).skip(1) {
                let target = piece.split(close).next().expect("split yields at least one piece");
                if !target.contains("://") && !target.starts_with("mailto:") {
                    found.push((number, target.to_owned()));
                }
            }
        }
    }
    found
}

/// Documents name tests as file.rs::`test`, and a folder or the end of a path may stand for the file.
#[test]
fn tests_named_in_documents_are_there() {
    let sources = files(|path| is(path, &["rs"]));
    let mut complaints = Vec::new();
    for (path, text) in files(|path| is(path, &["md"])) {
        for (place, test) in named_tests(&text) {
            let is_there = |(file, source): &(PathBuf, String)| {
                let file = format!("/{}", file.display());
                let fits = file.ends_with(&format!("/{place}")) || file.contains(&format!("/{place}/"));
                fits && source.contains(&format!("fn {test}("))
            };
            if !sources.iter().any(is_there) {
                complaints.push(format!("{}: {place}::{test}", path.display()));
            }
        }
    }
    report("a document names a test that is not there", &complaints);
}

/// What stands as place::`name`, `name`, with the place repeated for each name.
fn named_tests(markdown: &str) -> Vec<(&str, &str)> {
    let part_of_place = |c: char| c.is_alphanumeric() || "_./".contains(c);
    let mut found = Vec::new();
    for (at, mark) in markdown.match_indices("::`") {
        let start = markdown[..at].trim_end_matches(part_of_place).len();
        let mut rest = &markdown[at + mark.len()..];
        while let Some((name, behind)) = rest.split_once('`') {
            found.push((&markdown[start..at], name));
            let next = behind.strip_prefix(',').and_then(|next| next.trim_start().strip_prefix('`'));
            let Some(next) = next else { break };
            rest = next;
        }
    }
    found
}

#[test]
fn readers_of_names_see_tests() {
    let check = |markdown: &str, expected: &[(&str, &str)]| assert_eq!(named_tests(markdown), expected, "{markdown:?}");
    check(
        "tests in a/b.rs::`one`,\n`two`; c::`three` and `four`",
        &[("a/b.rs", "one"), ("a/b.rs", "two"), ("c", "three")],
    );
    check("`Policy::load`, a.rs", &[]);
}

#[test]
fn readers_of_links_see_links() {
    let check = |markdown: &str, expected: &[&str]| {
        let found: Vec<String> = links(markdown).into_iter().map(|(_, target)| target).collect();
        assert_eq!(found, expected, "in {markdown:?}");
    };
    check("see [a](b.md) and ![c](d/e.svg#f)", &["b.md", "d/e.svg#f"]);
    check("<img src=\"curve.svg\">", &["curve.svg"]);
    check("[far](https://example.org/x)", &[]);
    check("`[a](b.md)` and ```\n", &[]);
    check("```\n[a](b.md)\n```\n[c](d.md)", &["d.md"]);
}

#[test]
fn the_licences_in_the_manifest_are_there() {
    for (name, words) in [("LICENSE-MIT", "MIT License"), ("LICENSE-APACHE", "Apache License")] {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(words), "{name} does not hold the {words}");
    }
}

/// README.md names the run files beside it in configs/, configs/README.md names all of them.
#[test]
fn the_readmes_name_every_run_file() {
    let text = |name: &str| fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (readme, table) = (text("README.md"), text("configs/README.md"));
    let mut complaints = Vec::new();
    for (path, _) in files(|path| is(path, &["toml"]) && path.starts_with("configs")) {
        let inside = path.strip_prefix("configs").expect("chosen by it");
        let is_preset = inside.components().count() > 1;
        if !is_preset && !readme.contains(&path.display().to_string()) {
            complaints.push(format!("README.md: {}", path.display()));
        }
        if !table.contains(&format!("]({})", inside.display())) {
            complaints.push(format!("configs/README.md: {}", path.display()));
        }
    }
    report("a run file that is there is not named", &complaints);
}
