//! The end of a stage of kind `sample`: which samples become data, what is mixed into them, and the tables.

use std::path::Path;

use rollout::Tokenizer;
use serde::Serialize;
use serde_json::Value;

use super::super::asking::Asker;
use super::super::selecting::{as_row, n_tokens, n_tokens_of_row, rows, write_lines};
use super::super::{RunContext, StageError};
use super::JudgedSample;
use super::teacher::{Report, Selected, teach};
use crate::address::{self, Purpose};
use crate::config::SampleStage;
use crate::run::{atomic, lines};
use crate::selection::{Ingredient, MixCount, Mixed, Row, Sample, Screen, Statistics, mix, rounds, select};

/// The two uses of random numbers in a selection.
const CHOICE: u64 = 0;
const MIXTURE: u64 = 1;

/// Reads `samples.jsonl`, chooses, and writes what the stage makes; `data.jsonl` last.
///
/// What is chosen is computed from the file and, where another model is asked, its replies, which are kept: so a run that was cut
/// short comes to the same. Gives whether all is done, and not if the user wants to end before all was asked.
pub(super) fn finish(
    context: &mut RunContext,
    settings: &SampleStage,
    stage_idx: usize,
    screen: &Screen,
    asker: &Asker,
) -> Result<bool, StageError> {
    let tokenizer = &asker.model.tokenizer;
    let folder = context.directory.stage(&settings.name);
    let stream = |use_idx| address::stream(context.settings.run.seed, stage_idx, Purpose::Selection, &[use_idx]);
    let path = folder.join("samples.jsonl");
    let mut judged: Vec<JudgedSample> = lines::read_whole(&path)?;
    let sampled: Vec<Sample> = judged.iter().map(|row| row.sample.clone()).collect();
    let fates = select(&sampled, screen, &settings.keep, &stream(CHOICE));
    let mut selected = Selected { samples: sampled.clone(), fates };
    let Some(taught) = teach(context, settings, screen, asker, &mut selected)? else { return Ok(false) };
    let Selected { samples, fates } = selected;
    for (row, fate) in judged.iter_mut().zip(&fates) {
        row.dropped = fate.clone();
    }
    write_lines(&path, &judged)?;

    let mut written = Vec::with_capacity(samples.len());
    for sample in samples {
        let mut sample = screen.written(sample);
        if sample.n_tokens == 0 {
            sample.n_tokens = n_tokens(&sample.completion, tokenizer)?;
        }
        written.push(sample);
    }
    let stays = written.iter().zip(&fates).filter(|(_, fate)| fate.is_none());
    let (mut statistics, own): (Statistics, Vec<Row>) = match &taught.paired {
        None => (Statistics::of(&written, &fates), stays.map(|(sample, _)| as_row(sample)).collect()),
        Some(paired) => {
            let statistics = Statistics::of_pairs(&written, &fates, &paired.members);
            (statistics, paired.pairs.iter().map(as_row).collect())
        }
    };
    let mixed = mixture(own, settings, &stream(MIXTURE))?;
    for (ingredient_idx, row) in mixed.rows.iter().filter_map(|(idx, row)| idx.map(|idx| (idx, row))) {
        let domain = settings.mix[ingredient_idx].domain.as_deref().unwrap_or("none");
        let domain = row.get("domain").and_then(Value::as_str).unwrap_or(domain);
        statistics.add_row(domain, rounds(row), n_tokens_of_row(row, tokenizer)?);
    }
    context.num_tokens += sampled_tokens(&sampled, settings.samples_per_problem, tokenizer)?;
    let figures = Figures { statistics: &statistics, report: taught.report.as_ref() };
    tell(context, settings, &folder, &figures, &mixed.counts)?;
    write_lines(&context.directory.data(&settings.name), mixed.rows.iter().map(|(_, row)| row))?;
    Ok(true)
}

/// The own rows with those that the run file mixes in.
fn mixture(own: Vec<Row>, settings: &SampleStage, stream: &rollout::random::Stream) -> Result<Mixed, StageError> {
    let ingredient = |mix: &crate::config::Mix| {
        let name = mix.data.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Ingredient { name, rows: rows(&mix.data)?, fraction: mix.fraction })
    };
    let ingredients = settings.mix.iter().map(ingredient).collect::<Result<_, StageError>>()?;
    Ok(mix(own, ingredients, stream).expect("fractions are checked when the run file is read"))
}

/// Prompt and completion tokens, as `num_tokens` counts them.
fn sampled_tokens(samples: &[Sample], k: u64, tokenizer: &Tokenizer) -> Result<u64, StageError> {
    let mut n = samples.iter().map(|sample| sample.n_tokens).sum();
    for group in samples.chunks(k as usize) {
        n += tokenizer.encode(&group[0].prompt)?.len() as u64 * group.len() as u64;
    }
    Ok(n)
}

/// What `statistics.json` holds.
#[derive(Serialize)]
struct Figures<'a> {
    #[serde(flatten)]
    statistics: &'a Statistics,
    #[serde(flatten)]
    report: Option<&'a Report>,
}

/// Shows the tables and writes `table.md` and `statistics.json`.
fn tell(
    context: &RunContext,
    settings: &SampleStage,
    folder: &Path,
    figures: &Figures,
    mixed: &[MixCount],
) -> Result<(), StageError> {
    let statistics = figures.statistics;
    context.progress.say(&statistics.text());
    let mut markdown = format!("# Samples of stage {}\n\n{}", settings.name, statistics.markdown());
    for line in figures.report.into_iter().flat_map(Report::lines) {
        context.progress.say(&line);
        markdown += &format!("\n{line}\n");
    }
    for MixCount { name, n_rows, n_wanted, n_taken } in mixed {
        let is_short = n_taken < n_wanted;
        let short = if is_short { ", all there are: its fraction is smaller than asked for" } else { "" };
        let line = format!("mixed in: {n_taken} of {n_rows} rows of {name}; {n_wanted} make its fraction{short}");
        context.progress.say(&format!("{}{line}", if is_short { "warning: " } else { "" }));
        markdown += &format!("\n{line}\n");
    }
    if statistics.total().n_accepted == 0 {
        context.progress.say(&format!("warning: stage {} keeps none of its samples", settings.name));
    }
    atomic::write_file(&folder.join("table.md"), markdown.as_bytes())?;
    let json = serde_json::to_string_pretty(figures).expect("numbers by names");
    Ok(atomic::write_file(&folder.join("statistics.json"), (json + "\n").as_bytes())?)
}
