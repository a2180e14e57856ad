//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use grpo_train::cli::{Cli, Command, ShowArgs, SortBy};
use grpo_train::commands::{self, Ended, Failure};
use grpo_train::show::{Look, ShowOptions, SortKey, show};

fn main() -> ExitCode {
    // Before anything else asks libtorch a question; see there.
    grpo_train::machine::load_cuda();
    let cli = Cli::parse();
    let result = match &cli.command {
        None => commands::train(&cli.run),
        Some(Command::Show(args)) => show_step(args).map(|()| Ended::Done),
        Some(Command::Logprobs(args)) => commands::logprobs(args).map(|()| Ended::Done),
        Some(Command::Sample(args)) => commands::sample(args).map(|()| Ended::Done),
        Some(Command::Problems(args)) => commands::problems(args).map(|()| Ended::Done),
    };
    match result {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Stopped) => ExitCode::from(130),
        Err(failure) => {
            let text = failure.to_string();
            // A run file's faults come rendered, with their own heading.
            let heading = if text.contains("error") && text.contains("-->") { "" } else { "error: " };
            eprintln!("{heading}{}", text.trim_end());
            ExitCode::from(failure.exit_code())
        }
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
