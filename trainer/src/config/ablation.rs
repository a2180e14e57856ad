//! The file of an ablation: a run file, what each arm changes in it, and the seeds.
//!
//! The run file stands in the same file, or `ablation.base` names it. Either way each arm is put together as tables,
//! with every key where it was written, and then read and checked like any run file: a fault names arm, file and line.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::arm::{Change, changes};
use super::checks::{Checks, Place};
use super::document::Document;
use super::error::{ConfigError, Finding};
use super::messages::explain;
use super::schema::Schema;
use super::written::Written;
use super::{Eval, GrpoStage, Resolved, RunFile, place_of, tables, text_of};

/// The metrics of an evaluation, as an ablation calls them.
pub const EVAL_METRICS: [&str; 3] = ["eval/pass_at_1", "eval/format", "eval/mean_tokens"];

const DEFAULT_METRICS: [&str; 5] = ["eval/pass_at_1", "eval/format", "eval/mean_tokens", "reward", "entropy"];

/// `[ablation]` as written.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WrittenAblation {
    /// Read before everything else, as it says where everything else stands.
    base: IgnoredAny,
    dir: Option<PathBuf>,
    seeds: Vec<u64>,
    metrics: Vec<String>,
    /// Read as changes.
    set: IgnoredAny,
    unset: IgnoredAny,
}

impl Default for WrittenAblation {
    fn default() -> Self {
        let metrics = DEFAULT_METRICS.map(str::to_owned).to_vec();
        Self { base: IgnoredAny, dir: None, seeds: vec![1, 2, 3], metrics, set: IgnoredAny, unset: IgnoredAny }
    }
}

/// An ablation that has been read and checked, with every arm resolved.
#[derive(Clone, Debug)]
pub struct AblationFile {
    /// The file it was read from.
    pub path: PathBuf,
    /// `ablation.dir`: where everything is written, absolute. Relative to the current folder; default `runs/NAME` for a
    /// file `NAME.toml`.
    pub dir: PathBuf,
    /// `ablation.seeds`: every arm is run with each. Default [1, 2, 3].
    pub seeds: Vec<u64>,
    /// `ablation.metrics`: what is compared. `eval/...` are those of an evaluation ([`EVAL_METRICS`]), others are names
    /// of `metrics.jsonl`. Default: the three of an evaluation, `reward` and `entropy`.
    pub metrics: Vec<String>,
    /// `[[arm]]`, at least one, with unique names; the others are compared with the first.
    pub arms: Vec<Arm>,
}

/// `[[arm]]`: one run file, to be run with several seeds.
#[derive(Clone, Debug)]
pub struct Arm {
    /// `arm.name`: letters, digits, `_` and `-`; it names a folder. Required.
    pub name: String,
    /// What it changes, as `key = value` or `without key`, for people.
    pub changes: Vec<String>,
    /// The run file with these changes; its `run.dir` and `run.seed` mean nothing here.
    pub run: RunFile,
}

impl Arm {
    /// The run of this arm with `seed` in the run folder `dir`.
    pub fn resolved(&self, dir: PathBuf, seed: u64) -> Resolved {
        let mut resolved = self.run.resolved.clone();
        (resolved.run.dir, resolved.run.seed) = (dir, seed);
        resolved
    }
}

