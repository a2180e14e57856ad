//! `grpo-train eval`: how a model does on a file of problems, without a run file.

use std::collections::BTreeMap;

use rewards::Problem;
use rollout::random::Stream;
use rollout::{SamplingParams, Template};

use super::Failure;
use crate::cli::EvalArgs;
use crate::config::{Rewards, rewards_from_arguments};
use crate::data::problem_file;
use crate::evaluation::{Asked, Label, Measures, Results, SetResult};
use crate::judges::Judges;
use crate::machine;
use crate::run::atomic;
use crate::stages::{Candidate, Examiner, Model, judges_of, scores_beside};

/// Sequences decoded at once.
const MAX_BATCH: usize = 256;

/// Samples every problem, judges the answers, and prints the table; with `--output` writes the figures.
///
/// A completion is a pure function of the model, its problem's place in the file, the seed, and the number of the sample.
///
/// # Errors
/// If the model, a problem or a reward cannot be used, or the output cannot be written.
pub fn eval(args: &EvalArgs) -> Result<(), Failure> {
    machine::set_threads(args.model.threads);
    if let Some(wrong) = args.pass_at.iter().find(|&&k| k > args.n) {
        let n = args.n;
        return Err(Failure::usage(format!("--pass-at {wrong} cannot be estimated from {n} completions: raise --n")));
    }
    if let Some(output) = &args.output {
        atomic::check_writable(output).map_err(Failure::usage)?;
    }
    let (rewards, judges, problems) = problems(args)?;
    let device = machine::device(args.model.device).map_err(Failure::usage)?;
    let dtype = machine::dtype(args.model.dtype);
    let model = Model::load(&args.model.model, dtype, device).map_err(Failure::usage)?;
    judges.load_models(dtype, device).map_err(Failure::usage)?;
    let params = SamplingParams {
        temperature: args.temperature,
        top_p: args.top_p,
        max_tokens: args.max_tokens as usize,
        stop_token_ids: model.policy.config().eos_token_ids.clone(),
        stop_strings: args.stop.clone(),
        ..SamplingParams::default()
    };
    let model_name = args.model.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let candidate = Candidate {
        name: &model_name,
        policy: &model.policy,
        tokenizer: &model.tokenizer,
        template: if args.no_template { &Template::None } else { &Template::R1Zero },
        max_batch: MAX_BATCH,
    };
    let stream = |problem: usize, sample: usize| Stream::new(args.seed, &[problem as u64, sample as u64]);
    let groups = candidate.ask(&problems, args.n as usize, &params, stream, None).map_err(Failure::usage)?;
    let scores = scores_beside(&rewards, &judges);
    let examiner =
        Examiner { judges: &judges, tokenizer: &model.tokenizer, closing: "</think>", scores: &scores, win_by: None };
    let samples = examiner.judge(&problems, &groups).map_err(Failure::run)?;
    let labels = |problem: &Problem| -> BTreeMap<Label, String> {
        Label::ALL.into_iter().filter_map(|label| Some((label, label.of(problem)?))).collect()
    };
    let asked: Vec<Asked> = problems
        .iter()
        .zip(samples)
        .map(|(problem, samples)| Asked { labels: labels(problem), samples, greedy: None })
        .collect();
    let pass_at = args.pass_at.iter().map(|&k| k as usize).collect();
    let measures = Measures { pass_at, consensus: args.consensus };
    let name = |path: &std::path::Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let result = SetResult::new(&model_name, &name(&args.problems), &asked, &measures, Vec::new());
    let results = Results { stage: "eval".to_owned(), models: vec![model_name], results: vec![result] };
    print!("{}", results.markdown());
    if let Some(output) = &args.output {
        let json = serde_json::to_string_pretty(&results).expect("numbers and texts serialise");
        atomic::write_file(output, (json + "\n").as_bytes())?;
    }
    Ok(())
}

/// The problems that are asked, and what judges the answers.
fn problems(args: &EvalArgs) -> Result<(Rewards, Judges, Vec<Problem>), Failure> {
    let rewards = match args.reward.is_empty() {
        true => Rewards::default(),
        false => rewards_from_arguments(&args.reward).map_err(|error| Failure::usage(error.render(false)))?,
    };
    let judges = judges_of(&rewards, &args.problems, None).map_err(Failure::usage)?;
    let mut problems = problem_file::read(&args.problems, judges.rubric()).map_err(Failure::usage)?;
    if args.max_problems > 0 {
        problems.truncate(args.max_problems as usize);
    }
    Ok((rewards, judges, problems))
}
