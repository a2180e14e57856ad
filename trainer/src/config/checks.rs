//! Gathers what is wrong with the values of a run file, so that all of it is shown at once.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use super::document::Document;
use super::error::Finding;
use super::messages::{did_you_mean, explain_message, list};
use super::stage::StageKind;

/// What relative paths are relative to, and whether inputs must be there.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The folder of the run file: input paths are relative to it.
    pub(crate) folder: PathBuf,
    /// The current folder: the run folder is relative to it.
    pub(crate) current: PathBuf,
    /// Whether a missing input file or folder is an error.
    pub(crate) inputs_must_exist: bool,
}

/// What a path of the run file has to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A file that is read.
    File,
    /// A folder that is read.
    Folder,
}

impl Input {
    /// The word for it.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Folder => "folder",
        }
    }
}

/// A stage of the run file as the others may name it.
#[derive(Clone, Debug)]
pub(crate) struct NamedStage {
    pub(crate) name: String,
    pub(crate) kind: StageKind,
    /// Every text in its table: what it may refer to.
    pub(crate) mentions: Vec<String>,
}

/// Collects findings while the values are checked.
pub(crate) struct Checks<'a> {
    document: &'a Document,
    place: &'a Place,
    findings: Vec<Finding>,
    /// All stages, in the order of the file.
    pub(crate) stages: Vec<NamedStage>,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(document: &'a Document, place: &'a Place) -> Self {
        Self { document, place, findings: Vec::new(), stages: Vec::new() }
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// The table at `path`, such as `run` or `stage[0]`.
    pub(crate) fn table(&mut self, path: impl Into<String>) -> Section<'_, 'a> {
        Section { checks: self, path: path.into() }
    }
}

/// One table of the run file under check.
pub(crate) struct Section<'c, 'a> {
    checks: &'c mut Checks<'a>,
    path: String,
}

