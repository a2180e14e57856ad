//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use grpo_train::cli::{Cli, Command, ShowArgs, SortBy};
use grpo_train::commands::{self, Ended, Failure};
use grpo_train::show::{Look, ShowOptions, SortKey, show};

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
    if let Some(Command::Show(args)) = &cli.command {
        return show_step(args).map(|()| Ended::Done);
    }
    // Before anything asks libtorch a question; see there.
    grpo_train::machine::load_cuda();
    grpo_train::machine::keep_freed_memory();
    match &cli.command {
        None => commands::train(&cli.run),
        Some(Command::Logprobs(args)) => commands::logprobs(args).map(|()| Ended::Done),
        Some(Command::Sample(args)) => commands::sample(args).map(|()| Ended::Done),
        Some(Command::Problems(args)) => commands::problems(args).map(|()| Ended::Done),
        Some(Command::Show(_)) => unreachable!("shown above"),
    }
}

fn show_step(args: &ShowArgs) -> Result<(), Failure> {
    let sort = args.sort.map(|by| match by {
        SortBy::Reward => SortKey::Reward,
        SortBy::Advantage => SortKey::Advantage,
        SortBy::Tokens => SortKey::Tokens,
    });
    let options =
        ShowOptions { run: args.run.clone(), stage: args.stage.clone(), step: args.step, sort, limit: args.limit };
    let result = show(&options, Look::detect(), std::io::stdout().lock());
    result.map_err(|error| if error.is_usage() { Failure::usage(error) } else { Failure::run(error) })
}
