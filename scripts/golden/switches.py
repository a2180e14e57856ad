"""Losses under every switch that trl has: its `_compute_loss` on given log-probabilities and entropies, and their gradients."""

import torch
from common import GOLDEN, exact, write_json, write_tensors
from switch_cases import (LOSS_TYPES, MAX_COMPLETION_LENGTH, ROWS, WIDTH, batch, case, importance, importance_weights, inputs, kept,
                          masks, write)
from trl import RLOOTrainer
from trl_oracle import trainer

MODEL = "qwen3_untied"  # only because a trainer needs one
MODES = [importance(level, action, floor, cap) for level, action, floor, cap in (
    ("token", "truncate", None, 1.3), ("token", "mask", None, 1.3), ("sequence", "truncate", None, 2.0),
    ("sequence", "mask", None, 2.0))]
FLOORED = [importance(mode["level"], mode["action"], 0.8, mode["cap"]) for mode in MODES]


def plain_cases() -> list[dict]:
    """Every loss type by token and by sequence, on both batches."""
    lines = [case(loss, f"{name}_{mask}", batch=name, mask=mask) for loss in LOSS_TYPES for name in ("near", "wide")
             for mask in ("plain", "both")]
    lines += [case(loss, f"sequence_{name}", ratio="sequence", batch=name, mask="both")
              for loss in LOSS_TYPES if loss != "vespo" for name in ("near", "wide")]
    lines += [case(loss, "split3", micro_batches=3, mask="both") for loss in LOSS_TYPES]
    return lines + [case("bnpo", "split3_sequence", micro_batches=3, mask="truncated", ratio="sequence"),
                    case("bnpo", "split3_kl", micro_batches=3, mask="forced", kl_beta=0.04),
                    case("bnpo", "split3_importance", micro_batches=3, mask="both", importance=MODES[2])]


def kl_cases() -> list[dict]:
    """The KL term, with the ratio and without, and what bounds the ratio."""
    kls = [("kl", {"kl_beta": 0.04}), ("kl_ratio", {"kl_beta": 0.04, "kl_times_ratio": True})]
    lines = [case(loss, f"{kl}_{ratio}", ratio=ratio, mask="forced", **changes) for loss in ("grpo", "dapo", "cispo", "sapo")
             for ratio in ("token", "sequence") for kl, changes in kls]
    lines += [case(loss, kl, mask="forced", **changes) for loss in ("vespo", "luspo") for kl, changes in kls]
    two_sided = {"surrogate": {"kind": "clip", "low": 0.2, "high": 0.28, "delta": 1.5}, "batch": "wide"}
    lines += [case(loss, f"delta_{ratio}", ratio=ratio, **two_sided) for loss in ("grpo", "bnpo", "dapo")
              for ratio in ("token", "sequence")]
    return lines + [case("grpo", f"delta_kl_ratio_{ratio}", ratio=ratio, kl_beta=0.04, kl_times_ratio=True, **two_sided)
                    for ratio in ("token", "sequence")]


def entropy_cases() -> list[dict]:
    """The most uncertain tokens, and the bonus for entropy."""
    top, bonus = {"top_entropy": 0.2, "mask": "both"}, {"entropy_coef": 0.01, "mask": "both"}
    lines = [case(loss, "top_entropy", **top) for loss in LOSS_TYPES] + [case(loss, "bonus", **bonus) for loss in LOSS_TYPES]
    lines += [case("grpo", f"top_half_{ratio}", ratio=ratio, top_entropy=0.5, batch="wide") for ratio in ("token", "sequence")]
    lines += [case("dapo", "top_entropy_kl", **top, kl_beta=0.04), case("luspo", "top_entropy_kl_ratio", **top, kl_beta=0.04,
                                                                       kl_times_ratio=True)]
    return lines + [case(loss, "top_entropy_bonus", **top, entropy_coef=0.01) for loss in ("grpo", "dapo", "luspo")]


