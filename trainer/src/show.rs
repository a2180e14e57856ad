//! `grpo-train show`: the completions of a step, readably, where the time of all steps went, and what the doctor said.

use std::collections::HashSet;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use console::{Style, Term, measure_text_width};

use crate::doctor::DoctorRow;
use crate::run::completions::{self, CompletionRow, LeftOut};
use crate::run::directory::completions_file;
use crate::run::{FileError, LineError, StepRow, lines};
use crate::telemetry::format::printable;
use crate::telemetry::{MetricsRow, TimeTable};

/// How much of a step is shown, from its end, in characters.
const STEP_CHARS: usize = 20;

/// What to show.
#[derive(Debug, Clone)]
pub struct ShowOptions {
    /// The run folder.
    pub run: PathBuf,
    /// The stage; may be left out if only one has completions.
    pub stage: Option<String>,
    /// The step.
    pub step: u64,
    /// The order; by group and row if left out.
    pub sort: Option<SortKey>,
    /// How many completions; all if left out.
    pub limit: Option<usize>,
}

/// An order of completions, each highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SortKey {
    /// By reward; those without one last.
    Reward,
    /// By advantage.
    Advantage,
    /// By length.
    Tokens,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Columns of a line.
    pub width: usize,
    /// Whether to use colours.
    pub colours: bool,
}

impl Look {
    /// For standard output: the terminal's width, and colours there unless `NO_COLOR` is set; 100 columns elsewhere.
    pub fn detect() -> Look {
        let terminal = io::stdout().is_terminal();
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = Term::stdout().size_checked().filter(|_| terminal).map_or(100, |(_, columns)| usize::from(columns));
        Look { width: width.clamp(40, 160), colours: terminal && !no_color }
    }
}

/// Why nothing can be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// There is no such folder.
    #[error("{}: no such run folder", path.display())]
    NoRun {
        /// As it was given.
        path: PathBuf,
    },
    /// The folder has no completions.
    #[error("{}: no completions in this folder (a run writes them to completions/STAGE)", path.display())]
    NoCompletions {
        /// The folder.
        path: PathBuf,
    },
    /// The stage does not exist or was not said.
    #[error("{}: {what}; there are: {}", path.display(), stages.join(", "))]
    Stage {
        /// The folder.
        path: PathBuf,
        /// What is wrong, as a phrase.
        what: String,
        /// Those that could be asked for.
        stages: Vec<String>,
    },
    /// The step does not exist.
    #[error("{}: stage {stage} has no completions of step {step}; there are steps {}", path.display(), ranges(steps))]
    Step {
        /// The folder.
        path: PathBuf,
        /// The stage.
        stage: String,
        /// The step asked for.
        step: u64,
        /// Those that could be asked for, ascending.
        steps: Vec<u64>,
    },
    /// No row says where its time went.
    #[error("{}: no times in this folder (a run writes them to metrics.jsonl, step by step)", path.display())]
    NoTimes {
        /// The folder.
        path: PathBuf,
    },
    /// A row is malformed or cannot be read.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The output failed.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
}

impl ShowError {
    /// Whether the command line asked for something that is not there (exit code 2), rather than a failure (1).
    pub fn is_usage(&self) -> bool {
        use ShowError::{NoCompletions, NoRun, NoTimes, Stage, Step};
        matches!(self, NoRun { .. } | NoCompletions { .. } | NoTimes { .. } | Stage { .. } | Step { .. })
    }
}

/// Prints the completions to `out`. A reader that closes the pipe early (`| head`) is no error.
///
/// # Errors
/// See [`ShowError`].
pub fn show(options: &ShowOptions, look: Look, out: impl Write) -> Result<(), ShowError> {
    let stage = choose_stage(options)?;
    if !completions_file(&options.run, &stage, options.step).exists() {
        let steps = completions::steps(&options.run, &stage)?;
        return Err(ShowError::Step { path: options.run.clone(), stage, step: options.step, steps });
    }
    let mut rows = completions::read(&options.run, &stage, options.step)?;
    let n_rows = rows.len();
    sort(&mut rows, options.sort);
    rows.truncate(options.limit.unwrap_or(usize::MAX));
    let mut printer = Printer { out: BufWriter::new(out), look };
    let head = format!("{}  stage {stage}  step {}", options.run.display(), options.step);
    match printer.listing(&head, n_rows, &rows).and_then(|()| printer.out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ShowError::Output(error)),
        _ => Ok(()),
    }
}

