"""Runs one side of the benchmark as a child process and measures it: times of its steps, peak memory, what others used.

This process must stay small (no torch in it): Linux counts the memory of the process that starts a child into the child's peak.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median

from bench_peer_base import GROUP_SIZE, LEARNING_RATE, N_PROMPTS, REWARDED

SCRIPTS = Path(__file__).resolve().parent
REPOSITORY = SCRIPTS.parent
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONDONTWRITEBYTECODE": "1"}
PHASES = ("step", "sampling", "reference", "update")
# Our metrics.jsonl has these under trl's names.
OUR_KEYS = {"step": "step_time", "sampling": "timing/sampling", "reference": "timing/reference", "update": "timing/update",
            "mean_tokens": "completions/mean_length"}


class BenchError(Exception):
    """What went wrong, and where to look."""


@dataclass
class Measured:
    """One child process: medians over its steps, the first of which is dropped."""

    seconds: dict[str, float]
    mean_tokens: float
    """Of the completions of the steps measured."""
    peak_bytes: int
    others_fraction: float
    """Share of the machine's processor time that went to other processes meanwhile."""


def machine_ticks() -> tuple[int, int]:
    """Processor time of the machine since it started, in clock ticks: (busy, all)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]  # idle and waiting for input or output; steal counts as busy, for others
    return sum(fields) - idle, sum(fields)


def run(command: list[str], log: Path, environment: dict[str, str] | None = None) -> tuple[int, float]:
    """Run to the end; returns peak resident bytes and the share of the machine that others used."""
    busy, total = machine_ticks()
    with log.open("wb") as output:
        child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY,
                                 env={**os.environ, **(environment or {})})
        # wait4 instead of wait: it alone tells the peak memory and processor time of just this child.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise BenchError(f"{command[0]} ended with status {child.returncode}; the end of {log}:\n{tail}")
    busy_after, total_after = machine_ticks()
    own = (usage.ru_utime + usage.ru_stime) * os.sysconf("SC_CLK_TCK")
    others = max(0.0, busy_after - busy - own) / max(1, total_after - total)
    return usage.ru_maxrss * 1024, others


def measured(steps: list[dict[str, float]], options, source: Path, peak: int, others: float) -> Measured:
    """Median seconds per phase without the first step, which warms caches up."""
    if len(steps) != options.steps:
        raise BenchError(f"{source}: {len(steps)} steps, expected {options.steps}")
    shortest, longest = options.task.limits
    for number, step in enumerate(steps, 1):
        if not shortest <= step["mean_tokens"] <= longest:
            raise BenchError(f"{source}, step {number}: {step['mean_tokens']} tokens a completion, not {shortest} to {longest}")
    seconds = {phase: median(step[phase] for step in steps[1:]) for phase in PHASES}
    return Measured(seconds, mean(step["mean_tokens"] for step in steps[1:]), peak, others)


def prepare(folder: Path, options) -> None:
    """The base model and the prompts, written by a process of its own."""
    run([sys.executable, str(SCRIPTS / "bench_peer_base.py"), str(folder), json.dumps(asdict(options.task))], folder / "base.log",
        OFFLINE)


# A rule that costs next to nothing; all completions score 0.
NO_SIGNAL = """[stage.rewards.format]
weight = 1.0
"""
# Rows name the one that judges them.
SIGNAL = f"""[stage.rewards.half]
kind = "regex"
pattern = '{REWARDED}'
weight = 1.0

[stage.rewards.none]
kind = "format"
weight = 1.0
"""


def our_run_file(folder: Path, options) -> str:
    """The run file of our half; paths are relative to it."""
    min_tokens, max_tokens = options.task.limits
    return f"""\
[run]
dir = {json.dumps(str(folder / "ours"))}
seed = 1
threads = {options.threads}
device = "cpu"
dtype = "{options.dtype}"

[model]
path = "base"

[[stage]]
kind = "grpo"
name = "bench"
steps = {options.steps}

[stage.prompt]
template = "none"

[stage.problems.jsonl]
path = "prompts.jsonl"

[stage.rollout]
prompts_per_step = {N_PROMPTS}
group_size = {GROUP_SIZE}
temperature = 1.0
min_tokens = {min_tokens}
max_tokens = {max_tokens}
max_batch = {N_PROMPTS * GROUP_SIZE}

[stage.grpo]
kl_beta = {options.task.beta}

{SIGNAL if options.task.beta == 0 else NO_SIGNAL}
[stage.optimizer]
learning_rate = {LEARNING_RATE}

[stage.checkpoint]
every_steps = {options.steps + 1}
"""


def ours(folder: Path, options) -> Measured:
    """One run of grpo-train; its times come from the run folder's metrics.jsonl."""
    run_folder, run_file = folder / "ours", folder / "ours.toml"
    shutil.rmtree(run_folder, ignore_errors=True)
    run_file.write_text(our_run_file(folder, options))
    peak, others = run([str(options.binary), "--config", str(run_file)], folder / "ours.log")
    metrics = run_folder / "metrics.jsonl"
    steps = []
    for number, line in enumerate(metrics.read_text().splitlines(), 1):
        values = json.loads(line)
        # A stage without a KL term has no reference.
        values.setdefault(OUR_KEYS["reference"], 0.0)
        missing = [key for key in OUR_KEYS.values() if key not in values]
        if missing:
            raise BenchError(f"{metrics}:{number}: no {', '.join(missing)}")
        steps.append({phase: values[key] for phase, key in OUR_KEYS.items()})
    return measured(steps, options, metrics, peak, others)


def theirs(folder: Path, options) -> Measured:
    """One run of trl in a process of its own."""
    settings, result = folder / "trl.json", folder / "trl_result.json"
    result.unlink(missing_ok=True)
    settings.write_text(json.dumps({
        "task": asdict(options.task), "base": str(folder / "base"), "prompts": str(folder / "prompts.jsonl"),
        "output": str(folder / "trl"),
        "steps": options.steps, "threads": options.threads, "dtype": options.dtype, "tuning": options.peer,
        "micro_batch": options.peer_micro_batch, "attention": options.peer_attention, "cache": options.peer_cache}))
    peak, others = run([sys.executable, str(SCRIPTS / "bench_peer_trl.py"), str(settings), str(result)], folder / "trl.log",
                       OFFLINE)
    return measured(json.loads(result.read_text()), options, result, peak, others)


def work(folder: Path, options, mean_tokens: float) -> dict:
    """The machine's limits and the matrix products of each phase, counted by `grpo-train bench` for a step of this size."""
    report = folder / "bench.json"
    run([str(options.binary), "bench", "--shape", options.task.shape, "--dtype", options.dtype, "--device", "cpu", "--threads",
         str(options.threads), "--prompts", str(N_PROMPTS), "--group-size", str(GROUP_SIZE), "--prompt-tokens", "32",
         "--tokens", str(round(mean_tokens)), "--phases", "sampling,reference,update", "--seconds", "0", "--json", str(report)],
        folder / "bench.log")
    return json.loads(report.read_text())