def sampler_cases() -> list[dict]:
    """What looks at the sampler: the mask of completions left behind, and importance weights."""
    behind = {"off_policy_threshold": 0.05, "mask": "both", "batch": "wide"}
    lines = [case(loss, "off_policy", **behind) for loss in LOSS_TYPES]
    lines += [case("grpo", "off_policy_sampler", **behind, sampler=True), case("grpo", "off_policy_sequence", **behind, ratio="sequence"),
              case("dapo", "off_policy_kl", **behind, kl_beta=0.04)]
    label = lambda mode: f"{mode['level']}_{mode['action']}{'_floor' if 'floor' in mode else ''}"  # noqa: E731
    lines += [case(loss, label(mode), importance=mode, mask="forced") for loss in ("grpo", "cispo", "sapo", "vespo")
              for mode in MODES if loss != "vespo" or mode["level"] == "token"]
    lines += [case("dapo", label(mode), importance=mode, mask="both") for mode in FLOORED]
    lines += [case("vespo", label(mode), importance=mode) for mode in FLOORED[:2]]
    lines += [case("grpo", f"by_sequence_{label(mode)}", importance=mode, ratio="sequence") for mode in MODES]
    lines += [case("grpo", f"kl_{label(mode)}", importance=mode, kl_beta=0.04, kl_times_ratio=True) for mode in MODES[::2]]
    lines += [case("grpo", f"off_policy_{label(mode)}", importance=mode, **behind) for mode in MODES[1:3]]
    return lines + [case("luspo", "top_entropy_importance", importance=MODES[0], top_entropy=0.2)]


def settings(line: dict) -> dict:
    """GRPOConfig's names for a case."""
    surrogate, weights = line["surrogate"], line.get("importance")
    named = {"loss_type": line["loss_type"], "importance_sampling_level": line.get("ratio", "token"),
             "beta": line.get("kl_beta", 0.0), "use_bias_correction_kl": line.get("kl_times_ratio", False),
             "top_entropy_quantile": line.get("top_entropy", 1.0), "entropy_coef": line.get("entropy_coef", 0.0),
             "off_policy_mask_threshold": line.get("off_policy_threshold")}
    if surrogate["kind"] == "clip":
        named |= {"epsilon": surrogate["low"], "epsilon_high": surrogate["high"], "delta": surrogate.get("delta")}
    if surrogate["kind"] == "cispo":
        named |= {"epsilon_high": surrogate["cap"]}
    if surrogate["kind"] == "sapo":
        named |= {"sapo_temperature_pos": surrogate["positive"], "sapo_temperature_neg": surrogate["negative"]}
    if surrogate["kind"] == "vespo":
        named |= {f"vespo_{name}_{sign}": value for sign, side in (("pos", "positive"), ("neg", "negative"))
                  for name, value in zip(("k", "lambda"), surrogate[side], strict=True)}
    if weights:
        named |= {"vllm_importance_sampling_mode": f"{weights['level']}_{weights['action']}",
                  "vllm_importance_sampling_clip_max": weights["cap"], "vllm_importance_sampling_clip_min": weights.get("floor")}
    return named


def micro_batch(line: dict, values: dict[str, torch.Tensor], mask: torch.Tensor, rows: torch.Tensor) -> dict:
    """What trl's loss is given. Tokens that do not count are a tool's; completions without any are those that it masks."""
    length = masks()["length"]
    whole = (mask.sum(1, keepdim=True) > 0).long() * length
    given = {"prompt_ids": torch.zeros(len(rows), 1, dtype=torch.long), "prompt_mask": torch.ones(len(rows), 1),
             "completion_ids": torch.zeros(len(rows), WIDTH, dtype=torch.long), "completion_mask": whole[rows],
             "tool_mask": torch.where(length.bool(), mask, 1)[rows], "advantages": values["row_advantages"][rows, 0],
             "old_per_token_logps": values["old_logprobs"][rows], "ref_per_token_logps": values["ref_logprobs"][rows],
             "num_items_in_batch": mask.sum()}
    if "importance" in line:
        weights = importance_weights(line["importance"], values["old_logprobs"], values["sampler_logprobs"], mask)
        given["importance_sampling_ratio"] = weights[rows]
    if "importance" in line or line.get("sampler"):
        given["sampling_per_token_logps"] = values["sampler_logprobs"][rows]
    return given