impl AblationFile {
    /// Reads the file at `path` and the run file that it names, and checks every arm.
    ///
    /// # Errors
    /// As [`RunFile::load`], for every arm; also if arms have no usable names of their own, or do not evaluate the same
    /// problems in the same way.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = text_of(path, "give the path of the file of an ablation with --config")?;
        let Some(base) = named_base(&text) else { return Self::parse(path, &text, None, &place_of(path)?) };
        let base = path.parent().unwrap_or(Path::new("")).join(base);
        let base_text = text_of(&base, &format!("`base` in {} is relative to its folder", path.display()))?;
        Self::parse(path, &text, Some((&base, &base_text)), &place_of(&base)?)
    }

    /// Reads the file from its text; `base` is the run file that it names, with its text.
    pub(crate) fn parse(
        path: &Path,
        text: &str,
        base: Option<(&Path, &str)>,
        place: &Place,
    ) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let base_name = base.map(|(path, _)| path.display().to_string());
        let own_text = (name.as_str(), text);
        let bare = match (&base_name, base) {
            (Some(base_name), Some((_, base_text))) => Document::of([(base_name.as_str(), base_text), own_text]),
            _ => Document::of([own_text]),
        };
        let mut document = bare.clone();
        // All texts share one numbering of bytes: this one begins behind that of the base.
        let padded = format!("{}{text}", " ".repeat(base.map_or(0, |(_, text)| text.len() + 1)));
        let mut root = tables(&padded).map_err(|finding| document.error(vec![finding]))?;
        document.index(&root);
        let fail = |finding| document.error(vec![finding]);
        let ablation = root.remove("ablation");
        let arms = arm_tables(root.remove("arm")).map_err(fail)?;
        let common = changes(ablation.as_ref(), &["base", "dir", "seeds", "metrics"], "[ablation]").map_err(fail)?;
        let written = read_ablation(ablation, &document).map_err(fail)?;
        if base.is_none() && document.has("ablation.base") {
            return Err(fail(no_path(document.locate("ablation.base"))));
        }
        if let (Some(key), true) = (root.keys().next(), base.is_some()) {
            return Err(fail(beside_base(key)));
        }
        let base_root = base.map(|(_, text)| tables(text)).transpose().map_err(fail)?.unwrap_or(root);
        let parts = Parts { path, document: &bare, root: &base_root, common: &common, place };
        let arms = parts.arms(&arms)?;
        check_same_evaluation(&arms)?;
        let mut checks = Checks::new(&document, place);
        let (dir, seeds, metrics) = resolve(written, path, &mut checks);
        let findings = checks.into_findings();
        if !findings.is_empty() {
            return Err(document.error(findings));
        }
        Ok(Self { path: path.to_owned(), dir, seeds, metrics, arms })
    }
}

/// `ablation.base`, if the text can be read so far; what is wrong with it is said later.
fn named_base(text: &str) -> Option<PathBuf> {
    let root = DeTable::parse(text).ok()?.into_inner();
    root.get("ablation")?.get_ref().get("base")?.get_ref().as_str().map(PathBuf::from)
}

fn no_path(span: Option<std::ops::Range<usize>>) -> Finding {
    let help = vec!["for example base = \"../r1_zero.toml\"; it is relative to this file's folder".to_owned()];
    Finding { title: "`base` is not a path".to_owned(), span, label: "expected a text in quotes".to_owned(), help }
}

fn beside_base(key: &Spanned<std::borrow::Cow<'_, str>>) -> Finding {
    Finding {
        title: format!("`{}` stands beside `ablation.base`", key.get_ref()),
        span: Some(key.span()),
        label: "expected only [ablation] and [[arm]]".to_owned(),
        help: vec!["what every arm changes in the base goes into `set` of [ablation]; or leave `base` out".to_owned()],
    }
}

