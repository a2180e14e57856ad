"""Advantages beyond GRPO's: RLOO's by trl's `RLOOTrainer`, and the rules of papers that trl does not have, from their equations.

trl: `_generate_and_score_completions` runs; sampling, rewards and both policies' log-probabilities are given. The others are
plain PyTorch in float64: REINFORCE++ (arXiv 2501.03262), its baseline variant and ScaleRL (arXiv 2510.13786), leave-one-out
and the population's deviation under each scale, process supervision (DeepSeekMath, 4.1.3).
"""

import math
import tempfile

import torch
from advantages import NONE
from common import GOLDEN, generator, write_json
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import RLOOConfig, RLOOTrainer
from trl_oracle import GROUP_SIZE, constant_reward

ROWS, EPSILON = 16, 1e-4
LENGTHS = [3, 1, 6, 2, 5, 4, 6, 1, 2, 2, 3, 6, 1, 5, 4, 3]


def rewards() -> dict[str, list[float]]:
    """name: the reward of each completion; NaN where none applied."""
    continuous = torch.randn(ROWS, generator=generator(101)).tolist()
    some_none = list(continuous)
    some_none[2] = some_none[9] = some_none[10] = NONE
    lone = list(some_none)
    lone[12:15] = [NONE] * 3
    group_none = list(continuous)
    group_none[4:8] = [NONE] * 4
    return {"continuous": continuous, "tiers": [0, 0.1, 1, 0.1, 0, 0, 0, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0], "all_equal": [0.5] * ROWS,
            "some_none": some_none, "lone": lone, "group_none": group_none}


def logprobs() -> tuple[list[list[float]], list[list[float]]]:
    """log pi_old and log pi_ref of every token, float32 numbers."""
    rng = generator(102)
    old = [-torch.empty(length).exponential_(0.7, generator=rng) for length in LENGTHS]
    reference = [row + 0.5 * torch.randn(len(row), generator=rng) for row in old]
    return [row.tolist() for row in old], [row.tolist() for row in reference]


def padded(rows: list[list[float]]) -> torch.Tensor:
    """`[rows, longest]`, float64, zeros behind the end."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.float64) for row in rows], batch_first=True)


def rloo_trainer(**settings) -> RLOOTrainer:
    """trl's trainer of RLOO on one of the golden models."""
    folder = GOLDEN / "models" / "qwen3_untied"
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    with tempfile.TemporaryDirectory() as output:
        config = RLOOConfig(output_dir=output, report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, seed=0,
                            per_device_train_batch_size=ROWS, num_generations=GROUP_SIZE, max_completion_length=max(LENGTHS), **settings)
        made = RLOOTrainer(model=model, reward_funcs=constant_reward, args=config, processing_class=AutoTokenizer.from_pretrained(folder),
                           train_dataset=Dataset.from_list([{"prompt": "a"}] * ROWS))
    made.model.train()
    return made


def rloo(values: list[float], beta: float, normalize: bool) -> list[float]:
    """The advantages of trl's scored batch."""
    oracle = rloo_trainer(beta=beta, normalize_advantages=normalize)
    old, reference = map(padded, logprobs())
    oracle.reward_weights = torch.ones(1, dtype=torch.float64)
    oracle._generate = lambda prompts: ([[5]] * ROWS, [[6] * length for length in LENGTHS], ["b"] * ROWS)
    oracle._calculate_rewards = lambda *_: torch.tensor(values, dtype=torch.float64)[:, None]
    oracle._get_per_token_logps_and_entropies = lambda model, *_, **__: (reference if model is oracle.ref_model else old, None, None)
    return oracle._generate_and_score_completions([{"prompt": "a"}] * ROWS)["advantages"].tolist()


def deviation(values: torch.Tensor, divisor: str) -> torch.Tensor:
    """Of those that are there; 0 of fewer than two."""
    there = values[~values.isnan()]
    return there.std(correction=1 if divisor == "sample" else 0) if len(there) > 1 else torch.zeros((), dtype=values.dtype)


