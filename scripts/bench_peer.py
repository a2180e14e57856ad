"""grpo-train against trl on one machine: same base, prompts and shapes, runs interleaved, ratios pair by pair.

One step: 16 prompts of 24 to 40 tokens, 8 completions of each, a reward that costs nothing, the reference forward where there
is a KL term, one optimiser step. Start it with scripts/bench_peer, which makes the Python environment.
"""

import argparse
import copy
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench_peer_base import SHAPES, Task
from bench_peer_run import PHASES, REPOSITORY, BenchError, Measured, ours, prepare, theirs, work
from bench_peer_table import markdown, table

# Above this share of the machine in other hands a ratio says more about them than about the two programs.
QUIET = 0.12
SIDES = {"ours": ours, "trl": theirs}
# The whole protocol: what a step is, and whom it is compared with in which precision class.
TASKS = ({}, {"tokens": 256}, {"ragged": True}, {"beta": 0.0})
PEERS = (("float32", "tuned"), ("bfloat16", "tuned"), ("bfloat16", "shipped"))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench_peer", description=__doc__.split("\n\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="model and vocabulary (default: tiny)")
    parser.add_argument("--tokens", type=int, default=64, help="of every completion, 2 to 256 (default: 64)")
    parser.add_argument("--lengths", choices=["fixed", "ragged"], default="fixed",
                        help="ragged: completions end by themselves, after 16 to 256 tokens; instead of --tokens")
    parser.add_argument("--beta", type=float, default=0.001,
                        help="weight of the KL term (default: 0.001); 0: no reference, and half of the groups without signal")
    parser.add_argument("--all", action="store_true", help="the whole protocol: both shapes, all tasks, all peers; one table")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32",
                        help="bfloat16: computed in bfloat16 over float32 weights; for trl that is autocast (default: float32)")
    parser.add_argument("--repetitions", type=int, default=3, help="pairs of runs (default: 3)")
    parser.add_argument("--steps", type=int, default=6, help="steps per run, of which the first is dropped (default: 6)")
    parser.add_argument("--threads", type=int, default=0, help="processor threads for both; 0: each side's default")
    parser.add_argument("--peer", choices=["tuned", "shipped"], default="tuned",
                        help="trl with the settings that were fastest, or as it comes (micro-batch 8, checkpointing; it is "
                        "bfloat16 as it comes)")
    parser.add_argument("--peer-micro-batch", type=int, default=64, help="completions per micro-batch, tuned (default: 64)")
    parser.add_argument("--peer-attention", choices=["sdpa", "eager"], default="sdpa", help="attention of trl (default: sdpa)")
    parser.add_argument("--peer-cache", choices=["static"], help="key-value cache of trl's sampling (default: growing)")
    parser.add_argument("--only", choices=SIDES, help="run one side only; no ratios")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target" / "release" / "grpo-train")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "runs" / "bench_peer", help="folder for everything written")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: at least 2, because the first step is dropped")
    if options.repetitions < 1:
        parser.error("--repetitions: at least 1")
    if 128 % options.peer_micro_batch:
        parser.error("--peer-micro-batch: must divide the 128 completions of a step")
    if not 2 <= options.tokens <= 256:
        parser.error("--tokens: 2 to 256")
    if options.beta < 0:
        parser.error("--beta: 0 or more")
    if options.all and options.only:
        parser.error("--all compares; it does not go with --only")
    options.task = Task(options.shape, options.tokens, options.lengths == "ragged", options.beta)
    options.binary = options.binary.resolve()
    if options.only != "trl" and not options.binary.is_file():
        parser.error(f"{options.binary} not found: build it first (cargo build --release), or give --only trl")
    return options


def measure(folder: Path, options: argparse.Namespace) -> list[dict[str, Measured]]:
    """The pairs, in order; whichever side comes first in one pair comes second in the next."""
    sides = [options.only] if options.only else list(SIDES)
    pairs = []
    for repetition in range(options.repetitions):
        pair = {}
        for side in sides if repetition % 2 == 0 else reversed(sides):
            pair[side] = SIDES[side](folder, options)
            took, others = pair[side].seconds["step"], pair[side].others_fraction
            print(f"run {repetition + 1}/{options.repetitions} {side}: {took:.3f} s a step, others used {others:.0%}", flush=True)
        pairs.append(pair)
    return pairs


def ratios(pairs: list[dict[str, Measured]]) -> dict[str, float]:
    """Median over the pairs of trl / ours: above 1, grpo-train is the faster or the smaller. Times are taken per completion
    token, which matters where the two sides' completions are not of one length."""
    found = {}
    for phase in PHASES:
        def per_token(side: Measured) -> float:
            return side.seconds[phase] / side.mean_tokens

        # A phase one side does not have apart (time 0) has no ratio.
        per_pair = [per_token(p["trl"]) / per_token(p["ours"]) for p in pairs if p["ours"].seconds[phase] > 0]
        found[phase] = median(per_pair) if per_pair else None
    found["peak_memory"] = median(p["trl"].peak_bytes / p["ours"].peak_bytes for p in pairs)
    return found


