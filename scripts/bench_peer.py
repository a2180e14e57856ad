"""grpo-train against trl on one machine: same base, prompts and shapes, runs interleaved, ratios pair by pair.

One step: 16 prompts of 24 to 40 tokens, 8 completions of exactly 64 tokens each, a reward that costs nothing, the reference
forward (kl_beta 0.001), one optimiser step. Start it with scripts/bench_peer, which makes the Python environment.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench_peer_base import SHAPES
from bench_peer_run import PHASES, REPOSITORY, BenchError, Measured, ours, prepare, theirs

# Above this share of the machine in other hands a ratio says more about them than about the two programs.
QUIET = 0.12
SIDES = {"ours": ours, "trl": theirs}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench_peer", description=__doc__.split("\n\n")[0])
    parser.add_argument("--shape", choices=SHAPES, default="tiny", help="model and vocabulary (default: tiny)")
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
    """Median over the pairs of trl / ours: above 1, grpo-train is the faster or the smaller."""
    found = {}
    for phase in PHASES:
        # A phase one side does not have apart (time 0) has no ratio.
        per_pair = [p["trl"].seconds[phase] / p["ours"].seconds[phase] for p in pairs if p["ours"].seconds[phase] > 0]
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
        "shape": options.shape, "dtype": options.dtype, "steps": options.steps, "threads": options.threads,
        "peer": {"tuning": options.peer, "micro_batch": 8 if options.peer == "shipped" else options.peer_micro_batch,
                 "attention": options.peer_attention, "cache": options.peer_cache,
                 **{name: version(name) for name in ("torch", "transformers", "trl")}},
        "machine": {"processor": processor(), "cores": os.cpu_count()}, "commit": commit.stdout.strip() or None,
        "pairs": len(pairs), "pairs_set_aside": len(pairs) - len(quiet), "no_quiet_pair": not quiet,
        "seconds": {side: {phase: median(p[side].seconds[phase] for p in used) for phase in PHASES} for side in sides},
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


def table(result: dict) -> str:
    """The result for people: one line a phase."""
    sides, found = list(result["seconds"]), result["ratios"]
    cell = "{:>12}".format
    rows = [("", [cell(side) for side in sides], cell("trl / ours") if found else "")]
    for phase in PHASES:
        ratio = found and found[phase]
        rows.append((f"{phase}, s", [cell(f"{result['seconds'][side][phase]:.3f}") for side in sides],
                     cell(f"{ratio:.2f}") if ratio else ""))
    rows.append(("peak memory, MB", [cell(f"{result['peak_bytes'][side] / 1e6:.0f}") for side in sides],
                 cell(f"{found['peak_memory']:.2f}") if found else ""))
    rows.append(("others' share", [cell(f"{result['others_fraction'][side]:.0%}") for side in sides], ""))
    lines = [f"{name:<16}{''.join(cells)}{ratio}" for name, cells, ratio in rows]
    if result["no_quiet_pair"]:
        lines.append(f"In no pair did others use less than {QUIET:.0%} of the machine: these figures are not to be relied on.")
    elif result["pairs_set_aside"]:
        lines.append(f"{result['pairs_set_aside']} of {result['pairs']} pairs set aside: others used more than {QUIET:.0%}.")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write bench_peer.json."""
    options = arguments()
    if options.peer == "shipped":
        options.dtype = "bfloat16"  # GRPOConfig turns bf16 on unless told otherwise; compare with the same precision class
    folder = (options.output / f"{options.shape}_{options.dtype}_{options.peer}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, options)
    result = summary(measure(folder, options), options)
    (folder / "bench_peer.json").write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{options.shape}, {options.dtype}, trl {options.peer}; medians of {result['pairs']} interleaved runs")
    print(table(result))
    print(f"\nwritten: {folder / 'bench_peer.json'}")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench_peer: {error}")
