"""The parts of scripts/gpu_check that hold the device to known numbers: golden files, the CPU, and itself a second time."""

import json
import shutil
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
GOLDEN = REPOSITORY / "tests" / "golden"
# One of each family, and one whose weights are stored in bfloat16.
MODELS = ("qwen2_tied", "qwen3_untied", "llama3_scaled", "qwen3_bfloat16")
# Nats; in float32 a device adds in another order, and the golden numbers are themselves rounded.
TOLERANCE = 1e-3
STEPS = 2
# What the names of metrics that are times or rates have in them.
OF_TIME = ("time", "timing", "per_second", "flops")


class Failed(Exception):
    """Why a part failed, and what it had found until then."""

    def __init__(self, why: str, found: dict = None):
        super().__init__(why)
        self.found = found or {}


def rows(path: Path) -> list:
    """The lines of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def command(check, name: str, model: str, lines: list, device: str, more: list) -> list:
    """The lines that `grpo-train logprobs` or `sample` writes for a golden model."""
    folder = check.options.folder
    source, output = folder / f"{name}_in.jsonl", folder / f"{name}_{model}_{device.replace(':', '_')}.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    check.run([check.options.binary, name, "--model", GOLDEN / "models" / model, "--input", source, "--output", output,
               "--device", device, *more], 60, output.with_suffix(".log"))
    return rows(output)


def device_works(check) -> dict:
    """The program starts, finds the device and computes on it."""
    ids = rows(GOLDEN / "logprobs" / f"{MODELS[0]}.jsonl")[0]["ids"]
    command(check, "logprobs", MODELS[0], [{"ids": ids}], check.options.device, [])
    return {}


def unit_tests(check) -> dict:
    """The test programs that do more where there is a GPU, as cargo left them."""
    found, failures = {}, []
    for crate, name in (("shim", "shim"), ("policy", "decoding")):
        try:
            found[crate] = unit_tests_of(check, crate, name)
        except Failed as failure:
            failures.append(f"{crate}: {failure}")
    if failures:
        raise Failed("; ".join(failures), found)
    return found


def unit_tests_of(check, crate: str, name: str) -> str:
    """The line that sums up a test program."""
    built = [path for path in (REPOSITORY / "target/release/deps").glob(f"{name}-*") if not path.suffix]
    if not built:
        raise Failed("not built; build them with `cargo test --release --no-run -p shim -p policy`")
    newest = max(built, key=lambda path: path.stat().st_mtime)
    output = check.run([newest, "--test-threads", "1"], 120, check.options.folder / f"tests_{crate}.log")
    return next(line for line in output.splitlines() if line.startswith("test result"))


def logprobs(check) -> dict:
    """Log-probabilities on the device against those on the CPU and those of transformers."""
    worst = {}
    for model in MODELS:
        golden = rows(GOLDEN / "logprobs" / f"{model}.jsonl")
        lines = [{"ids": row["ids"]} for row in golden]
        got, cpu = (command(check, "logprobs", model, lines, device, []) for device in (check.options.device, "cpu"))
        worst[model] = {"against_cpu": gap(got, cpu), "against_transformers": gap(got, golden)}
    found = {"largest_difference_nats": worst}
    largest = max(value for gaps in worst.values() for value in gaps.values())
    if not largest <= TOLERANCE:
        raise Failed(f"the largest difference is {largest:.2e} nats, more than {TOLERANCE:.0e}", found)
    return found


def gap(some: list, others: list) -> float:
    """The largest difference between log-probabilities, in nats."""
    pairs = zip(some, others)
    return max(abs(a - b) for one, other in pairs for a, b in zip(one["logprobs"], other["logprobs"]))


def greedy(check) -> dict:
    """Greedy tokens on the device are those of transformers."""
    count = 0
    for model in MODELS:
        golden = rows(GOLDEN / "greedy" / f"{model}.jsonl")
        longest = max(len(row["greedy_ids"]) for row in golden)
        got = command(check, "sample", model, [{"ids": row["prompt_ids"]} for row in golden], check.options.device,
                      ["--temperature", 0, "--max-tokens", longest])
        for line, (one, other) in enumerate(zip(got, golden), 1):
            if one["ids"] != other["greedy_ids"]:
                raise Failed(f"{model}, line {line}: {one['ids']}, expected {other['greedy_ids']}")
            count += len(one["ids"])
    return {"equal_tokens": count}


def training(check) -> dict:
    """Two steps of training, twice, in both number formats: every logged number but times is the same."""
    found, failures = {}, []
    for dtype in ("float32", "bfloat16"):
        try:
            found[dtype] = training_in(check, dtype)
        except Failed as failure:
            found[dtype] = failure.found
            failures.append(f"{dtype}: {failure}")
    # As a number of its own for the report: in float32 it is rounding alone.
    found["gap_between_sampler_and_trainer"] = found["float32"].get("gap_between_sampler_and_trainer")
    if failures:
        raise Failed("; ".join(failures), found)
    return found


def training_in(check, dtype: str) -> dict:
    """The same in one number format."""
    folder = check.options.folder / "training" / dtype
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    problems = [{"id": f"p{i}", "question": f"{i} + {i + 2} ="} for i in range(8)]
    (folder / "problems.jsonl").write_text("".join(json.dumps(problem) + "\n" for problem in problems))
    curves = []
    for name in ("first", "second"):
        run_file = folder / f"{name}.toml"
        run_file.write_text(f"""\
[run]
dir = {json.dumps(str(folder / name))}
device = "{check.options.device}"
dtype = "{dtype}"
deterministic = true

[model]
path = {json.dumps(str(GOLDEN / "models" / MODELS[0]))}

[[stage]]
kind = "grpo"
steps = {STEPS}

[stage.prompt]
template = "none"

[stage.problems.jsonl]
path = "problems.jsonl"

[stage.rollout]
prompts_per_step = 8
group_size = 8
max_tokens = 32

[stage.rewards.regex]
pattern = '[!-O]\\s*\\z'

[stage.optimizer]
learning_rate = 1e-3
""")
        check.run([check.options.binary, "--config", run_file, "--no-progress"], 90, folder / f"{name}.log")
        logged = rows(folder / name / "metrics.jsonl")
        curves.append([{key: value for key, value in row.items() if not any(word in key for word in OF_TIME)} for row in logged])
    first, second = curves
    if len(first) != STEPS:
        raise Failed(f"{len(first)} steps were logged, expected {STEPS}")
    differing = sorted({key for a, b in zip(first, second) for key in a if a[key] != b.get(key)})
    found = {"gap_between_sampler_and_trainer": first[0].get("logprob_gap/max"), "differing": differing}
    if first[0].get("grad_norm", 0) == 0:
        raise Failed("no gradient: nothing was learned from", found)
    if differing:
        raise Failed(f"the second run differs in {', '.join(differing)}", found)
    return found
