"""GRPO losses on given log-probabilities: trl's `_compute_loss`, its gradient with respect to each log-probability, its metrics.

This is the main check of the loss: no model takes part, so nothing but the formulas can differ.
"""

import torch
from common import GOLDEN, exact, generator, write_json, write_tensors
from trl_oracle import EPSILON, EPSILON_HIGH, GROUP_SIZE, row_normalizers, trainer

ROWS, MAX_COMPLETION_LENGTH = 12, 32
LENGTHS = [1, 7, 24, 13, 24, 3, 18, 9, 22, 2, 16, 24]
MODEL = "qwen3_untied"  # only because a trainer needs one
# (loss type, micro-batches of one step)
LOSSES = [("grpo", 1), ("bnpo", 1), ("dr_grpo", 1), ("dapo", 1), ("grpo", 2), ("dapo", 2), ("dr_grpo", 2), ("bnpo", 2)]
# (beta, whether the KL term is multiplied by the ratio). trl 1.16.0 multiplies by default (DeepSeek-V3.2, arXiv 2512.02556);
# GRPO itself (arXiv 2402.03300, Eq. 3) does not.
KLS = ((0.0, False), (0.04, False), (0.04, True))
CLIPS = ((EPSILON, EPSILON), (EPSILON, EPSILON_HIGH))
# Truncated importance sampling, trl's `vllm_importance_sampling_mode = "token_truncate"` with `clip_max`: (loss type,
# micro-batches, beta, clip_max) under the second of CLIPS.
IMPORTANCE = [("grpo", 1, 0.0, 2.0), ("grpo", 1, 0.04, 2.0), ("dapo", 2, 0.04, 1.5), ("dr_grpo", 1, 0.04, 3.0)]
METRICS = ("kl", "clip_ratio/low_mean", "clip_ratio/high_mean", "clip_ratio/region_mean", "clip_ratio/low_min",
           "clip_ratio/high_max")


def batch() -> dict[str, torch.Tensor]:
    """Ragged rows, advantages of both signs, ratios pi_theta / pi_old log-uniform in [1/2, 2]; row 0 of each group on policy.
    Ratios pi_old / pi_sampler are log-uniform in [1/4, 4].

    The values are float32 numbers held in float64, so that both precisions start from the same input.
    """
    rng = generator(21)
    width = max(LENGTHS)
    mask = (torch.arange(width) < torch.tensor(LENGTHS)[:, None]).long()
    logprobs = -torch.empty(ROWS, width).exponential_(0.7, generator=rng)
    log_ratio = (torch.rand(ROWS, width, generator=rng) * 2 - 1) * torch.tensor(2.0).log()
    log_ratio[::GROUP_SIZE] = 0
    old = logprobs - log_ratio
    reference = logprobs + 0.5 * torch.randn(ROWS, width, generator=rng)
    advantages = torch.randn(ROWS, generator=rng)
    advantages[5] = 0.0  # a row without a signal of its own still carries the KL term
    sampler = old - (torch.rand(ROWS, width, generator=rng) * 2 - 1) * torch.tensor(4.0).log()
    tensors = {"logprobs": logprobs, "old_logprobs": old, "ref_logprobs": reference, "sampler_logprobs": sampler}
    tensors = {name: (tensor * mask).double() for name, tensor in tensors.items()}
    return {**tensors, "advantages": advantages.double(), "mask": mask}


def importance(inputs: dict[str, torch.Tensor], cap: float) -> torch.Tensor:
    """trl's `vllm_importance_sampling_ratio` as `_generate_and_score_completions` makes it, mode token_truncate."""
    return (inputs["old_logprobs"] - inputs["sampler_logprobs"]).exp().clamp(max=cap)


def run(oracle, inputs: dict[str, torch.Tensor], kind: torch.dtype, accumulation: int):
    """The loss of the whole step, its gradient `[rows, seq]`, and the metrics of a step that is one micro-batch."""
    leaf = inputs["logprobs"].to(kind, copy=True).requires_grad_()
    oracle._metrics["train"].clear()
    cap = oracle.vllm_importance_sampling_clip_max if oracle.use_vllm else None
    total = torch.zeros((), dtype=kind)
    converted = {name: tensor.to(kind) for name, tensor in inputs.items()}
    for rows in torch.arange(ROWS).chunk(accumulation):
        part = leaf[rows]
        oracle._get_per_token_logps_and_entropies = lambda *_, part=part, **__: (part, torch.zeros_like(part), None)
        mask = inputs["mask"][rows]
        total = total + oracle._compute_loss(oracle.model, {
            "prompt_ids": torch.zeros(len(rows), 1, dtype=torch.long), "prompt_mask": torch.ones(len(rows), 1),
            "completion_ids": torch.zeros_like(mask), "completion_mask": mask,
            "advantages": inputs["advantages"][rows].to(kind),
            "old_per_token_logps": inputs["old_logprobs"][rows].to(kind),
            "ref_per_token_logps": inputs["ref_logprobs"][rows].to(kind),
            "num_items_in_batch": inputs["mask"].sum(),
            **({} if cap is None else {"importance_sampling_ratio": importance(converted, cap)[rows]}),
        })
    total.backward()
    metrics = {name: exact(oracle._metrics["train"][name][0]) for name in METRICS if name in oracle._metrics["train"]}
    return total.detach(), leaf.grad, metrics if accumulation == 1 else None


