//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use grpo_train::cli::{Cli, Command, ShowArgs};
use grpo_train::commands::{self, Ended, Failure};
use grpo_train::show::{Look, ShowOptions, show, show_times};

fn main() -> ExitCode {
    let cli = Cli::parse();
    std::panic::set_hook(Box::new(|panic| {
        // libtorch's errors carry a page of C++ addresses behind their first line.
        let text = panic.to_string();
        let text = text.split("\\nException raised from").next().unwrap_or_default();
        eprintln!(
            "error: {text}\n(if memory ran out: lower stage.grpo.micro_batch_tokens or stage.rollout.max_batch and go on with --resume)"
        );
    }));
    let result = std::panic::catch_unwind(|| run(&cli))
        .unwrap_or_else(|_| Err(Failure::run("the run failed in the place above; the last checkpoint is intact")));
    match result {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Stopped) => ExitCode::from(130),
        Err(failure) => {
            let text = failure.to_string();
            // A run file's faults come rendered, with their own heading.
            let heading = if text.trim_start_matches(|c: char| !c.is_ascii_alphabetic()).starts_with("error") {
                ""
            } else {
                "error: "
            };
            eprintln!("{heading}{}", text.trim_end());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Result<Ended, Failure> {
    let done = |result: Result<(), Failure>| result.map(|()| Ended::Done);
    match &cli.command {
        Some(Command::Show(args)) => done(show_run(args)),
        Some(Command::Score(args)) => done(commands::score(args)),
        Some(Command::RewardTest(args)) => done(commands::reward_test(args)),
        Some(Command::Problems(args)) => done(commands::problems(args)),
        Some(Command::Instructions(args)) => done(commands::instructions(args)),
        None => on_libtorch(|| commands::train(&cli.run)),
        Some(Command::Ablate(args)) => on_libtorch(|| commands::ablate(args)),
        Some(Command::Logprobs(args)) => on_libtorch(|| done(commands::logprobs(args))),
        Some(Command::Scores(args)) => on_libtorch(|| done(commands::scores(args))),
        Some(Command::Bench(args)) => on_libtorch(|| done(commands::bench(args))),
        Some(Command::Eval(args)) => on_libtorch(|| done(commands::eval(args))),
        Some(Command::Sample(args)) => on_libtorch(|| done(commands::sample(args))),
    }
}

/// Runs what computes. CUDA is looked for before anything asks libtorch a question; see there.
fn on_libtorch<T>(command: impl FnOnce() -> T) -> T {
    // Where it is missing, the CPU serves; a run that asks for a GPU is told why there is none.
    let _ = shim::cuda::load();
    grpo_train::machine::keep_freed_memory();
    command()
}

fn show_run(args: &ShowArgs) -> Result<(), Failure> {
    let out = std::io::stdout().lock();
    let result = match args.step {
        Some(step) => {
            let ShowArgs { run, stage, sort, limit, .. } = args.clone();
            show(&ShowOptions { run, stage, step, sort, limit }, Look::detect(), out)
        }
        None => show_times(&args.run, args.stage.as_deref(), out),
    };
    result.map_err(|error| if error.is_usage() { Failure::usage(error) } else { Failure::run(error) })
}
