//! What the command line accepts, and what it refuses.

use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("grpo-train").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_run_is_what_happens_without_a_command() {
    let cli = parse("--config a.toml --set run.seed=2 --set stage.steps=3 --resume --no-progress").unwrap();
    assert!(cli.command.is_none());
    let expected = RunArgs {
        config: Some("a.toml".into()),
        set: vec!["run.seed=2".to_owned(), "stage.steps=3".to_owned()],
        from: None,
        only: None,
        resume: true,
        check: false,
        no_progress: true,
    };
    assert_eq!(cli.run, expected);
}

#[test]
fn commands_take_their_arguments() {
    let Some(Command::Show(show)) = parse("show runs/a --step 4 --sort advantage --limit 2").unwrap().command else {
        panic!()
    };
    assert_eq!((show.step, show.sort, show.limit, show.stage), (Some(4), Some(SortKey::Advantage), Some(2), None));
    let line = "sample --model m --input i --output o --temperature 0 --top-p 0.9 --max-tokens 5 --n 3 --seed 7 --stop a --stop b";
    let Some(Command::Sample(sample)) = parse(line).unwrap().command else { panic!() };
    assert_eq!((sample.temperature, sample.top_p, sample.max_tokens, sample.n, sample.seed), (0.0, 0.9, 5, 3, 7));
    assert_eq!(sample.stop, ["a", "b"]);
    assert_eq!((sample.model.dtype, sample.model.device, sample.model.threads), (Dtype::Float32, Device::Auto, 0));
    let line = "logprobs --model m --input i --output o --dtype bfloat16 --device cuda:1 --threads 2";
    let Some(Command::Logprobs(logprobs)) = parse(line).unwrap().command else { panic!() };
    assert_eq!(
        (logprobs.model.dtype, logprobs.model.device, logprobs.model.threads),
        (Dtype::Bfloat16, Device::Cuda(1), 2)
    );
    let line = "problems --n 10 --numbers 1 9 --targets 5 50 --n-numbers 3 4 --exclude x --output o";
    let Some(Command::Problems(problems)) = parse(line).unwrap().command else { panic!() };
    assert_eq!((problems.numbers, problems.targets, problems.n_numbers), (vec![1, 9], vec![5, 50], vec![3, 4]));
    let line = "bench --shape medium --phases decode,update --rows 64,256 --tokens 128 --dtype bfloat16";
    let Some(Command::Bench(bench)) = parse(line).unwrap().command else { panic!() };
    assert_eq!((bench.shape, bench.phases), (Some(Shape::Medium), vec![PhaseKind::Decode, PhaseKind::Update]));
    assert_eq!((bench.rows, bench.tokens, bench.dtype), (vec![64, 256], Some(128), Some(Dtype::Bfloat16)));
    let Some(Command::Bench(bench)) = parse("bench").unwrap().command else { panic!() };
    assert_eq!((bench.phases.len(), bench.rows, bench.prompts), (6, vec![8, 32, 128], None));
}

#[test]
fn what_makes_no_sense_is_refused_with_exit_code_2() {
    let check = |line: &str, kind: ErrorKind| {
        let error = parse(line).unwrap_err();
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    };
    check("", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand);
    check("--resume", ErrorKind::MissingRequiredArgument);
    check("--config a.toml --resume --check", ErrorKind::ArgumentConflict);
    check("--config a.toml show runs/a --step 1", ErrorKind::ArgumentConflict);
    check("--confg a.toml", ErrorKind::UnknownArgument);
    check("show", ErrorKind::MissingRequiredArgument);
    check("show runs/a --limit 1", ErrorKind::MissingRequiredArgument);
    check("show runs/a --step 0", ErrorKind::ValueValidation);
    check("show runs/a --step 1 --sort size", ErrorKind::InvalidValue);
    check("sample --model m --input i --output o --top-p 0", ErrorKind::ValueValidation);
    check("sample --model m --input i --output o --temperature nan", ErrorKind::ValueValidation);
    check("sample --model m --input i --output o --min-p 1", ErrorKind::ValueValidation);
    check("sample --model m --input i --output o --device gpu", ErrorKind::ValueValidation);
    check("logprobs --model m --input i --output o --dtype half", ErrorKind::ValueValidation);
    check("bench --shape tiny --config a.toml", ErrorKind::ArgumentConflict);
    check("bench --rows 8,0", ErrorKind::ValueValidation);
    check("bench --phases draw", ErrorKind::InvalidValue);
    check("bench --set run.seed=2", ErrorKind::MissingRequiredArgument);
    check("problems --n 10 --numbers 1 --output o", ErrorKind::WrongNumberOfValues);
}
