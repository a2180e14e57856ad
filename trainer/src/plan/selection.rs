//! What stages that choose data would do, in words: kinds `sample` and `curate`.

use llm_judge::ClientOptions;

use super::{line, problems};
use crate::config::{
    CurateStage, Decontamination, LayoutSettings, Mix, Preferences, Rewrite, SampleStage, Sampling, WrittenAs,
};
use crate::selection::{Choice, Correctness, Filters, Keep};
use crate::teacher::OnFailure;

pub(super) fn describe_sample(text: &mut String, stage: &SampleStage) {
    let k = stage.samples_per_problem;
    let n = stage.n_problems.map_or("every problem of the file".to_owned(), |n| format!("{n} problems"));
    let all = stage.n_problems.map_or(String::new(), |n| format!(" = {} samples", n.saturating_mul(k)));
    line(text, "samples", format_args!("{n} x {k}{all}, {}", sampling(&stage.sampling)));
    line(text, "batches", format_args!("{} problems are sampled, judged and written at a time", stage.batch_problems));
    line(text, "problems", problems(&stage.problems));
    line(text, "reward", stage.rewards.in_words());
    describe_filters(text, &stage.filters, stage.decontamination.as_ref(), &stage.layout);
    line(text, "keeps", keeps(&stage.keep));
    if let Some(table) = &stage.rewrite {
        describe_rewrite(text, table);
    }
    if let Some(table) = &stage.preferences {
        describe_preferences(text, table, stage.n_problems);
    }
    for Mix { data, fraction, .. } in &stage.mix {
        line(text, "mixes in", format_args!("{data}, {fraction} of all rows"));
    }
}

fn describe_rewrite(text: &mut String, table: &Rewrite) {
    let ClientOptions { model, base_url, .. } = &table.server;
    let otherwise = match table.on_failure {
        OnFailure::Keep => "stays as it is",
        OnFailure::Drop => "is dropped",
    };
    line(text, "rewrites", format_args!("what is kept, by {model} at {base_url}: one question for each sample"));
    line(text, "", format_args!("the new form passes the filters and is right, or the sample {otherwise}"));
}

fn describe_preferences(text: &mut String, table: &Preferences, n_problems: Option<u64>) {
    let (votes, ClientOptions { model, base_url, .. }) = (table.votes, &table.server);
    line(text, "pairs", format_args!("of what is kept, by {votes} votes of {model} at {base_url} on each"));
    let n = table.pairs_per_problem as u64;
    let asked = n_problems.map(|problems| problems.saturating_mul(n).saturating_mul(votes.into()));
    let asked = asked.map_or(String::new(), |asked| format!(", so {asked} questions at most"));
    let balanced = if table.balance_lengths { ", the longer chosen as often as rejected" } else { "" };
    let difference = table.min_difference;
    line(
        text,
        "",
        format_args!("difference above {difference}; {n} of a problem are compared at most{asked}{balanced}"),
    );
}

pub(super) fn describe_curate(text: &mut String, stage: &CurateStage) {
    let data: Vec<String> = stage.data.iter().map(ToString::to_string).collect();
    line(text, "rows", data.join(", "));
    describe_filters(text, &stage.filters, stage.decontamination.as_ref(), &stage.layout);
    for model in &stage.difficulty {
        let often = match model.max_pass_rate {
            0.0 => "ever solves".to_owned(),
            rate => format!("solves in more than {rate} of its samples"),
        };
        let how = format!("what {} {often} is dropped; {} samples each", model.model, model.samples_per_problem);
        line(text, "difficulty", format_args!("{how}, {}", sampling(&stage.sampling)));
    }
    if !stage.difficulty.is_empty() {
        line(text, "reward", stage.rewards.in_words());
    }
    line(text, "diversity", format_args!("{} rows, domain by domain, long ones first", stage.n));
}

fn sampling(sampling: &Sampling) -> String {
    format!("temperature {}, {} tokens at most", sampling.temperature, sampling.max_tokens)
}

fn keeps(keep: &Keep) -> String {
    let what = match keep.choice {
        Choice::AllCorrect => "every right sample",
        Choice::BestOfK => "the samples with the highest reward",
        Choice::ShortestCorrect => "the shortest right samples",
    };
    let default = (keep.choice != Choice::AllCorrect).then_some(1);
    let per_problem = keep.per_problem.or(default).map(|n| format!(", {n} of a problem at most"));
    let total = keep.total.map(|n| format!(", {n} in all at most"));
    format!("{what}{}{}", per_problem.unwrap_or_default(), total.unwrap_or_default())
}

fn describe_filters(
    text: &mut String,
    filters: &Filters,
    decontamination: Option<&Decontamination>,
    layout: &LayoutSettings,
) {
    line(text, "drops", dropped(filters).join(", "));
    if let Some(Decontamination { files, ngram_size, .. }) = decontamination {
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        line(text, "", format_args!("what shares {ngram_size} words in a row with {}", files.join(", ")));
    }
    match layout.written {
        WrittenAs::AsSampled => {}
        WrittenAs::ThinkAnswer => line(text, "writes", "<think>..</think> <answer>..</answer>"),
        WrittenAs::SpecialToken => {
            line(text, "writes", format_args!("{0}reasoning{0}summary", layout.special_token));
        }
    }
}

/// What is filtered out, in the order in which it is looked for.
fn dropped(filters: &Filters) -> Vec<String> {
    let mut drops = Vec::new();
    let mut add = |is_on: bool, what: String| drops.extend(is_on.then_some(what));
    add(filters.correct != Correctness::Ignored, "wrong answers".to_owned());
    add(filters.correct == Correctness::Required, "answers that are not judged".to_owned());
    add(!filters.truncated, "what is cut off".to_owned());
    add(filters.min_tokens > 0, format!("less than {} tokens", filters.min_tokens));
    let mut at_most = |limit: Option<u64>, unit: &str| drops.extend(limit.map(|max| format!("more than {max} {unit}")));
    at_most(filters.max_tokens, "tokens");
    at_most(filters.max_loop, "times the same in succession");
    at_most(filters.max_paragraph_words, "words in a paragraph");
    at_most(filters.max_paragraph_letters, "letters in a paragraph");
    let mut add = |is_on: bool, what: String| drops.extend(is_on.then_some(what));
    add(filters.format, "what is not in the format".to_owned());
    add(filters.summary, "what has no summary".to_owned());
    if let Some(min) = filters.min_language {
        add(true, format!("less than {min} of the words in the language"));
    }
    if let Some(max) = filters.max_repeated_fraction {
        add(true, format!("more than {max} of {}-grams repeated", filters.repeated_ngram_size));
    }
    add(!filters.code_blocks, "blocks of code".to_owned());
    add(!filters.duplicates, "duplicates".to_owned());
    if let Some(near) = filters.near_duplicates {
        add(true, format!("near duplicates (overlap of {near})"));
    }
    if drops.is_empty() { vec!["nothing".to_owned()] } else { drops }
}