fn arm_tables(arms: Option<Spanned<DeValue<'_>>>) -> Result<Vec<Spanned<DeValue<'_>>>, Finding> {
    let span = arms.as_ref().map_or(0..0, Spanned::span);
    match arms.map(Spanned::into_inner) {
        Some(DeValue::Array(arms)) if !arms.is_empty() => Ok(arms.into_iter().collect()),
        _ => Err(Finding {
            title: "the ablation has no arms".to_owned(),
            span: Some(span),
            label: "expected [[arm]]".to_owned(),
            help: vec![
                "write [[arm]] with two brackets and a `name` for each; the first is what the others are compared with"
                    .to_owned(),
            ],
        }),
    }
}

fn read_ablation(table: Option<Spanned<DeValue<'_>>>, document: &Document) -> Result<WrittenAblation, Finding> {
    let Some(table) = table else { return Ok(WrittenAblation::default()) };
    let span = table.span();
    WrittenAblation::deserialize(ValueDeserializer::from(table)).map_err(|error| {
        let span = error.span().unwrap_or(span);
        explain(&error, span.clone(), document.path_at(&span), "ablation", &Schema::of::<WrittenAblation>())
    })
}

/// Folder, seeds and metrics.
fn resolve(written: WrittenAblation, path: &Path, checks: &mut Checks<'_>) -> (PathBuf, Vec<u64>, Vec<String>) {
    let mut at = checks.table("ablation");
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("ablation");
    let dir = at.in_current_folder("dir", &written.dir.unwrap_or_else(|| PathBuf::from("runs").join(stem)));
    let (seeds, metrics) = (written.seeds, written.metrics);
    if seeds.is_empty() {
        at.fail("seeds", "`seeds` is empty", "expected a list of seeds", "for example seeds = [1, 2, 3]");
    }
    if let Some(seed) = repeated(&seeds) {
        at.fail(
            "seeds",
            format!("`seeds` has {seed} twice"),
            "expected each seed once",
            "the same run twice is one run",
        );
    }
    if metrics.is_empty() {
        at.fail("metrics", "`metrics` is empty", "expected names of metrics", "leave it out for the usual ones");
    }
    if let Some(metric) = repeated(&metrics) {
        at.fail("metrics", format!("`metrics` has `{metric}` twice"), "expected each metric once", "");
    }
    for metric in
        metrics.iter().filter(|metric| metric.starts_with("eval/") && !EVAL_METRICS.contains(&metric.as_str()))
    {
        let title = format!("`{metric}` is no metric of an evaluation");
        at.unknown("metrics", &title, metric, &EVAL_METRICS, "other metrics are called as in metrics.jsonl");
    }
    (dir, seeds, metrics)
}

fn repeated<T: PartialEq>(values: &[T]) -> Option<&T> {
    values.iter().enumerate().find(|(idx, value)| values[..*idx].contains(value)).map(|(_, value)| value)
}

/// What an arm is put together from.
struct Parts<'a, 'p> {
    path: &'a Path,
    /// The texts, with no key noted yet: each arm has its own.
    document: &'a Document,
    root: &'a DeTable<'p>,
    common: &'a [Change<'p>],
    place: &'a Place,
}

impl<'p> Parts<'_, 'p> {
    fn arms(&self, tables: &[Spanned<DeValue<'p>>]) -> Result<Vec<Arm>, ConfigError> {
        let (mut arms, mut findings): (Vec<Arm>, Vec<Finding>) = (Vec::new(), Vec::new());
        for (idx, table) in tables.iter().enumerate() {
            let name = arm_name(table, &arms).map_err(|finding| self.document.error(vec![finding]))?;
            match self.arm(table, &name) {
                Ok(arm) => arms.push(arm),
                // What is wrong with the base is wrong with every arm: it is said once.
                Err(found) if idx == 0 => findings = found,
                Err(found) => findings.extend(
                    found
                        .into_iter()
                        .filter(|new| !findings.iter().any(|old| old.span == new.span && old.label == new.label))
                        .collect::<Vec<_>>(),
                ),
            }
        }
        if findings.is_empty() { Ok(arms) } else { Err(self.document.error(findings)) }
    }

    fn arm(&self, table: &Spanned<DeValue<'p>>, name: &str) -> Result<Arm, Vec<Finding>> {
        let own = changes(Some(table), &["name"], &format!("arm `{name}`")).map_err(|finding| vec![finding])?;
        let mut root = self.root.clone();
        let failures: Vec<Finding> =
            self.common.iter().chain(&own).filter_map(|change| change.apply(&mut root).err()).collect();
        if !failures.is_empty() {
            return Err(failures);
        }
        let mut document = self.document.clone();
        document.index(&root);
        let named =
            |finding: &Finding| Finding { title: format!("arm `{name}`: {}", finding.title), ..finding.clone() };
        let run = Written::read(root, &document)
            .map_err(|findings| document.error(findings))
            .and_then(|written| RunFile::resolve(self.path, document.clone(), written, self.place))
            .map_err(|error| error.findings().iter().map(named).collect::<Vec<_>>())?;
        Ok(Arm { name: name.to_owned(), changes: own.iter().map(|change| change.describe(&document)).collect(), run })
    }
}

