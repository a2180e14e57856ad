//! What is wrong with a run file, shown as rustc shows it: file, line, column, the text with a caret, and a remedy.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// A text that settings came from: the run file, or one `--set` argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// What stands before `:line:column`.
    pub(crate) name: String,
    /// The text itself.
    pub(crate) text: String,
    /// Where the text begins in the numbering that all sources share.
    pub(crate) start: usize,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The headline: subject first, lower case.
    pub(crate) title: String,
    /// Bytes in the numbering that all sources share; none if the fault has no place in a text.
    pub(crate) span: Option<Range<usize>>,
    /// What was expected there.
    pub(crate) label: String,
    /// Remedies and reasons.
    pub(crate) help: Vec<String>,
}

impl Finding {
    /// A fault that has no place in a text, such as a file that cannot be read.
    pub(crate) fn without_place(title: impl Into<String>, help: impl Into<String>) -> Self {
        Self { title: title.into(), span: None, label: String::new(), help: vec![help.into()] }
    }
}

/// Everything found wrong with a run file and its `--set` arguments, in the order of the text.
///
/// The program ends with exit code 2 and prints [`ConfigError::render`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    sources: Vec<Source>,
    findings: Vec<Finding>,
}

impl ConfigError {
    pub(crate) fn new(sources: Vec<Source>, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.span.as_ref().map_or(0, |span| span.start));
        Self { sources, findings }
    }

    /// What is wrong.
    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many things are wrong.
    pub fn n_findings(&self) -> usize {
        self.findings.len()
    }

    /// The message for people: one block for each fault, with colours for a terminal if `color` is set.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let blocks: Vec<String> = self.findings.iter().map(|finding| self.render_one(&renderer, finding)).collect();
        blocks.join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, finding: &Finding) -> String {
        let place = finding.span.as_ref().and_then(|span| {
            let source = self.sources.iter().rev().find(|source| source.start <= span.start)?;
            let local = |at: usize| (at - source.start).min(source.text.len());
            Some((source, local(span.start)..local(span.end)))
        });
        let snippet = place.map(|(source, span)| {
            let label = (!finding.label.is_empty()).then_some(finding.label.as_str());
            let caret = AnnotationKind::Primary.span(span).label(label);
            Snippet::source(source.text.as_str()).path(source.name.as_str()).annotation(caret)
        });
        let help = finding.help.iter().filter(|text| !text.is_empty()).map(|text| Level::HELP.message(text.as_str()));
        let group = Level::ERROR.primary_title(finding.title.as_str()).elements(snippet).elements(help);
        renderer.render(&[group])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigError {}
