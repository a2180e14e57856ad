//! What an arm of an ablation changes in its run file: `set`, `unset`, and tables written out under it.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::error::Finding;
use super::key_path::KeyPath;
use super::messages::{did_you_mean, list};

/// The tables of a run file, which may stand written out under an arm.
const TABLES: [&str; 3] = ["run", "model", "stage"];

/// One key that an arm changes.
#[derive(Clone, Debug)]
pub(crate) struct Change<'p> {
    key: KeyPath,
    /// None takes the key out.
    value: Option<Spanned<DeValue<'p>>>,
}

impl<'p> Change<'p> {
    /// Changes the tables of a run file.
    pub(crate) fn apply(&self, root: &mut DeTable<'p>) -> Result<(), Finding> {
        match &self.value {
            None => self.key.unset(root),
            // An empty table asks for no more than to be there.
            Some(value) if is_empty_table(value.get_ref()) && self.key.is_table(root) => Ok(()),
            Some(value) => self.key.set(root, value.clone()),
        }
    }

    /// For people: `stage.grpo.kl_beta = 0.0`, `without stage.rewards.format`.
    pub(crate) fn describe(&self, document: &Document) -> String {
        match &self.value {
            None => format!("without {}", self.key),
            Some(value) if is_empty_table(value.get_ref()) => format!("[{}]", self.key),
            Some(value) => format!("{} = {}", self.key, document.text(&value.span())),
        }
    }
}

fn is_empty_table(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Table(table) if table.is_empty())
}

/// The changes that `table` asks for, what is taken out first; `others` are its keys that are no changes, and `asker` is
/// what messages call it.
///
/// Tables are merged key by key, whether they are written as `set."stage.grpo".kl_beta`, as `[arm.stage.grpo]` or inline.
pub(crate) fn changes<'p>(
    table: Option<&Spanned<DeValue<'p>>>,
    others: &[&str],
    asker: &str,
) -> Result<Vec<Change<'p>>, Finding> {
    let Some(table) = table else { return Ok(Vec::new()) };
    let DeValue::Table(keys) = table.get_ref() else {
        return Err(refuse(asker, "is not a table", table.span(), String::new(), String::new()));
    };
    let is_arm = others == ["name"];
    let (mut removed, mut set) = (Vec::new(), Vec::new());
    for (key, value) in keys {
        match key.get_ref().as_ref() {
            "unset" => removed = unset(value, asker)?,
            "set" => {
                let DeValue::Table(pairs) = value.get_ref() else {
                    let help = "for example set = { \"stage.grpo.kl_beta\" = 0.0 }".to_owned();
                    return Err(refuse(
                        asker,
                        "`set` is not a table",
                        value.span(),
                        "expected keys and values".to_owned(),
                        help,
                    ));
                };
                for (key, value) in pairs {
                    flatten(&dotted(key.get_ref(), key.span(), asker), value, &mut set);
                }
            }
            name if is_arm && TABLES.contains(&name) => {
                flatten(&KeyPath::of(name, key.span(), asker.to_owned()), value, &mut set);
            }
            name if others.contains(&name) => {}
            // The keys of [ablation] are looked at where it is read.
            _ if !is_arm => {}
            name => {
                let known = ["name", "set", "unset", "run", "model", "stage"];
                return Err(refuse(
                    asker,
                    &format!("unknown key `{name}`"),
                    key.span(),
                    list(&known),
                    did_you_mean(name, &known),
                ));
            }
        }
    }
    removed.extend(set);
    match removed.iter().find(|change: &&Change| ["run.seed", "run.dir"].contains(&change.key.to_string().as_str())) {
        None => Ok(removed),
        Some(change) => {
            let help = "the ablation says which seeds are run and where: `seeds` and `dir` of [ablation]".to_owned();
            Err(refuse(
                asker,
                &format!("`{}` cannot be changed", change.key),
                change.key.span(),
                "not here".to_owned(),
                help,
            ))
        }
    }
}

fn unset<'p>(value: &Spanned<DeValue<'p>>, asker: &str) -> Result<Vec<Change<'p>>, Finding> {
    let wrong = || {
        let help = "for example unset = [\"stage.rewards.format\"]".to_owned();
        refuse(asker, "`unset` is not a list of keys", value.span(), "expected a list of texts".to_owned(), help)
    };
    let DeValue::Array(keys) = value.get_ref() else { return Err(wrong()) };
    let key = |key: &Spanned<DeValue<'p>>| {
        let name = key.get_ref().as_str().ok_or_else(wrong)?;
        Ok(Change { key: dotted(name, key.span(), asker), value: None })
    };
    keys.iter().map(key).collect()
}

/// A key with dots in it, whose place may include its quotes.
fn dotted(name: &str, span: Range<usize>, asker: &str) -> KeyPath {
    let quotes = (span.end - span.start).saturating_sub(name.len()) / 2;
    KeyPath::parse(name, span.start + quotes, asker.to_owned())
}

fn flatten<'p>(key: &KeyPath, value: &Spanned<DeValue<'p>>, into: &mut Vec<Change<'p>>) {
    match value.get_ref() {
        DeValue::Table(table) if !table.is_empty() => {
            for (name, value) in table {
                flatten(&key.inside(name.get_ref(), name.span()), value, into);
            }
        }
        _ => into.push(Change { key: key.clone(), value: Some(value.clone()) }),
    }
}

fn refuse(asker: &str, title: &str, span: Range<usize>, label: String, help: String) -> Finding {
    Finding { title: format!("{asker}: {title}"), span: Some(span), label, help: vec![help] }
}
