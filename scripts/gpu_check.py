"""Checks and measures grpo-train on a GPU: the same numbers as on the CPU, speed against the device's peak and transformers.

Every part has a time limit of its own; one that fails is reported, and the rest goes on. Start it with scripts/gpu_check.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import gpu_check_chain
import gpu_check_same as same
from gpu_check_table import markdown

SCRIPTS = Path(__file__).resolve().parent
REPOSITORY = SCRIPTS.parent
# Operations a second in bfloat16, dense, by the makers' data sheets; the first name found in the device's name counts.
DATA_SHEET = (("H100 PCIe", 756e12), ("H100", 989e12), ("H200", 989e12), ("B200", 2250e12), ("A100", 312e12), ("L40S", 362e12),
              ("L4", 121e12), ("RTX 4090", 165e12))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY / "runs" / "gpu_check", help="where results go")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the script itself (default: cuda)")
    parser.add_argument("--shapes", default="medium,large", help="of grpo-train bench, by comma (default: Qwen2.5 0.5B and 1.5B)")
    parser.add_argument("--rows", default="64,256,1024", help="completions sampled at once (default: 64,256,1024)")
    parser.add_argument("--tokens", type=int, default=1024, help="of a completion (default: 1024)")
    parser.add_argument("--micro-batch", type=int, default=16384, help="tokens of an update's pass (default: 16384)")
    parser.add_argument("--seconds", type=float, default=560, help="for all parts together (default: 560)")
    parser.add_argument("--binary", type=Path, default=REPOSITORY / "target" / "release" / "grpo-train")
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    if not options.binary.is_file():
        parser.error(f"{options.binary} not found: build it first (cargo build --release)")
    return options


def libraries(device: str) -> dict:
    """The environment in which the program finds a libtorch with CUDA."""
    environment = dict(os.environ)
    torch = importlib.util.find_spec("torch")
    if device != "cpu" and torch and torch.origin:
        # Found before the one that the program was linked against, which may be for CPUs only.
        paths = [str(Path(torch.origin).parent / "lib"), environment.get("LD_LIBRARY_PATH", "")]
        environment["LD_LIBRARY_PATH"] = ":".join(path for path in paths if path)
    return environment


class GpuMemory:
    """The most memory in use on the device while a part runs, all processes together, by nvidia-smi twice a second."""

    def __init__(self, device: str):
        self.index = device.partition(":")[2] or "0"
        self.most, self.done = None, threading.Event()
        self.thread = threading.Thread(target=self.watch) if device != "cpu" else None

    def __enter__(self):
        if self.thread:
            self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        if self.thread:
            self.thread.join()

    def watch(self) -> None:
        while not self.done.wait(0.5):
            used = smi("memory.used", self.index)
            if used is None:
                return
            self.most = max(self.most or 0, int(float(used) * 2**20))


def smi(field: str, index: str = "0"):
    """One field of nvidia-smi, or nothing."""
    command = ["nvidia-smi", f"--id={index}", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


class Check:
    """The parts, one after the other, and what came of them."""

    def __init__(self, options: argparse.Namespace):
        self.options, self.environment = options, libraries(options.device)
        self.deadline = time.monotonic() + options.seconds
        self.parts = []

    def run(self, command: list, limit: float, log: Path) -> str:
        """Runs a command within the limit and what is left of all; gives back its output, or raises with its end."""
        limit = min(limit, self.deadline - time.monotonic())
        if limit <= 1:
            raise same.Failed("no time was left")
        try:
            done = subprocess.run([str(word) for word in command], env=self.environment, cwd=REPOSITORY, capture_output=True,
                                  text=True, timeout=limit)
        except subprocess.TimeoutExpired as late:
            raise same.Failed(f"took more than {limit:.0f} s") from late
        log.write_text(done.stdout + done.stderr)
        if done.returncode:
            raise same.Failed(f"status {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}")
        return done.stdout

    def part(self, name: str, work) -> dict:
        """Runs `work`, which gives back what it found; whatever it raises is noted."""
        began, found = time.monotonic(), {"name": name, "status": "passed"}
        with GpuMemory(self.options.device) as memory:
            try:
                found.update(work())
            except same.Failed as failure:
                found.update(status="failed", why=str(failure), **failure.found)
            except Exception as failure:  # A fault of this script must not take the other parts' results along.
                found.update(status="failed", why=f"{type(failure).__name__}: {failure}")
        found.update(seconds=round(time.monotonic() - began, 1), gpu_memory_peak=memory.most)
        print(f"{name}: {found['status']}, {found['seconds']} s {found.get('why', '')}", flush=True)
        self.parts.append(found)
        self.write()
        return found

    def bench(self, shape: str, phases: str, more: list, limit: float) -> dict:
        """`grpo-train bench`; its phases by name and rows. What was measured before it failed is kept."""
        options = self.options
        report = options.folder / f"bench_{shape}_{phases.replace(',', '_')}.json"
        report.unlink(missing_ok=True)
        command = [options.binary, "bench", "--shape", shape, "--phases", phases, "--device", options.device, "--dtype",
                   "bfloat16", "--json", report, *more]
        failure = None
        try:
            self.run(command, limit, report.with_suffix(".log"))
        except same.Failed as raised:
            failure = raised
        found = {}
        if report.is_file():
            read = json.loads(report.read_text())
            found = {"limits": read["limits"], "phases": read["phases"], "n_parameters": read["n_parameters"]}
        if failure:
            raise same.Failed(str(failure), found)
        return found

    def sampling(self, shape: str) -> dict:
        """Decoding at each number of rows."""
        tokens, rows = self.options.tokens, self.options.rows
        return self.bench(shape, "decode", ["--rows", rows, "--tokens", tokens, "--prompt-tokens", 32, "--group-size", 16,
                                            "--repetitions", 1, "--seconds", 30], 120)

    def update(self, shape: str) -> dict:
        """Reference, update and optimiser on one micro-batch; a smaller one where memory does not hold it."""
        most, failure = self.options.micro_batch, None
        for tokens in (most, most // 2, most // 4):
            length = max(2, min(self.options.tokens, tokens // 4) - 16)
            group = max(1, tokens // (length + 16))
            size = ["--prompts", 1, "--group-size", group, "--prompt-tokens", 16, "--tokens", length, "--micro-batch-tokens",
                    tokens]
            try:
                found = self.bench(shape, "reference,update,optimizer", [*size, "--repetitions", 3, "--seconds", 10], 70)
                return {**found, "micro_batch_tokens": tokens, "larger_failed": failure}
            except same.Failed as raised:
                failure = f"{tokens} tokens: {raised}"
        raise same.Failed(failure)

    def peer(self, shape: str) -> dict:
        """transformers' generate on the same shape, each number of rows in a process of its own."""
        missing = [name for name in ("torch", "transformers") if not importlib.util.find_spec(name)]
        if missing:
            return {"status": "skipped", "why": f"Python has no {' and no '.join(missing)}"}
        rows = {}
        for n_rows in self.options.rows.split(","):
            result = self.options.folder / f"transformers_{shape}_{n_rows}.json"
            command = [sys.executable, SCRIPTS / "gpu_check_transformers.py", shape, n_rows, self.options.tokens,
                       self.options.device, result]
            try:
                self.run(command, 60, result.with_suffix(".log"))
                rows[n_rows] = json.loads(result.read_text())
            except same.Failed as failure:
                rows[n_rows] = {"why": str(failure)}
        if not any("tokens_per_second" in row for row in rows.values()):
            raise same.Failed("; ".join(f"{n} rows: {row['why']}" for n, row in rows.items()))
        return {"rows": rows}

    def result(self) -> dict:
        """Everything found so far."""
        index = self.options.device.partition(":")[2] or "0"
        gpu = smi("name", index) if self.options.device != "cpu" else None
        peak = next((flops for name, flops in DATA_SHEET if gpu and name in gpu), None)
        return {"device": self.options.device, "gpu": gpu, "driver": smi("driver_version", index) if gpu else None,
                "data_sheet_bfloat16_flops": peak, "rows": self.options.rows,
                "tokens": self.options.tokens, "parts": self.parts}

    def write(self) -> None:
        """gpu_check.json and gpu_check.md, as far as things have come."""
        result = self.result()
        (self.options.folder / "gpu_check.json").write_text(json.dumps(result, indent=1) + "\n")
        (self.options.folder / "gpu_check.md").write_text(markdown(result))


def main() -> int:
    """All parts; 1 if one failed."""
    options = arguments()
    options.folder = options.folder.resolve()
    options.folder.mkdir(parents=True, exist_ok=True)
    check = Check(options)
    found = check.part("the device is found", lambda: same.device_works(check))
    if found["status"] == "passed":
        # What says whether the numbers are right comes first; then ours before theirs, the smaller model before the larger.
        check.part("tests of kernels", lambda: same.unit_tests(check))
        check.part("log-probabilities", lambda: same.logprobs(check))
        check.part("greedy tokens", lambda: same.greedy(check))
        check.part("two runs in the same curves", lambda: same.training(check))
        check.part("every kind of stage", lambda: gpu_check_chain.chain(check))
        shapes = options.shapes.split(",")
        for shape in shapes:
            check.part(f"sampling {shape}", lambda shape=shape: check.sampling(shape))
            check.part(f"update {shape}", lambda shape=shape: check.update(shape))
        for shape in shapes:
            check.part(f"transformers {shape}", lambda shape=shape: check.peer(shape))
    print((options.folder / "gpu_check.md").read_text())
    return int(any(part["status"] == "failed" for part in check.parts))


if __name__ == "__main__":
    sys.exit(main())