/// The name, which is fit for a folder and no other arm's.
fn arm_name(table: &Spanned<DeValue<'_>>, arms: &[Arm]) -> Result<String, Finding> {
    let given = table.get_ref().get("name");
    let span = given.map_or(table.span(), Spanned::span);
    let refuse = |title: String, label: &str| Finding {
        title,
        span: Some(span.clone()),
        label: label.to_owned(),
        help: vec!["it names the folder of its runs, and the line of the table".to_owned()],
    };
    let Some(name) = given.and_then(|name| name.get_ref().as_str()) else {
        return Err(refuse("an arm has no name".to_owned(), "expected `name = \"...\"` in each [[arm]]"));
    };
    // The folder of the ablation has a file `lock`.
    if name.is_empty() || name == "lock" || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) {
        return Err(refuse(format!("`{name}` cannot name an arm"), "expected letters, digits, _ or -"));
    }
    if arms.iter().any(|arm| arm.name == name) {
        return Err(refuse(format!("two arms are called `{name}`"), "expected a name of its own"));
    }
    Ok(name.to_owned())
}

/// Arms are compared on the same prompts, in the same order, sampled in the same way.
fn check_same_evaluation(arms: &[Arm]) -> Result<(), ConfigError> {
    let Some((first, others)) = arms.split_first() else { return Ok(()) };
    let of_first = evaluations(first);
    if of_first.is_empty() {
        let help = "add [stage.eval]: arms are compared on held-out problems";
        return Err(first.run.refuse("stage", "no stage evaluates", "expected a stage with [stage.eval]", help));
    }
    for arm in others {
        let of_arm = evaluations(arm);
        let places: Vec<usize> = of_arm.iter().map(|(idx, _, _)| *idx).collect();
        let stages: Vec<usize> = of_first.iter().map(|(idx, _, _)| *idx).collect();
        if places != stages {
            let title = format!("arm `{}` and arm `{}` do not evaluate the same stages", first.name, arm.name);
            return Err(arm.run.refuse("stage", &title, "expected [stage.eval] in the same stages", ""));
        }
        for ((idx, eval, stage), (_, expected, of_first)) in of_arm.iter().zip(&of_first) {
            if let Some((key, theirs, here)) = difference(eval, stage, expected, of_first) {
                let title = format!("arm `{}` is evaluated otherwise than arm `{}`", arm.name, first.name);
                let label = format!("`{key}` is {here} here and {theirs} there");
                let help = "arms are compared on the same prompts: change it for all, in `set` of [ablation]";
                return Err(arm.run.refuse(&format!("stage[{idx}].{key}"), &title, &label, help));
            }
        }
    }
    Ok(())
}

/// The stages that evaluate, with their numbers.
fn evaluations(arm: &Arm) -> Vec<(usize, &Eval, &GrpoStage)> {
    let stages = arm.run.resolved.stages.iter().enumerate();
    let evaluated = stages.filter_map(|(idx, stage)| {
        let stage = stage.as_grpo()?;
        stage.eval.as_ref().map(|eval| (idx, eval, stage))
    });
    evaluated.collect()
}

/// The first key in which two evaluations differ: its name, its value in the first arm and in this one.
fn difference(
    eval: &Eval,
    stage: &GrpoStage,
    expected: &Eval,
    of_first: &GrpoStage,
) -> Option<(&'static str, String, String)> {
    let rows = [
        ("eval.problems", expected.problems.to_string(), eval.problems.to_string()),
        ("eval.max_problems", expected.max_problems.to_string(), eval.max_problems.to_string()),
        ("eval.samples_per_problem", expected.samples_per_problem.to_string(), eval.samples_per_problem.to_string()),
        ("eval.temperature", expected.temperature.to_string(), eval.temperature.to_string()),
        ("eval.top_p", expected.top_p.to_string(), eval.top_p.to_string()),
        ("eval.every_steps", expected.every_steps.to_string(), eval.every_steps.to_string()),
        ("prompt.template", format!("{:?}", of_first.prompt), format!("{:?}", stage.prompt)),
    ];
    rows.into_iter().find(|(_, theirs, here)| theirs != here)
}
