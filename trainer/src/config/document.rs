//! The text of a run file with its overrides, and where in it every key stands.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Finding, Source};

/// Where every key of a run file stands, kept so that a fault found later still points at its line.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    sources: Vec<Source>,
    spans: BTreeMap<String, Range<usize>>,
}

impl Document {
    /// The run file `text`, called `name` in messages, followed by the arguments of `--set`.
    ///
    /// All sources share one numbering of bytes, so that a span alone says which text it means.
    pub(crate) fn new(name: &str, text: &str, overrides: &[String]) -> Self {
        let arguments = overrides.iter().map(|argument| ("--set", argument.as_str()));
        Self::of(std::iter::once((name, text)).chain(arguments))
    }

    /// Texts by the names that messages call them, each beginning one byte behind the end of the one before.
    pub(crate) fn of<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let (mut sources, mut start) = (Vec::new(), 0);
        for (name, text) in texts {
            sources.push(Source { name: name.to_owned(), text: text.to_owned(), start });
            start += text.len() + 1;
        }
        Self { sources, spans: BTreeMap::new() }
    }

    /// What is written at `span`, which lies in one text.
    pub(crate) fn text(&self, span: &Range<usize>) -> &str {
        let source = self.sources.iter().rev().find(|source| source.start <= span.start);
        source.and_then(|source| source.text.get(span.start - source.start..span.end - source.start)).unwrap_or("")
    }

    /// Where override number `idx` begins.
    pub(crate) fn override_start(&self, idx: usize) -> usize {
        self.sources[idx + 1].start
    }

    /// Notes where the keys of `root` stand: `run.seed`, `stage[0].rollout.group_size`.
    pub(crate) fn index(&mut self, root: &DeTable<'_>) {
        self.index_table("", root);
    }

    fn index_table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let path = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            self.index_value(path, value);
        }
    }

    fn index_value(&mut self, path: String, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.index_table(&path, table),
            DeValue::Array(values) => {
                for (idx, value) in values.iter().enumerate() {
                    self.index_value(format!("{path}[{idx}]"), value);
                }
            }
            _ => {}
        }
        self.spans.insert(path, value.span());
    }

    /// Whether the key is written, and not left to its default.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.spans.contains_key(path)
    }

    /// Where the key stands, or else the nearest table around it; none if not even that is written.
    pub(crate) fn locate(&self, path: &str) -> Option<Range<usize>> {
        let mut path = path;
        loop {
            if let Some(span) = self.spans.get(path) {
                return Some(span.clone());
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// The path of the key whose value, or whose table, stands at `span`.
    pub(crate) fn path_at(&self, span: &Range<usize>) -> Option<&str> {
        // The list `stage` and its first table begin together: the longer path says more.
        let here = self.spans.iter().filter(|(_, place)| *place == span);
        here.map(|(path, _)| path.as_str()).max_by_key(|path| path.len())
    }

    /// The error that consists of `findings` about this text.
    pub(crate) fn error(&self, findings: Vec<Finding>) -> ConfigError {
        ConfigError::new(self.sources.clone(), findings)
    }
}
