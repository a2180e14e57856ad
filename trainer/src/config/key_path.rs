//! A dotted key and what it reaches in the tables of a run file: where `--set` and the arms of an ablation put values.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Finding;
use super::messages::{did_you_mean, list};
use super::stage::StageKind;

/// A part of a key, and where it stands.
type Segment = (String, Range<usize>);

/// A key such as `run.seed`, `stage.rollout.group_size`, `stage.NAME.steps` or `stage[0].steps`.
#[derive(Clone, Debug)]
pub(crate) struct KeyPath {
    segments: Vec<Segment>,
    /// Who asks, for the head of a message.
    asker: String,
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.segments.iter().map(|(part, _)| part.as_str()).collect();
        f.write_str(&parts.join("."))
    }
}

impl KeyPath {
    /// Cuts `key`, which begins at `start`, at its dots.
    pub(crate) fn parse(key: &str, start: usize, asker: String) -> Self {
        let mut at = start;
        let segments = key.split('.').map(|part| {
            let span = at..at + part.len();
            at += part.len() + 1;
            (part.trim().to_owned(), span)
        });
        Self { segments: segments.collect(), asker }
    }

    /// The key of one name, which stands at `span`.
    pub(crate) fn of(name: &str, span: Range<usize>, asker: String) -> Self {
        Self { segments: vec![(name.to_owned(), span)], asker }
    }

    /// The key `name` inside of the table that this one leads to.
    pub(crate) fn inside(&self, name: &str, span: Range<usize>) -> Self {
        let mut inside = self.clone();
        inside.segments.push((name.to_owned(), span));
        inside
    }

