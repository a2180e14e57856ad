//! `--set key=value`: puts values into a run file as if they stood there, so that the same checks see them.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Finding;
use super::messages::{did_you_mean, list};
use super::stage::StageKind;

/// A part of a key, and where it stands.
type Segment<'i> = (&'i str, Range<usize>);

/// One `--set` argument on its way into the document.
pub(crate) struct Override<'i> {
    argument: &'i str,
    /// Where the argument begins in the numbering that all sources share.
    start: usize,
    /// Where its `=` stands in it.
    equals: usize,
}

impl<'i> Override<'i> {
    /// Splits `key=value`.
    pub(crate) fn parse(argument: &'i str, start: usize) -> Result<Self, Finding> {
        let equals = argument.find('=').filter(|&at| !argument[..at].trim().is_empty());
        let equals = equals.ok_or_else(|| Finding {
            title: format!("`--set {argument}` sets nothing"),
            span: Some(start..start + argument.len().max(1)),
            label: "expected key=value".to_owned(),
            help: vec!["for example --set run.seed=2, or --set stage.rollout.group_size=8".to_owned()],
        })?;
        Ok(Self { argument, start, equals })
    }

    /// A document of one key `v` whose value stands where it stands in the argument.
    pub(crate) fn padded(&self) -> String {
        let value_at = self.start + self.equals + 1;
        format!("{}v={}", " ".repeat(value_at - 2), &self.argument[self.equals + 1..])
    }

    /// The value: TOML, or a word without quotes.
    pub(crate) fn value<'p>(&self, padded: &'p str) -> Result<Spanned<DeValue<'p>>, Finding> {
        let text = self.argument[self.equals + 1..].trim();
        let error = match DeTable::parse(padded) {
            _ if text.is_empty() => "expected a value".to_owned(),
            Ok(table) if table.get_ref().len() == 1 => {
                return Ok(table.into_inner().remove("v").expect("the one key is called v"));
            }
            Ok(_) => "expected one value".to_owned(),
            Err(error) => error.message().to_owned(),
        };
        let span = self.start + self.equals + 1..self.start + self.argument.len();
        if !text.is_empty() && !text.starts_with(['"', '\'', '[', '{']) && !text.contains('\n') {
            return Ok(Spanned::new(span, DeValue::String(text.to_owned().into())));
        }
        let span = if span.is_empty() { self.start + self.equals..span.end } else { span };
        let help = vec!["a value is written as in the run file; a word needs no quotes".to_owned()];
        Err(Finding { title: format!("`--set {}` has no value", self.argument), span: Some(span), label: error, help })
    }

    /// The key, cut at its dots, each part with its place.
    fn segments(&self) -> Vec<Segment<'i>> {
        let mut at = self.start;
        let segments = self.argument[..self.equals].split('.').map(|part| {
            let span = at..at + part.len();
            at += part.len() + 1;
            (part.trim(), span)
        });
        segments.collect()
    }

    /// Puts `value` at its key.
    pub(crate) fn apply<'p>(&self, root: &mut DeTable<'p>, value: Spanned<DeValue<'p>>) -> Result<(), Finding> {
        let segments = self.segments();
        let (first, span) = &segments[0];
        if *first != "stage" && !first.starts_with("stage[") {
            return self.insert(root, &segments, value);
        }
        let Some(DeValue::Array(stages)) = root.get_mut("stage").map(Spanned::get_mut) else {
            return Err(self.refuse(span, "the run file has no list of stages", "", "add a [[stage]]"));
        };
        let (idx, n_used) = self.stage(stages, &segments)?;
        match stages.get_mut(idx).map(Spanned::get_mut) {
            Some(DeValue::Table(table)) => self.insert(table, &segments[n_used..], value),
            _ => Err(self.refuse(span, "a stage is not a table", "", "write [[stage]]")),
        }
    }

    /// The number of the stage meant, and how many parts of the key it takes to say so.
    fn stage(&self, stages: &[Spanned<DeValue<'_>>], segments: &[Segment<'i>]) -> Result<(usize, usize), Finding> {
        let names: Vec<&str> = stages.iter().map(|stage| stage_name(stage.get_ref())).collect();
        let (head, head_span) = &segments[0];
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
        let (second, span) = segments.get(1).map_or(("", head_span), |(name, span)| (*name, span));
        let named = names.iter().position(|name| *name == second && segments.len() > 2);
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
        path: &[Segment<'i>],
        value: Spanned<DeValue<'p>>,
    ) -> Result<(), Finding> {
        let Some(((key, span), rest)) = path.split_first() else {
            let span = self.start..self.start + self.equals;
            return Err(self.refuse(&span, "a table cannot be set as a whole", "expected a key after it", ""));
        };
        if key.is_empty() {
            let span = span.start..span.end.max(span.start + 1);
            return Err(self.refuse(&span, "a part of the key is empty", "expected a name", ""));
        }
        if rest.is_empty() {
            // Taken out first: inserting alone would keep the old key and with it the old place.
            table.remove(*key);
            table.insert(Spanned::new(span.clone(), (*key).to_owned().into()), value);
            return Ok(());
        }
        if !table.contains_key(*key) {
            let empty = Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            table.insert(Spanned::new(span.clone(), (*key).to_owned().into()), empty);
        }
        match table.get_mut(*key).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => self.insert(inner, rest, value),
            _ => Err(self.refuse(span, &format!("`{key}` is not a table"), "has no keys inside of it", "")),
        }
    }

    fn refuse(&self, span: &Range<usize>, title: &str, label: &str, help: &str) -> Finding {
        let title = format!("`--set {}`: {title}", self.argument);
        Finding { title, span: Some(span.clone()), label: label.to_owned(), help: vec![help.to_owned()] }
    }
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
