"""The peer's half of the benchmark: trl's GRPOTrainer on the CPU, timed phase by phase. Started by bench_peer.py.

Usage: bench_peer_trl.py SETTINGS.json RESULT.json
"""

import json
import re
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import torch
from bench_peer_base import GROUP_SIZE, LEARNING_RATE, N_PROMPTS, REWARDED, Task
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

ROWS = N_PROMPTS * GROUP_SIZE
# As shipped: what GRPOConfig does when nothing is set. Tuned: what was fastest on CPUs of the settings that train the same thing.
TUNINGS = {
    "shipped": {"per_device_train_batch_size": 8, "gradient_checkpointing": True},
    "tuned": {"gradient_checkpointing": False, "optim": "adamw_torch_fused"},
}


class Clock(TrainerCallback):
    """Seconds of each optimiser step and of the phases in it."""

    def __init__(self):
        self.steps, self.phases, self.mean_tokens = [], {}, 0.0

    @contextmanager
    def phase(self, name: str):
        start = time.perf_counter()
        yield
        self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start

    def on_step_begin(self, *_, **__):
        self.start, self.phases = time.perf_counter(), {}

    def on_step_end(self, *_, **__):
        total = time.perf_counter() - self.start
        # trl generates, judges and runs the reference inside the first micro-batch's `_prepare_inputs`; the rest is the update.
        self.steps.append({"step": total, "sampling": self.phases["sampling"],
                           "reference": self.phases.get("reference", 0.0), "update": total - self.phases["prepare"],
                           "mean_tokens": self.mean_tokens})


class TimedTrainer(GRPOTrainer):
    """GRPOTrainer with a stopwatch around three of its methods; nothing else differs."""

    def __init__(self, *args, clock: Clock, task: Task, **kwargs):
        self.clock, self.task = clock, task
        super().__init__(*args, callbacks=[clock], **kwargs)

    def _prepare_inputs(self, batch):
        with self.clock.phase("prepare"):
            return super()._prepare_inputs(batch)

    def _generate(self, prompts):
        with self.clock.phase("sampling"):
            made = super()._generate(prompts)
        lengths = [len(ids) for ids in made[1]]
        shortest, longest = self.task.limits
        assert len(lengths) == ROWS and shortest <= min(lengths) and max(lengths) <= longest, f"lengths {lengths}"
        self.clock.mean_tokens = sum(lengths) / ROWS
        return made

    def _get_per_token_logps_and_entropies(self, model, *args, **kwargs):
        if self.ref_model is None or model is not self.ref_model:
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)
        with self.clock.phase("reference"):
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)


def constant_reward(completions, **_):
    """A reward that costs nothing; with beta > 0 the whole update is computed all the same."""
    return [0.0] * len(completions)


def signal_reward(completions, signal, **_):
    """Tells completions apart where their prompt has a signal."""
    return [float(has_signal and bool(re.search(REWARDED, text))) for text, has_signal in zip(completions, signal)]


def config(settings: dict, task: Task) -> GRPOConfig:
    """The shared shapes, and the tuning asked for."""
    shortest, longest = task.limits
    tuning = dict(TUNINGS[settings["tuning"]])
    rows = tuning.setdefault("per_device_train_batch_size", settings["micro_batch"])
    return GRPOConfig(
        output_dir=settings["output"], max_steps=settings["steps"], seed=1, use_cpu=True, report_to=[], save_strategy="no",
        logging_steps=1, disable_tqdm=True, bf16=settings["dtype"] == "bfloat16", gradient_accumulation_steps=ROWS // rows,
        num_generations=GROUP_SIZE, max_completion_length=longest, temperature=1.0, loss_type="grpo",
        beta=task.beta, use_bias_correction_kl=False, learning_rate=LEARNING_RATE, lr_scheduler_type="constant",
        cache_implementation=settings["cache"], generation_kwargs={"min_new_tokens": shortest},
        model_init_kwargs={"dtype": "float32", "attn_implementation": settings["attention"]}, **tuning)


def main() -> None:
    """Train for the steps asked for and write the times of each."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    task = Task(**settings["task"])
    if settings["threads"]:
        torch.set_num_threads(settings["threads"])
    problems = [json.loads(line) for line in Path(settings["prompts"]).read_text().splitlines()]
    clock = Clock()
    trainer = TimedTrainer(
        model=settings["base"], reward_funcs=constant_reward if task.beta else signal_reward, args=config(settings, task),
        clock=clock, task=task, train_dataset=Dataset.from_list(
            [{"prompt": problem["question"], "signal": problem.get("signal", False)} for problem in problems]),
        processing_class=AutoTokenizer.from_pretrained(settings["base"]))
    trainer.train()
    Path(sys.argv[2]).write_text(json.dumps(clock.steps))


if __name__ == "__main__":
    main()
