"""The part of scripts/gpu_check that runs a short chain: every kind of stage on the device, and again on the CPU."""

import json
import shutil
from pathlib import Path

from gpu_check_same import REPOSITORY, Failed, rows

# Stages that draw no tokens see the same batches on every device. Their first losses differ by rounding alone; after that Adam
# divides gradients by their own size, so that small differences grow.
SUPERVISED = ("tuned", "helpful", "harmless")
FIRST_LOSS, ANY_LOSS = 1e-5, 1e-2
STEPS = 6

RUN_FILE = """\
[run]
dir = {folder}
device = "{device}"
dtype = "{dtype}"
deterministic = true

[model]
path = "{repository}/assets/r1-base"

[[stage]]
kind = "sft"
name = "tuned"
steps = {steps}
batch_size = 16
max_tokens = 448

[[stage.data]]
path = "{data}/general_sft.jsonl"

[stage.optimizer]
learning_rate = 1e-3

[[stage]]
kind = "reward_model"
name = "helpful"
init = "tuned"
objective = "pairwise"
over = "summary"
data = "{data}/preferences_train.jsonl"
steps = {steps}
batch_size = 16
max_tokens = 448

[stage.held_out]
data = "{data}/preferences_heldout.jsonl"

[stage.optimizer]
learning_rate = 1e-3

[[stage]]
kind = "reward_model"
name = "harmless"
init = "tuned"
objective = "pointwise"
over = "response"
data = "{data}/safety_train.jsonl"
steps = {steps}
batch_size = 16
max_tokens = 448

[stage.optimizer]
learning_rate = 5e-4

[[stage]]
kind = "sample"
name = "chosen"
init = "tuned"
n_problems = 64
samples_per_problem = 4

[[stage.problems.source]]
jsonl.path = "{data}/general_train.jsonl"

[stage.sampling]
temperature = 1.0
max_tokens = 64

[stage.rewards.helpful]
kind = "reward_model"
model = "helpful"
over = "summary"

[stage.filters]
correct = "if_judged"

[stage.keep]
choice = "best_of_k"
per_problem = 1

[[stage]]
kind = "grpo"
name = "reinforced"
init = "tuned"
steps = 2

[[stage.problems.source]]
jsonl.path = "{data}/general_train.jsonl"

[stage.rollout]
prompts_per_step = 8
group_size = 8
max_tokens = 64

[stage.rewards.helpful]
kind = "reward_model"
model = "helpful"
over = "summary"
squash = "sigmoid"
domains = ["helpful"]
[stage.rewards.harmless]
kind = "reward_model"
model = "harmless"
over = "response"
squash = "sigmoid"
domains = ["harmless"]

[stage.optimizer]
learning_rate = 1e-4

[[stage]]
kind = "eval"
name = "table"
models = ["tuned", "reinforced"]

[[stage.set]]
name = "helpful"
problems = "{data}/general_heldout.jsonl"
domains = ["helpful"]
samples_per_problem = 2
max_tokens = 64
win_by = "preferred"

[stage.set.rewards.preferred]
kind = "reward_model"
model = "helpful"
"""


def chain(check) -> dict:
    """Every kind of stage runs in both formats; what needs no sampling is, in float32, what the CPU computes."""
    device = check.options.device
    on_device, on_cpu = run(check, device, "float32"), run(check, "cpu", "float32")
    run(check, device, "bfloat16")
    first, largest = 0.0, 0.0
    for stage in SUPERVISED:
        gaps = [abs(a["loss"] - b["loss"]) / abs(b["loss"]) for a, b in zip(of(on_device, stage), of(on_cpu, stage), strict=True)]
        if len(gaps) != STEPS:
            raise Failed(f"{stage}: {len(gaps)} steps were logged, expected {STEPS}")
        # A reward model starts from what `tuned` became, which is no longer the same to the bit.
        first = max(first, gaps[0]) if stage == "tuned" else first
        largest = max(largest, *gaps)
    found = {"first_loss_against_cpu": first, "largest_loss_against_cpu": largest}
    if not (first <= FIRST_LOSS and largest <= ANY_LOSS):
        raise Failed(f"losses differ from the CPU's by {first:.1e} at first (limit {FIRST_LOSS:.0e}) and {largest:.1e} at most "
                     f"(limit {ANY_LOSS:.0e}) of themselves", found)
    return found


def of(metrics: list, stage: str) -> list:
    """The logged steps of a stage."""
    return [row for row in metrics if row["stage"] == stage]


def run(check, device: str, dtype: str) -> list:
    """The metrics of the chain in one number format."""
    folder = check.options.folder / "chain" / f"{device.replace(':', '_')}_{dtype}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    run_file = folder.with_suffix(".toml")
    run_file.write_text(RUN_FILE.format(folder=json.dumps(str(folder)), device=device, dtype=dtype, steps=STEPS,
                                        repository=REPOSITORY, data=REPOSITORY / "data"))
    check.run([check.options.binary, "--config", run_file, "--no-progress"], 90, folder.with_suffix(".log"))
    report = (folder / "report.md").read_text()
    if "win rate" not in report:
        raise Failed(f"no table in {folder / 'report.md'}")
    return rows(folder / "metrics.jsonl")
