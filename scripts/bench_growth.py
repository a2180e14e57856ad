"""How cost grows: sampling and update against batch, length and model; memory against length; the vocabulary's share of it.

Every point is `grpo-train bench` in a process of its own, with random weights and prompts, so that its peak memory is its own.
A point that would take longer than its budget, or more memory than the machine has left, is left out, and that is said.
Start it with scripts/bench_growth.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import List, Optional

from bench_growth_picture import COLOURS, picture

REPOSITORY = Path(__file__).resolve().parent.parent
BATCHES = (8, 16, 32, 64, 128, 256, 512)
LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
GROUP, PROMPT_TOKENS = 8, 32
# 4,096 predictions over 151,936 tokens: the logits alone would be 2.5 GB in float32.
VOCABULARY = ("--shape", "vocabulary", "--phases", "update", "--prompts", "8", "--group-size", "8", "--tokens", "64",
              "--prompt-tokens", "8")


@dataclass
class Point:
    """One measurement of one curve."""

    phase: str
    shape: str
    against: str
    """`batch` or `length`."""
    x: int
    checkpointing: str = "none"
    """What the forward pass of an update keeps: everything, or what enters each of the `blocks`."""
    seconds: Optional[float] = None
    tokens_per_second: Optional[float] = None
    share_of_peak: Optional[float] = None
    peak_bytes: Optional[int] = None
    """Of the whole process."""
    above_weights_bytes: Optional[int] = None
    """Peak while the phase ran, beyond what was resident before it: activations, gradients, key-value cache."""
    others_fraction: Optional[float] = None
    """Share of the machine that others used meanwhile."""
    left_out: Optional[str] = None
    """Why there is no measurement."""


class LeftOut(Exception):
    """Why a point has no measurement."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench_growth", description=__doc__.split("\n\n")[0])
    parser.add_argument("--shapes", default="tiny,small,medium", help="models, by comma (default: tiny,small,medium)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16", help="default: bfloat16")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0: all")
    parser.add_argument("--point-seconds", type=float, default=60, help="budget of a point (default: 60)")
    parser.add_argument("--total-seconds", type=float, default=3600, help="no point is begun after that (default: 3600)")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)), help="completions at once, multiples of 8")
    parser.add_argument("--lengths", default=",".join(map(str, LENGTHS)), help="tokens of a completion")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target" / "release" / "grpo-train")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "runs" / "bench_growth", help="folder written to")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    if not options.binary.is_file():
        parser.error(f"{options.binary} not found: build it first (cargo build --release)")
    options.batches, options.lengths = ([int(n) for n in text.split(",")] for text in (options.batches, options.lengths))
    unknown = [shape for shape in options.shapes.split(",") if shape not in COLOURS]
    if unknown:
        parser.error(f"--shapes: {', '.join(unknown)} unknown; there are {', '.join(COLOURS)}")
    if any(n % GROUP or n <= 0 for n in options.batches) or any(n < 2 for n in options.lengths):
        parser.error(f"--batches: multiples of {GROUP}; --lengths: 2 or more")
    return options