def summary(pairs: list[dict[str, Measured]], options: argparse.Namespace) -> dict:
    """Everything that is printed, and every run behind it."""
    quiet = [pair for pair in pairs if all(side.others_fraction <= QUIET for side in pair.values())]
    used = quiet or pairs
    sides = list(pairs[0])
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return {
        "shape": options.task.shape, "task": asdict(options.task), "name": options.task.name, "dtype": options.dtype,
        "steps": options.steps, "threads": options.threads,
        "peer": {"tuning": options.peer, "micro_batch": 8 if options.peer == "shipped" else options.peer_micro_batch,
                 "attention": options.peer_attention, "cache": options.peer_cache,
                 **{name: version(name) for name in ("torch", "transformers", "trl")}},
        "machine": {"processor": processor(), "cores": os.cpu_count()}, "commit": commit.stdout.strip() or None,
        "pairs": len(pairs), "pairs_set_aside": len(pairs) - len(quiet), "no_quiet_pair": not quiet,
        "seconds": {side: {phase: median(p[side].seconds[phase] for p in used) for phase in PHASES} for side in sides},
        "mean_tokens": {side: median(p[side].mean_tokens for p in used) for side in sides},
        "peak_bytes": {side: median(p[side].peak_bytes for p in used) for side in sides},
        "others_fraction": {side: median(p[side].others_fraction for p in used) for side in sides},
        "ratios": ratios(used) if len(sides) == 2 else None,
        "runs": [{side: asdict(measured) for side, measured in pair.items()} for pair in pairs],
    }


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def shares(result: dict, counted: dict) -> dict:
    """By side and phase: matrix products a second over the machine's peak in that kind, both as `grpo-train bench` finds them.

    The work is the same for both sides, whatever they compute: every prompt once for its group, no padding. Left out where a
    side may rightly do less (no gradient for half of the groups).
    """
    limits = counted["limits"][counted["dtype"]]
    peak = max(limits["multiply_add_flops"] or 0.0, limits["matmul_flops"])
    flops = {phase["name"]: phase["matrix_flops"] for phase in counted["phases"]}
    if result["task"]["beta"] == 0:
        flops = {"sampling": flops["sampling"]}
    # Counted for the mean over both sides; each is held against its own length.
    counted_tokens = counted["step"]["completion_tokens"]
    found = {}
    for side, seconds in result["seconds"].items():
        part = result["mean_tokens"][side] / counted_tokens
        found[side] = {phase: flops[phase] * part / seconds[phase] / peak for phase in flops if seconds[phase] > 0}
    return found


def compare(options: argparse.Namespace) -> dict:
    """Measures one task against one peer, prints the table and writes bench_peer.json."""
    if options.peer == "shipped":
        options.dtype = "bfloat16"  # GRPOConfig turns bf16 on unless told otherwise; compare with the same precision class
    folder = (options.output / f"{options.task.shape}_{options.task.name}_{options.dtype}_{options.peer}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, options)
    result = summary(measure(folder, options), options)
    if options.only != "trl":
        counted = work(folder, options, sum(result["mean_tokens"].values()) / len(result["mean_tokens"]))
        result.update(limits=counted["limits"], share_of_peak=shares(result, counted))
    (folder / "bench_peer.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{options.task.shape}, {options.task.name}, {options.dtype}, trl {options.peer}; medians of {result['pairs']} "
          "interleaved runs")
    print(table(result, QUIET))
    print(f"\nwritten: {folder / 'bench_peer.json'}", flush=True)
    return result


def whole_protocol(options: argparse.Namespace) -> None:
    """Every task against every peer, one after the other; the tables as one Markdown file, written again after each."""
    results = []
    for shape in SHAPES:
        for task in TASKS:
            # Against trl as it comes in the plain task only: the others ask what tuning cannot change.
            for dtype, peer in PEERS if not task else PEERS[:2]:
                one = copy.copy(options)
                one.task, one.dtype, one.peer = Task(shape, **task), dtype, peer
                try:
                    results.append(compare(one))
                except BenchError as error:
                    print(f"left out: {shape} {one.task.name} {dtype} {peer}: {error}", flush=True)
                (options.output / "bench_peer.md").write_text(markdown(results))
    print(f"\nwritten: {options.output / 'bench_peer.md'}\n\n{markdown(results)}")


def main() -> None:
    """One comparison, or all."""
    options = arguments()
    if options.all:
        whole_protocol(options)
    else:
        compare(options)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench_peer: {error}")