def run(oracle, line: dict, kind: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Loss of the whole step, its gradient in the log-probabilities, and that in the entropies where they have one."""
    values = {name: tensor.to(kind, copy=True) for name, tensor in batch(line["batch"]).items()}
    mask, accumulation = masks()[line["mask"]], line.get("micro_batches", 1)
    logprobs, entropies = values["logprobs"].requires_grad_(), values["entropies"].requires_grad_()
    total = torch.zeros((), dtype=kind)
    for rows in torch.arange(ROWS).chunk(accumulation):
        parts = (logprobs[rows], entropies[rows], None)
        oracle._get_per_token_logps_and_entropies = lambda *_, parts=parts, **__: parts
        total = total + oracle._compute_loss(oracle.model, micro_batch(line, values, mask, rows))
    total.backward()
    return total.detach(), logprobs.grad, entropies.grad


def expected(line: dict) -> dict[str, torch.Tensor]:
    """The tensors of one case."""
    oracle = trainer(MODEL, rows=ROWS, max_completion_length=MAX_COMPLETION_LENGTH, accumulation=line.get("micro_batches", 1),
                     **settings(line))
    # Told to the loss only: a trainer made with it would look for a server.
    oracle.use_vllm = "importance" in line
    tensors = {}
    for kind, key in ((torch.float64, "float64"), (torch.float32, "float32")):
        loss, gradient, of_entropies = run(oracle, line, kind)
        tensors |= {f"{line['name']}/{key}/loss": loss, f"{line['name']}/{key}/gradient": kept(gradient)}
    if line.get("entropy_coef"):
        tensors[f"{line['name']}/entropy_gradient"] = kept(of_entropies)
    return tensors


class Rloo:
    """As much of an RLOOTrainer as its `_compute_loss` reads: a GRPOTrainer with the two bounds."""

    def __init__(self, low: float, high: float):
        self.oracle = trainer(MODEL, rows=ROWS, max_completion_length=MAX_COMPLETION_LENGTH, epsilon=low, epsilon_high=high)

    def loss(self, logprobs: torch.Tensor, values: dict[str, torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
        """The loss of the batch."""
        self.oracle._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None)
        return RLOOTrainer._compute_loss(self.oracle, self.oracle.model, {
            "prompt_ids": torch.zeros(ROWS, 1, dtype=torch.long), "prompt_mask": torch.ones(ROWS, 1),
            "completion_ids": torch.zeros(ROWS, WIDTH, dtype=torch.long), "completion_mask": mask,
            "advantages": values["row_advantages"][:, 0], "old_logps": (values["old_logprobs"] * mask).sum(1)})


def rloo() -> tuple[list[dict], dict[str, torch.Tensor]]:
    """trl's RLOO, in float64 only: it subtracts sums of log-probabilities, which costs float32 more digits than the sum of
    the differences that is taken here. No completion is masked as a whole: trl adds its -A, a number without a gradient."""
    lines, tensors = [], {}
    for mask in ("plain", "forced"):
        for low, high in ((0.2, 0.2), (0.2, 0.5)):
            line = case("grpo", f"rloo_{mask}_{high}", ratio="product", mask=mask, surrogate={"kind": "clip", "low": low, "high": high})
            values = batch("near")
            logprobs = values["logprobs"].clone().requires_grad_()
            loss = Rloo(low, high).loss(logprobs, values, masks()[mask])
            loss.backward()
            lines.append({**line, "loss_type": "rloo"})
            tensors |= {f"{line['name']}/float64/loss": loss, f"{line['name']}/float64/gradient": kept(logprobs.grad)}
    return lines, tensors


def adaptive_entropy() -> dict:
    """`use_adaptive_entropy` over twelve updates: mean entropy, coefficient applied, and the one of the next update."""
    control = {"target": 0.2, "delta": 0.005, "min": 0.0, "max": 0.012}
    oracle = trainer(MODEL, rows=ROWS, max_completion_length=MAX_COMPLETION_LENGTH, use_adaptive_entropy=True, entropy_coef=0.002,
                     entropy_target=control["target"], entropy_coef_delta=control["delta"], entropy_coef_min=control["min"],
                     entropy_coef_max=control["max"], beta=0.0)
    line = case("grpo", mask="both")
    mask, values = masks()["both"], batch("near")
    updates = []
    for target in (0.1, 0.15, 0.3, 0.1, 0.1, 0.1, 0.1, 0.4, 0.4, 0.4, 0.4, 0.2):
        leaf = torch.full((ROWS, WIDTH), target, dtype=torch.float64).requires_grad_()
        oracle._get_per_token_logps_and_entropies = lambda *_, leaf=leaf, **__: (values["logprobs"], leaf, None)
        oracle._compute_loss(oracle.model, micro_batch(line, values, mask, torch.arange(ROWS))).backward()
        updates.append({"entropy": oracle._last_world_entropy, "applied": exact(-leaf.grad.sum().item()),
                        "coefficient": oracle.entropy_coef})
    return {"coefficient": 0.002, **control, "updates": updates}


def main() -> None:
    """loss/switch_batches.safetensors, loss/switches.json and .safetensors, loss/adaptive_entropy.json."""
    lines, tensors = [*plain_cases(), *kl_cases(), *entropy_cases(), *sampler_cases()], {}
    for line in lines:
        tensors |= expected(line)
    rloo_lines, rloo_tensors = rloo()
    write_tensors(GOLDEN / "loss" / "switch_batches.safetensors", inputs())
    write("switches", lines + rloo_lines, tensors | rloo_tensors)
    write_json(GOLDEN / "loss" / "adaptive_entropy.json", adaptive_entropy())


if __name__ == "__main__":
    main()