def available_bytes() -> int:
    """Memory that can be taken without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("bench_growth: /proc/meminfo does not say how much memory is available")


def child(options: argparse.Namespace, args: List[str], seconds: float) -> dict:
    """The report of one `grpo-train bench`, with the peak memory of its process; it is ended after `seconds`."""
    report, log = options.output / "point.json", options.output / "point.log"
    report.unlink(missing_ok=True)
    most = int(0.85 * available_bytes())
    command = [str(options.binary), "bench", *args, "--dtype", options.dtype, "--device", "cpu", "--threads",
               str(options.threads), "--json", str(report)]
    with log.open("wb") as output:
        # The limit makes an allocation fail, rather than the machine run out of memory under everybody.
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)))
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        # wait4 instead of wait: it alone tells the peak memory of just this child.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
    if process.returncode == -9:
        raise LeftOut(f"took more than {seconds:.0f} s")
    if process.returncode:
        text = log.read_text(errors="replace")
        if "alloc" in text:
            raise LeftOut(f"needs more than the {most / 1e9:.1f} GB that are free")
        raise SystemExit(f"bench_growth: {' '.join(command)} ended with status {process.returncode}:\n{text[-2000:]}")
    return {**json.loads(report.read_text()), "process_peak_bytes": usage.ru_maxrss * 1024}


def measure(options: argparse.Namespace, point: Point) -> float:
    """Fills the point; gives back the seconds of the child process."""
    rows, length = (point.x, 64) if point.against == "batch" else (GROUP, point.x)
    began = time.monotonic()
    report = child(options, [
        "--shape", point.shape, "--phases", point.phase, "--prompts", str(rows // GROUP), "--group-size", str(GROUP),
        "--tokens", str(length), "--prompt-tokens", str(PROMPT_TOKENS), "--checkpointing", point.checkpointing,
        # Against length in one pass, so that memory shows what a pass of that length keeps.
        *(["--micro-batch-tokens", str(rows * (length + PROMPT_TOKENS))] if point.against == "length" else []), "--repetitions", "3", "--seconds",
        str(options.point_seconds / 4), "--limits", str(options.output / "limits.json")], options.point_seconds)
    phase = report["phases"][0]
    point.seconds, point.tokens_per_second = phase["seconds"], phase["tokens_per_second"]
    point.share_of_peak, point.peak_bytes = phase["share_of_peak"], report["process_peak_bytes"]
    point.above_weights_bytes = phase["resident_peak"] - phase["resident_before"]
    point.others_fraction = report["others_fraction"]
    return time.monotonic() - began


def curve(options: argparse.Namespace, deadline: float, phase: str, shape: str, against: str,
          checkpointing: str = "none") -> List[Point]:
    """The points of one curve, from small to large; behind the first that cannot be measured the rest is left out too."""
    points, why = [], None
    name = f"{phase} {shape} {against}" + (", blocks computed again" if checkpointing == "blocks" else "")
    for x in options.batches if against == "batch" else options.lengths:
        point = Point(phase, shape, against, x, checkpointing)
        measured = [p for p in points if p.seconds]
        if measured and not why and measured[-1].seconds * x / measured[-1].x > options.point_seconds:
            why = f"would take more than {options.point_seconds:.0f} s, by the point before"
        if not why and time.monotonic() > deadline:
            why = f"the {options.total_seconds:.0f} s for all points were over"
        try:
            if why:
                raise LeftOut(why)
            measure(options, point)
            print(f"{name} {x}: {point.seconds:.4f} s, {point.tokens_per_second:.0f} tokens/s, "
                  f"{point.above_weights_bytes / 1e6:.0f} MB above the weights, others used {point.others_fraction:.0%}",
                  flush=True)
        except LeftOut as reason:
            point.left_out, why = str(reason), why or "a smaller one was left out"
            print(f"{name} {x}: left out, {reason}", flush=True)
        points.append(point)
    return points


def vocabulary(options: argparse.Namespace) -> dict:
    """Head and update over 4,096 tokens of a vocabulary of 151,936: memory above weights and gradients."""
    try:
        report = child(options, [*VOCABULARY, "--repetitions", "1", "--seconds", str(options.point_seconds), "--limits",
                                 str(options.output / "limits.json")], 4 * options.point_seconds)
    except LeftOut as reason:
        return {"left_out": str(reason)}
    phase, gradients = report["phases"][0], 4 * report["n_parameters"]
    above = phase["resident_peak"] - phase["resident_before"]
    return {"tokens": 4096, "vocabulary": 151_936, "seconds": phase["seconds"], "others_fraction": report["others_fraction"],
            "above_weights_bytes": above, "gradient_bytes": gradients, "above_weights_and_gradients_bytes": above - gradients,
            "logits_float32_bytes": 4 * 4096 * 151_936}


def main() -> None:
    """Measure every curve; write bench_growth.json and bench_growth.svg."""
    options = arguments()
    options.output = options.output.resolve()
    options.output.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + options.total_seconds
    limits = options.output / "limits.json"
    limits.unlink(missing_ok=True)
    first = child(options, ["--shape", "tiny", "--phases", "prefill", "--seconds", "0"], 120)
    limits.write_text(json.dumps(first))
    head = vocabulary(options)
    print("vocabulary:", json.dumps(head), flush=True)
    points = []
    for shape in options.shapes.split(","):
        for phase in ("sampling", "update"):
            for against in ("batch", "length"):
                points += curve(options, deadline, phase, shape, against)
        points += curve(options, deadline, "update", shape, "length", "blocks")
    result = {key: first[key] for key in ("program", "processor", "threads", "dtype", "limits")}
    result.update(prompt_tokens=PROMPT_TOKENS, group_size=GROUP, vocabulary=head, points=[asdict(point) for point in points])
    (options.output / "bench_growth.json").write_text(json.dumps(result, indent=1) + "\n")
    (options.output / "bench_growth.svg").write_text(picture(result))
    print(f"written: {options.output / 'bench_growth.json'}, bench_growth.svg")


if __name__ == "__main__":
    sys.exit(main())