def restated(inputs, normalizers, case: dict) -> torch.Tensor:
    """The loss by the row normalisers that are stored: proof that they are the ones trl used."""
    ratio = (inputs["logprobs"] - inputs["old_logprobs"]).exp()
    advantages = inputs["advantages"][:, None]
    clipped = ratio.clamp(1 - case["clip_epsilon"], 1 + case["clip_epsilon_high"])
    token_loss = -torch.min(ratio * advantages, clipped * advantages)
    if case["importance_cap"] is not None:
        token_loss = token_loss * importance(inputs, case["importance_cap"])
    gap = inputs["ref_logprobs"] - inputs["logprobs"]
    token_loss = token_loss + case["kl_beta"] * (gap.exp() - gap - 1) * (ratio if case["kl_times_ratio"] else 1)
    return (token_loss * inputs["mask"] / normalizers[:, None]).sum()


def cases() -> list[dict]:
    """Every combination, as a line of the manifest."""
    def case(loss_type, accumulation, beta, kl_times_ratio, clip, cap) -> dict:
        name = f"{loss_type}_beta{beta}{'_ratio' if kl_times_ratio else ''}_high{clip[1]}_split{accumulation}"
        return {"name": name if cap is None else f"{name}_cap{cap}", "loss_type": loss_type, "micro_batches": accumulation,
                "kl_beta": beta, "kl_times_ratio": kl_times_ratio, "clip_epsilon": clip[0], "clip_epsilon_high": clip[1],
                "importance_cap": cap}

    plain = [case(*loss, *kl, clip, None) for loss in LOSSES for kl in KLS for clip in CLIPS]
    return plain + [case(loss_type, accumulation, beta, False, CLIPS[1], cap)
                    for loss_type, accumulation, beta, cap in IMPORTANCE]


def expected(case: dict, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of one case; adds the metrics (of the float64 run) to `case`."""
    oracle = trainer(MODEL, rows=ROWS, max_completion_length=MAX_COMPLETION_LENGTH, accumulation=case["micro_batches"],
                     loss_type=case["loss_type"], beta=case["kl_beta"], use_bias_correction_kl=case["kl_times_ratio"],
                     epsilon=case["clip_epsilon"], epsilon_high=case["clip_epsilon_high"],
                     vllm_importance_sampling_mode="token_truncate", vllm_importance_sampling_clip_max=case["importance_cap"] or 3.0)
    # Told to the loss only: a trainer made with it would look for a server.
    oracle.use_vllm = case["importance_cap"] is not None
    normalizers = row_normalizers(case["loss_type"], inputs["mask"], MAX_COMPLETION_LENGTH, case["micro_batches"])
    tensors = {f"{case['name']}/row_normalizers": normalizers}
    for kind in (torch.float32, torch.float64):
        loss, gradient, case["metrics"] = run(oracle, inputs, kind, case["micro_batches"])
        key = f"{case['name']}/{str(kind).removeprefix('torch.')}"
        tensors |= {f"{key}/loss": loss, f"{key}/gradient": gradient}
    torch.testing.assert_close(loss, restated(inputs, normalizers, case), rtol=1e-12, atol=0)
    return tensors


def main() -> None:
    """loss/batch.safetensors (inputs), loss/expected.safetensors, loss/manifest.json (cases, normalisers, metrics)."""
    inputs = batch()
    tensors, lines = {}, cases()
    for line in lines:
        tensors |= expected(line, inputs)
    write_tensors(GOLDEN / "loss" / "batch.safetensors", inputs)
    write_tensors(GOLDEN / "loss" / "expected.safetensors", tensors)
    write_json(GOLDEN / "loss" / "manifest.json", {
        "group_size": GROUP_SIZE, "max_completion_length": MAX_COMPLETION_LENGTH, "lengths": LENGTHS,
        "n_tokens": sum(LENGTHS),
        "normalizers": {
            "grpo": "rows * tokens of the row", "bnpo": "tokens of the micro-batch * micro-batches",
            "dr_grpo": "rows * max_completion_length", "dapo": "tokens of the whole batch (num_items_in_batch)"},
        "cases": lines})


if __name__ == "__main__":
    main()