/// Prints where the time of a run went, or that of one stage of it, and what the doctor said. A reader that closes the pipe early is no error.
///
/// # Errors
/// See [`ShowError`].
pub fn show_times(run: &Path, stage: Option<&str>, mut out: impl Write) -> Result<(), ShowError> {
    let path = || run.to_path_buf();
    if !run.is_dir() {
        return Err(ShowError::NoRun { path: path() });
    }
    let metrics: Vec<MetricsRow> = lines::read(&run.join("metrics.jsonl"))?;
    let tables = TimeTable::of(&metrics);
    if tables.is_empty() {
        return Err(ShowError::NoTimes { path: path() });
    }
    let chosen: Vec<&TimeTable> =
        tables.iter().filter(|table| stage.is_none_or(|stage| table.stage() == stage)).collect();
    if let (Some(stage), []) = (stage, chosen.as_slice()) {
        let stages = tables.iter().map(|table| table.stage().to_owned()).collect();
        return Err(ShowError::Stage { path: path(), what: format!("no times of stage `{stage}`"), stages });
    }
    let texts = chosen.iter().map(|table| format!("{}  stage {}\n{}\n", run.display(), table.stage(), table.text()));
    let said: Vec<DoctorRow> = lines::read(&run.join("doctor.jsonl"))?;
    let said = said.iter().filter(|row| stage.is_none_or(|stage| row.stage == stage)).map(|row| format!("{row}\n"));
    let text: Vec<String> = texts.chain(said).collect();
    match out.write_all(text.join("\n").as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(ShowError::Output(error)),
        _ => Ok(()),
    }
}

fn choose_stage(options: &ShowOptions) -> Result<String, ShowError> {
    let path = || options.run.clone();
    if !Path::new(&options.run).is_dir() {
        return Err(ShowError::NoRun { path: path() });
    }
    let mut stages = completions::stages(&options.run)?;
    match &options.stage {
        _ if stages.is_empty() => Err(ShowError::NoCompletions { path: path() }),
        Some(stage) if stages.contains(stage) => Ok(stage.clone()),
        Some(stage) => Err(ShowError::Stage { path: path(), what: format!("no stage `{stage}`"), stages }),
        None if stages.len() == 1 => Ok(stages.remove(0)),
        None => Err(ShowError::Stage { path: path(), what: "say which stage with --stage".to_owned(), stages }),
    }
}

fn sort(rows: &mut [CompletionRow], key: Option<SortKey>) {
    rows.sort_by(|a, b| match key {
        None => (a.group, a.row).cmp(&(b.group, b.row)),
        Some(SortKey::Reward) => {
            let reward = |row: &CompletionRow| row.reward.unwrap_or(f32::NEG_INFINITY);
            reward(b).total_cmp(&reward(a))
        }
        Some(SortKey::Advantage) => b.advantage.total_cmp(&a.advantage),
        Some(SortKey::Tokens) => b.n_tokens.cmp(&a.n_tokens),
    });
}

/// Ascending numbers with runs drawn together: `1-3, 7`.
fn ranges(steps: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for step in steps {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *step => *last = *step,
            _ => runs.push((*step, *step)),
        }
    }
    let show = |(first, last): &(u64, u64)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    runs.iter().map(show).collect::<Vec<_>>().join(", ")
}

struct Printer<W: Write> {
    out: BufWriter<W>,
    look: Look,
}

impl<W: Write> Printer<W> {
    fn listing(&mut self, head: &str, n_rows: usize, rows: &[CompletionRow]) -> io::Result<()> {
        let bold = self.style().bold();
        let count = if rows.len() == n_rows { format!("{n_rows}") } else { format!("{} of {n_rows}", rows.len()) };
        writeln!(self.out, "{}", bold.apply_to(format!("{}  {count} completions", printable(head))))?;
        let same_prompt = rows.windows(2).all(|pair| pair[0].prompt == pair[1].prompt);
        let mut shown = HashSet::new();
        for row in rows {
            if shown.insert(row.group) && (shown.len() == 1 || !same_prompt) {
                let dim = self.style().dim();
                let of = if same_prompt && rows.iter().any(|other| other.group != row.group) {
                    "prompt of all groups".to_owned()
                } else {
                    format!("prompt of group {}  {}", row.group, printable(&row.problem_id))
                };
                writeln!(self.out, "\n{}", dim.apply_to(of))?;
                self.indented(&row.prompt, "  ", &dim)?;
            }
            self.completion(row)?;
        }
        Ok(())
    }