def by_equation(values: list[float], baseline: str, scale: str, divisor: str) -> list[float]:
    """Centred on the baseline, over the deviation + epsilon."""
    table = torch.tensor(values, dtype=torch.float64).reshape(-1, GROUP_SIZE)
    count = (~table.isnan()).sum(1, keepdim=True)
    total = table.nansum(1, keepdim=True)
    centred = table - {"group_mean": total / count, "leave_one_out": (total - table) / (count - 1), "none": torch.zeros_like(total)}[baseline]
    if scale == "group":
        divided = centred / (torch.stack([deviation(row, divisor) for row in table])[:, None] + EPSILON)
    elif scale == "batch":
        divided = centred / (deviation(table, divisor) + EPSILON)
    elif scale == "centred":
        divided = centred / (deviation(centred, divisor) + EPSILON)
    else:
        divided = centred
    return divided.nan_to_num(0.0).flatten().tolist()


def reinforce_plus_plus(values: list[float], beta: float, divisor: str) -> list[list[float]]:
    """`A_t = r - beta sum_{s >= t} (log pi_old - log pi_ref)_s`, then mean 0 and deviation 1 over all tokens of the batch."""
    old, reference = logprobs()
    returns = []
    for row, reward in enumerate(values):
        k1 = torch.tensor(old[row], dtype=torch.float64) - torch.tensor(reference[row], dtype=torch.float64)
        returns.append(reward - beta * k1.flip(0).cumsum(0).flip(0))
    tokens = torch.cat(returns)
    whitened = (tokens - tokens.mean()) / (deviation(tokens, divisor) + EPSILON)
    return [part.tolist() for part in whitened.split(LENGTHS)]


def process_supervision(normalize: bool) -> dict:
    """DeepSeekMath, 4.1.3: all step rewards of a group normalised together; a token has the sum of those that end behind it."""
    rng = generator(103)
    steps, expected = [], []
    for length in LENGTHS:
        ends = sorted(set(torch.randint(1, length + 1, (3,), generator=rng).tolist()))
        steps.append([{"end_token": end, "reward": torch.randn(1, generator=rng).item()} for end in ends])
    steps[5] = []
    for first in range(0, ROWS, GROUP_SIZE):
        rows = range(first, first + GROUP_SIZE)
        group = torch.tensor([step["reward"] for row in rows for step in steps[row]], dtype=torch.float64)
        divisor = deviation(group, "sample") + EPSILON if normalize else 1.0
        for row in rows:
            normalised = [(step["end_token"], (step["reward"] - group.mean()) / divisor) for step in steps[row]]
            expected.append([float(sum(value for end, value in normalised if end >= token + 1)) for token in range(LENGTHS[row])])
    return {"scale": "group" if normalize else "none", "steps": steps, "advantages": expected}


def nulls(values: list[float]) -> list[float | None]:
    """JSON has no NaN."""
    return [None if math.isnan(value) else value for value in values]


def main() -> None:
    """advantage_rules.json."""
    old, reference = logprobs()
    of_rloo = [{"name": name, "beta": beta, "normalize": normalize, "rewards": nulls(values), "advantages": rloo(values, beta, normalize)}
               for name, values in rewards().items() for beta in (0.0, 0.05) for normalize in (False, True)]
    rules = [{"name": name, "baseline": baseline, "scale": scale, "divisor": divisor, "rewards": nulls(values),
              "advantages": by_equation(values, baseline, scale, divisor)}
             for name, values in rewards().items() for baseline in ("group_mean", "leave_one_out", "none")
             for scale in ("group", "batch", "centred", "none") for divisor in ("sample", "population")]
    tokens = [{"name": name, "beta": beta, "divisor": divisor, "rewards": rewards()[name],
               "advantages": reinforce_plus_plus(rewards()[name], beta, divisor)}
              for name in ("continuous", "tiers") for beta in (0.0, 0.05) for divisor in ("sample", "population")]
    write_json(GOLDEN / "advantage_rules.json", {
        "group_size": GROUP_SIZE, "lengths": LENGTHS, "old_logprobs": old, "ref_logprobs": reference, "rloo": of_rloo, "rules": rules,
        "reinforce_plus_plus": tokens, "process": [process_supervision(True), process_supervision(False)]})


if __name__ == "__main__":
    main()
