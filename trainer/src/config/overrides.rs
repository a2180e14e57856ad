//! `--set key=value`: puts values into a run file as if they stood there, so that the same checks see them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Finding;
use super::key_path::KeyPath;

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

    /// Puts `value` at its key.
    pub(crate) fn apply<'p>(&self, root: &mut DeTable<'p>, value: Spanned<DeValue<'p>>) -> Result<(), Finding> {
        let asker = format!("`--set {}`", self.argument);
        KeyPath::parse(&self.argument[..self.equals], self.start, asker).set(root, value)
    }
}
