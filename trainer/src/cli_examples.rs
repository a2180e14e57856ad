//! Examples and formats behind `--help`.

pub(super) const EXAMPLES: &str = "\
Examples:
  grpo-train --config configs/r1_zero.toml                          run it
  grpo-train --config configs/r1_zero.toml --check                  say what it would do, touch nothing
  grpo-train --config configs/r1_zero.toml --set run.seed=2 --set run.dir=runs/seed2
  grpo-train --config configs/r1.toml --from dev2                    run a stage and all after it again
  grpo-train show runs/r1_zero --step 20 --sort reward --limit 3    look at completions
  grpo-train show runs/r1_zero                                      where the time went

Every key of a run file, with default, unit and source: configs/reference.toml
Exit codes: 0 done, 1 the run failed, 2 the command line or the run file is wrong,
130 stopped by Ctrl-C and saved.";

pub(super) const ABLATE: &str = "\
The same command goes on where it was stopped, by whatever; what is done is not run again.

Examples:
  grpo-train ablate --config configs/ablations/smoke.toml --check      what it would run
  grpo-train ablate --config configs/ablations/smoke.toml --jobs 2
How to write one, and how to read its table: docs/ablation.md";

pub(super) const SCORE: &str = "\
Input lines: {\"completion\": \"..\"} and, as rewards need them, \"id\", \"gold\", \"numbers\", \"target\", \"tests\", \"prompt\", \"question\",
\"group\" (cases of a group get advantages), \"tokens\", \"thinking_tokens\", \"token_ids\", \"truncated\", \"language\", \"rewards\".
Output lines: {\"id\", \"reward\", \"components\": {name: {\"score\", \"reason\", \"extracted\", \"rule\"}}, \"advantage\"?, \"micros\"}.

Examples:
  grpo-train score --reward accuracy --input cases.jsonl --output verdicts.jsonl
  grpo-train score --reward 'regex:{\"pattern\": \"(?i)because\"}' --input cases.jsonl --output verdicts.jsonl
  grpo-train score --config changed.toml --input runs/r1_zero          what would have changed";

pub(super) const EVAL: &str = "\
Examples:
  grpo-train eval --model runs/r1_zero/final --problems data/countdown_heldout.jsonl --n 4 --stop '</answer>'
  grpo-train eval --model Qwen2.5-0.5B --problems gsm8k_test.jsonl --n 16 --pass-at 4 --consensus --output gsm8k.json
Several models side by side, and thinking on a budget: a stage of kind \"eval\"; docs/evaluation.md";

pub(super) const BENCH: &str = "\
Examples:
  grpo-train bench --shape small --dtype bfloat16                       random weights and prompts, no file needed
  grpo-train bench --config configs/r1_zero.toml --json bench.json      the model and the step of a run file
  grpo-train bench --shape medium --phases decode --rows 64,256 --tokens 256
What the columns mean: docs/performance.md";