    /// Puts `value` at the key, with the tables on the way to it.
    pub(crate) fn set<'p>(&self, root: &mut DeTable<'p>, value: Spanned<DeValue<'p>>) -> Result<(), Finding> {
        let (table, rest) = self.reach(root)?;
        self.insert(table, rest, value)
    }

    /// Takes out the value or table at the key, which has to be there.
    pub(crate) fn unset(&self, root: &mut DeTable<'_>) -> Result<(), Finding> {
        let (mut table, rest) = self.reach(root)?;
        let Some(((last, span), before)) = rest.split_last() else {
            return Err(self.refuse(&self.span(), "a stage cannot be taken out", "expected a key after it", ""));
        };
        for (key, span) in before {
            let keys = names(table);
            table = match table.get_mut(key.as_str()).map(Spanned::get_mut) {
                Some(DeValue::Table(inner)) => inner,
                _ => return Err(self.absent(key, span, &keys)),
            };
        }
        let keys = names(table);
        table.remove(last.as_str()).map(drop).ok_or_else(|| self.absent(last, span, &keys))
    }

    /// Whether the key leads to a table.
    pub(crate) fn is_table(&self, root: &mut DeTable<'_>) -> bool {
        let Ok((mut table, rest)) = self.reach(root) else { return false };
        for (key, _) in rest {
            let Some(DeValue::Table(inner)) = table.get_mut(key.as_str()).map(Spanned::get_mut) else { return false };
            table = inner;
        }
        true
    }

    fn absent(&self, key: &str, span: &Range<usize>, keys: &[String]) -> Finding {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.refuse(span, &format!("there is no `{key}` to take out"), &list(&keys), &did_you_mean(key, &keys))
    }

    /// Where the whole key stands.
    pub(crate) fn span(&self) -> Range<usize> {
        let end = self.segments.last().map_or(0, |(_, span)| span.end);
        self.segments[0].1.start..end
    }

    /// The table in which the key begins, the root or a stage, and what is left of the key there.
    fn reach<'t, 'p>(&self, root: &'t mut DeTable<'p>) -> Result<(&'t mut DeTable<'p>, &[Segment]), Finding> {
        let (first, span) = &self.segments[0];
        if *first != "stage" && !first.starts_with("stage[") {
            return Ok((root, &self.segments));
        }
        let Some(DeValue::Array(stages)) = root.get_mut("stage").map(Spanned::get_mut) else {
            return Err(self.refuse(span, "the run file has no list of stages", "", "add a [[stage]]"));
        };
        let (idx, n_used) = self.stage(stages)?;
        match stages.get_mut(idx).map(Spanned::get_mut) {
            Some(DeValue::Table(table)) => Ok((table, &self.segments[n_used..])),
            _ => Err(self.refuse(span, "a stage is not a table", "", "write [[stage]]")),
        }
    }

    /// The number of the stage meant, and how many parts of the key it takes to say so.
    fn stage(&self, stages: &[Spanned<DeValue<'_>>]) -> Result<(usize, usize), Finding> {
        let names: Vec<&str> = stages.iter().map(|stage| stage_name(stage.get_ref())).collect();
        let (head, head_span) = &self.segments[0];
        if let Some(idx) = head.strip_prefix("stage[") {
            let idx = idx.strip_suffix(']').and_then(|idx| idx.parse().ok()).filter(|&idx: &usize| idx < names.len());
            let last = names.len().saturating_sub(1);
            let refuse = || {
                self.refuse(
                    head_span,
                    &format!("there is no {head}"),
                    &format!("expected stage[0] to stage[{last}]"),
                    "",
                )
            };
            return idx.map(|idx| (idx, 1)).ok_or_else(refuse);
        }
        let (second, span) = self.segments.get(1).map_or(("", head_span), |(name, span)| (name.as_str(), span));
        let named = names.iter().position(|name| *name == second && self.segments.len() > 2);
        match named.filter(|&idx| names.len() > 1 || !has_key(stages[idx].get_ref(), second)) {
            Some(idx) => Ok((idx, 2)),
            None if names.len() == 1 => Ok((0, 1)),
            None => {
                let title = format!("the run has {} stages, and `{second}` is none of them", names.len());
                let help = "write stage.NAME.key=value, or stage[0].key=value";
                let mut finding = self.refuse(span, &title, &list(&names), help);
                finding.help.insert(0, did_you_mean(second, &names));
                Err(finding)
            }
        }
    }

    /// Puts `value` at `path` inside of `table`, with the tables on the way to it.
    fn insert<'p>(
        &self,
        table: &mut DeTable<'p>,
        path: &[Segment],
        value: Spanned<DeValue<'p>>,
    ) -> Result<(), Finding> {
        let Some(((key, span), rest)) = path.split_first() else {
            return Err(self.refuse(&self.span(), "a table cannot be set as a whole", "expected a key after it", ""));
        };
        if key.is_empty() {
            let span = span.start..span.end.max(span.start + 1);
            return Err(self.refuse(&span, "a part of the key is empty", "expected a name", ""));
        }
        if rest.is_empty() {
            // Taken out first: inserting alone would keep the old key and with it the old place.
            table.remove(key.as_str());
            table.insert(Spanned::new(span.clone(), key.clone().into()), value);
            return Ok(());
        }
        if !table.contains_key(key.as_str()) {
            let empty = Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            table.insert(Spanned::new(span.clone(), key.clone().into()), empty);
        }
        match table.get_mut(key.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => self.insert(inner, rest, value),
            _ => Err(self.refuse(span, &format!("`{key}` is not a table"), "has no keys inside of it", "")),
        }
    }

    fn refuse(&self, span: &Range<usize>, title: &str, label: &str, help: &str) -> Finding {
        let title = format!("{}: {title}", self.asker);
        Finding { title, span: Some(span.clone()), label: label.to_owned(), help: vec![help.to_owned()] }
    }
}

fn names(table: &DeTable<'_>) -> Vec<String> {
    table.keys().map(|key| key.get_ref().to_string()).collect()
}

/// The name of a stage that has not been read yet: as given, or its kind.
fn stage_name<'v>(stage: &'v DeValue<'_>) -> &'v str {
    let text = |key| stage.get(key).and_then(|value| value.get_ref().as_str());
    text("name").or_else(|| text("kind")).unwrap_or_default()
}

/// Whether stages of this kind have the key, which then is not taken for the stage's name.
fn has_key(stage: &DeValue<'_>, key: &str) -> bool {
    let kind = stage.get("kind").and_then(|kind| kind.get_ref().as_str()).and_then(StageKind::of);
    kind.is_some_and(|kind| kind.schema().entries().iter().any(|(name, _)| *name == key))
}
