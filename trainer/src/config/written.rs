//! Reads the tables of a run file as they were written, each kind of stage by its own type.
//!
//! In two steps, the kind first: an enum tagged by `kind` would lose the places of the keys inside of it.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::doctor::Doctor;
use super::document::Document;
use super::error::Finding;
use super::messages::{did_you_mean, explain, list, unknown_key};
use super::run::{Model, WrittenRun};
use super::schema::Schema;
use super::stage::{StageKind, WrittenStage};

/// The tables of a run file.
const TABLES: [&str; 4] = ["run", "model", "doctor", "stage"];

/// A run file as written.
pub(crate) struct Written {
    pub(crate) run: WrittenRun,
    pub(crate) model: Option<Model>,
    pub(crate) doctor: Doctor,
    pub(crate) stages: Vec<WrittenTable>,
}

/// One `[[stage]]` as written.
pub(crate) struct WrittenTable {
    pub(crate) kind: StageKind,
    pub(crate) stage: Box<dyn WrittenStage>,
    /// Every text in it: what it may refer to.
    pub(crate) mentions: Vec<String>,
}

impl Written {
    /// Reads every table, so that each can report a fault of its own.
    pub(crate) fn read(root: DeTable<'_>, document: &Document) -> Result<Self, Vec<Finding>> {
        let (mut run, mut model, mut doctor) = (WrittenRun::default(), None, Doctor::default());
        let (mut stages, mut findings) = (Vec::new(), Vec::new());
        let mut has_stages = false;
        // What else is wrong with it as one run is no matter then.
        if let Some(key) = root.keys().find(|key| ["ablation", "arm"].contains(&key.get_ref().as_ref())) {
            return Err(vec![an_ablation(key.get_ref(), key.span())]);
        }
        for (key, value) in root {
            match key.get_ref().as_ref() {
                "run" => read_into(&mut run, "run", value, document, &mut findings),
                "model" => read_into(&mut model, "model", value, document, &mut findings),
                "doctor" => read_into(&mut doctor, "doctor", value, document, &mut findings),
                "stage" => {
                    has_stages = true;
                    for table in stage_tables(value).map_err(|finding| vec![finding])? {
                        match read_stage(table, document) {
                            Ok(stage) => stages.push(stage),
                            Err(finding) => findings.push(finding),
                        }
                    }
                }
                other => findings.push(misplaced(other, key.span())),
            }
        }
        if !has_stages {
            let title = "the run file has no stage".to_owned();
            let help = vec!["add a [[stage]]; configs/reference.toml has every key".to_owned()];
            findings.push(Finding { title, span: Some(0..0), label: "expected a [[stage]]".to_owned(), help });
        }
        if findings.is_empty() { Ok(Self { run, model, doctor, stages }) } else { Err(findings) }
    }
}

/// The keys of all tables of a run file beside the stages.
pub(crate) fn head_schemas() -> [(&'static str, Schema); 3] {
    [("run", Schema::of::<WrittenRun>()), ("model", Schema::of::<Model>()), ("doctor", Schema::of::<Doctor>())]
}

/// A key at the top that is none of the tables; most likely it belongs into one of them.
fn misplaced(key: &str, span: Range<usize>) -> Finding {
    let stages = StageKind::ALL.map(|kind| ("stage", kind.schema()));
    let mut homes = head_schemas().into_iter().chain(stages);
    let hint = |(home, schema): (&str, Schema)| {
        let help = unknown_key(key, &[], home, &schema).2;
        (!help.is_empty()).then_some(help)
    };
    let help = homes.find_map(hint).unwrap_or_else(|| did_you_mean(key, &TABLES));
    let label = "expected [run], [model], [doctor] or [[stage]]".to_owned();
    Finding { title: format!("unknown key `{key}`"), span: Some(span), label, help: vec![help] }
}

/// The file of an ablation, given as that of one run.
fn an_ablation(table: &str, span: Range<usize>) -> Finding {
    Finding {
        title: format!("`{table}` belongs to an ablation, which is many runs"),
        span: Some(span),
        label: "expected a run file".to_owned(),
        help: vec!["run it with: grpo-train ablate --config FILE".to_owned()],
    }
}

fn read_into<T: DeserializeOwned>(
    target: &mut T,
    home: &str,
    value: Spanned<DeValue<'_>>,
    document: &Document,
    findings: &mut Vec<Finding>,
) {
    let span = value.span();
    match T::deserialize(ValueDeserializer::from(value)) {
        Ok(read) => *target = read,
        Err(error) => {
            let span = error.span().unwrap_or(span);
            findings.push(explain(&error, span.clone(), document.path_at(&span), home, &Schema::of::<T>()));
        }
    }
}

/// The elements of `[[stage]]`.
pub(crate) fn stage_tables(stages: Spanned<DeValue<'_>>) -> Result<Vec<Spanned<DeValue<'_>>>, Finding> {
    let span = stages.span();
    match stages.into_inner() {
        DeValue::Array(tables) if !tables.is_empty() => Ok(tables.into_iter().collect()),
        _ => Err(Finding {
            title: "`stage` is not a list of tables".to_owned(),
            span: Some(span),
            label: "expected [[stage]]".to_owned(),
            help: vec!["a run is a list of stages: write [[stage]] with two brackets for each".to_owned()],
        }),
    }
}

fn read_stage(mut stage: Spanned<DeValue<'_>>, document: &Document) -> Result<WrittenTable, Finding> {
    let span = stage.span();
    let mentions = texts(stage.get_ref());
    let kinds = StageKind::ALL.map(StageKind::name);
    let finding = |title: String, span: Range<usize>, label: String, help: String| Finding {
        title,
        span: Some(span),
        label,
        help: vec![help],
    };
    let DeValue::Table(table) = stage.get_mut() else {
        return Err(finding("a stage is not a table".to_owned(), span, "expected [[stage]]".to_owned(), String::new()));
    };
    let Some(kind) = table.remove("kind") else {
        return Err(finding(
            "missing key `kind`".to_owned(),
            span,
            "this stage needs a `kind`".to_owned(),
            list(&kinds),
        ));
    };
    let Some(name) = kind.get_ref().as_str() else {
        return Err(finding("`kind` is not a name".to_owned(), kind.span(), list(&kinds), String::new()));
    };
    let Some(kind) = StageKind::of(name) else {
        let help = did_you_mean(name, &kinds);
        return Err(finding(format!("unknown kind of stage `{name}`"), kind.span(), list(&kinds), help));
    };
    let read = kind.read(stage).map_err(|error| {
        let span = error.span().unwrap_or(span);
        explain(&error, span.clone(), document.path_at(&span), "stage", &kind.schema())
    })?;
    Ok(WrittenTable { kind, stage: read, mentions })
}

/// Every text in a value.
fn texts(value: &DeValue<'_>) -> Vec<String> {
    match value {
        DeValue::String(text) => vec![text.to_string()],
        DeValue::Array(values) => values.iter().flat_map(|value| texts(value.get_ref())).collect(),
        DeValue::Table(table) => table.values().flat_map(|value| texts(value.get_ref())).collect(),
        _ => Vec::new(),
    }
}