impl<'a> Section<'_, 'a> {
    /// A table inside of this one.
    pub(crate) fn table(&mut self, name: &str) -> Section<'_, 'a> {
        Section { path: format!("{}.{name}", self.path), checks: self.checks }
    }

    /// All stages of the run file.
    pub(crate) fn stages(&self) -> &[NamedStage] {
        &self.checks.stages
    }

    /// The number of the stage that this table is in; that of the first where it is in none.
    pub(crate) fn stage_idx(&self) -> usize {
        let number = self.path.strip_prefix("stage[").and_then(|rest| rest.split_once(']'));
        number.and_then(|(number, _)| number.parse().ok()).unwrap_or(0)
    }

    /// Whether a missing input file or folder is an error.
    pub(crate) fn inputs_must_exist(&self) -> bool {
        self.checks.place.inputs_must_exist
    }

    /// Notes a fault at `key` of this table; an empty `key` means the table itself.
    pub(crate) fn fail(&mut self, key: &str, title: impl Into<String>, label: impl Into<String>, help: &str) {
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        let mut label = label.into();
        if !key.is_empty() && !self.checks.document.has(&path) {
            label = format!("`{key}` is not given here, so its default holds; {label}");
        }
        let span = self.checks.document.locate(&path);
        self.checks.findings.push(Finding { title: title.into(), span, label, help: vec![help.to_owned()] });
    }

    /// Whether `key` is written in this table.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.checks.document.has(&format!("{}.{key}", self.path))
    }

    /// Notes a word at `key` that is none of those known; `help` is given where none of them is like it.
    pub(crate) fn unknown(&mut self, key: &str, title: &str, word: &str, known: &[&str], help: &str) {
        let like = did_you_mean(word, known);
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        let span = self.checks.document.locate(&path);
        let help = vec![if like.is_empty() { help.to_owned() } else { like }];
        self.checks.findings.push(Finding { title: title.to_owned(), span, label: list(known), help });
    }

    /// Notes a value of the wrong type, in serde's words.
    pub(crate) fn wrong(&mut self, key: &str, message: &str) {
        let path = if key.is_empty() { self.path.clone() } else { format!("{}.{key}", self.path) };
        let (title, label, help) = explain_message(message, Some(&path));
        let span = self.checks.document.locate(&path);
        self.checks.findings.push(Finding { title, span, label, help: vec![help] });
    }

    /// A whole number has a least value; `why` says what a smaller one would mean.
    pub(crate) fn at_least(&mut self, key: &str, value: u64, least: u64, why: &str) {
        if value < least {
            self.fail(key, format!("`{key}` is {value}"), format!("expected {least} or more"), why);
        }
    }

    /// A finite number above zero.
    pub(crate) fn positive(&mut self, key: &str, value: f64, why: &str) {
        self.holds(key, value, value.is_finite() && value > 0.0, "expected a finite number above 0", why);
    }

    /// A finite number that is not below zero.
    pub(crate) fn not_negative(&mut self, key: &str, value: f64, why: &str) {
        self.holds(key, value, value.is_finite() && value >= 0.0, "expected a finite number, 0 or more", why);
    }

    /// Notes `value` as a fault at `key` unless `fine`.
    pub(crate) fn holds(&mut self, key: &str, value: impl Display, fine: bool, expected: &str, why: &str) {
        if !fine {
            self.fail(key, format!("`{key}` is {value}"), expected, why);
        }
    }

    /// A range `[from, to]`, both included, within `least..=most`.
    pub(crate) fn range<T: PartialOrd + Display + Copy>(&mut self, key: &str, [from, to]: [T; 2], least: T, most: T) {
        if from > to {
            let help = format!("write `{key} = [{to}, {from}]`");
            self.fail(key, format!("`{key}` runs from {from} down to {to}"), "expected [from, to]", &help);
        } else if from < least || to > most {
            let help = format!("both ends count as inside, and {least} and {most} are the limits");
            self.fail(key, format!("`{key}` is [{from}, {to}]"), format!("expected {least} to {most}"), &help);
        }
    }

    /// The absolute path of an input, which is relative to the run file's folder and has to exist.
    pub(crate) fn input(&mut self, key: &str, written: &Path, kind: Input) -> PathBuf {
        let path = self.beside_run_file(key, written);
        let noun = kind.noun();
        let found = match kind {
            Input::File => path.is_file(),
            Input::Folder => path.is_dir(),
        };
        if self.checks.place.inputs_must_exist && !found {
            let wrong = if path.exists() { format!("not a {noun}") } else { format!("no such {noun}") };
            let help = if written.is_absolute() {
                String::new()
            } else {
                let folder = self.checks.place.folder.display();
                format!("the path is relative to the run file's folder, {folder}, and leads to {}", path.display())
            };
            self.fail(key, format!("{wrong}: {}", written.display()), format!("{wrong} there"), &help);
        }
        path
    }

    /// The absolute path of something relative to the run file's folder that need not exist.
    pub(crate) fn beside_run_file(&mut self, key: &str, written: &Path) -> PathBuf {
        let folder = self.checks.place.folder.clone();
        self.absolute(key, &folder, written)
    }

    /// The absolute path of something relative to the current folder.
    pub(crate) fn in_current_folder(&mut self, key: &str, written: &Path) -> PathBuf {
        let folder = self.checks.place.current.clone();
        self.absolute(key, &folder, written)
    }

    fn absolute(&mut self, key: &str, folder: &Path, written: &Path) -> PathBuf {
        if written.as_os_str().is_empty() {
            self.fail(key, format!("`{key}` is empty"), "expected a path", "");
        }
        let path = without_dots(&folder.join(written));
        if path.to_str().is_none() {
            let title = format!("the path leads through a folder whose name is not UTF-8: {}", path.display());
            self.fail(key, title, "cannot be written into the resolved run file", "rename the folder");
        }
        path
    }
}

/// Takes `.` and `..` out of an absolute path without asking the disk, which may not have the path yet.
fn without_dots(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}