    fn completion(&mut self, row: &CompletionRow) -> io::Result<()> {
        let (style, bold) = (self.style(), self.style().bold());
        let advantage = match row.advantage {
            above if above > 0.0 => style.clone().green(),
            below if below < 0.0 => style.clone().red(),
            _ => style.clone().dim(),
        };
        writeln!(
            self.out,
            "\n{}  {}  {}  {} tokens{}  {}{}",
            bold.clone().cyan().apply_to(format!("group {} row {}", row.group, row.row)),
            bold.apply_to(format!("reward {}", row.reward.map_or("none".to_owned(), |reward| format!("{reward:.3}")))),
            advantage.apply_to(format!("advantage {:+.3}", row.advantage)),
            row.n_tokens,
            put_in(&row.forced),
            printable(&row.stop_reason),
            match row.left_out {
                None => "",
                Some(LeftOut::NotMixed) => "  left out: not mixed",
                Some(LeftOut::Surplus) => "  left out: surplus",
            },
        )?;
        for (name, component) in &row.components {
            let score = component.score.map_or("n/a".to_owned(), |score| format!("{score:.3}"));
            let found = component.extracted.as_ref().map_or(String::new(), |found| format!("  found: {found}"));
            let line = format!("{name} {score}  {} [{}]{found}", component.reason, component.rule);
            // What was found can be as long as the completion itself; one line of it tells which it is.
            let line = shorten(&printable(&line).replace('\n', " "), self.look.width - 4);
            writeln!(self.out, "    {}", style.clone().yellow().apply_to(line))?;
            if !component.steps.is_empty() {
                let line = shorten(&steps_in_words(&component.steps, &row.text), self.look.width - 6);
                writeln!(self.out, "      {}", style.clone().dim().apply_to(line))?;
            }
        }
        self.indented(&row.text, "  │ ", &style)
    }

    /// Wraps `text` and puts `margin` before each line.
    fn indented(&mut self, text: &str, margin: &str, style: &Style) -> io::Result<()> {
        let width = self.look.width.saturating_sub(measure_text_width(margin)).max(20);
        for line in wrap(&printable(text), width) {
            writeln!(self.out, "{}", style.apply_to(format!("{margin}{line}")).to_string().trim_end())?;
        }
        Ok(())
    }

    fn style(&self) -> Style {
        // Not left to the crate to detect: this output need not be the process's standard output.
        Style::new().force_styling(self.look.colours)
    }
}

/// The score of each step behind its last words.
fn steps_in_words(steps: &[StepRow], text: &str) -> String {
    let (mut rest, mut n_characters) = (text.chars(), 0);
    let in_words = |step: &StepRow| {
        let words: Vec<char> = rest.by_ref().take(step.end.saturating_sub(n_characters)).collect();
        n_characters = step.end;
        let from = words.len().saturating_sub(STEP_CHARS);
        let cut = if from > 0 { "…" } else { "" };
        let words: String = words[from..].iter().collect();
        format!("{cut}{}: {:.3}", printable(words.trim()).replace('\n', " "), step.score)
    };
    format!("steps  {}", steps.iter().map(in_words).collect::<Vec<_>>().join("  "))
}

/// Lines of at most `width` columns, broken at spaces where there are some; line ends in `text` stay.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let (mut line, mut columns) = (String::new(), 0);
        for word in paragraph.split_inclusive(' ') {
            let word_columns = measure_text_width(word.trim_end());
            if columns > 0 && columns + word_columns > width {
                lines.push(std::mem::take(&mut line));
                columns = 0;
            }
            for c in word.chars() {
                let c_columns = measure_text_width(c.encode_utf8(&mut [0; 4]));
                // A word longer than a line is cut; spaces at the end of a line may hang over.
                if columns + c_columns > width && c != ' ' {
                    lines.push(std::mem::take(&mut line));
                    columns = 0;
                }
                line.push(c);
                columns += c_columns;
            }
        }
        lines.push(line);
    }
    lines.iter_mut().for_each(|line| line.truncate(line.trim_end().len()));
    lines
}

/// `text` in at most `width` columns, the end replaced by `…` where it is longer.
fn shorten(text: &str, width: usize) -> String {
    console::truncate_str(text, width, "…").into_owned()
}

/// The runs of tokens that were put in: from 1, both ends included, as people count.
fn put_in(runs: &[[usize; 2]]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let runs: Vec<String> = runs.iter().map(|[from, to]| format!("{} to {to}", from + 1)).collect();
    format!(" ({} put in)", runs.join(", "))
}

#[cfg(test)]
#[path = "show_tests.rs"]
mod tests;
