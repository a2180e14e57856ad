"""What the generators of losses with every switch share: the batches, and how a case is written down for the tests.

A case is one line of a manifest in the words of the Rust types; what it does not name is as in GRPO.
"""

import torch
from common import GOLDEN, generator, write_json, write_tensors

ROWS, WIDTH, MAX_COMPLETION_LENGTH = 12, 16, 20
LENGTHS = [1, 7, 16, 9, 16, 3, 12, 5, 16, 2, 11, 16]
TRUNCATED_ROWS = (2, 7)
MASKS = ("plain", "forced", "truncated", "both")
BATCHES = ("near", "wide")
# trl's loss types: ours is an aggregation and a surrogate.
LOSS_TYPES = {
    "grpo": ("per_completion", "clip"), "bnpo": ("local", "clip"), "dr_grpo": ("constant", "clip"), "dapo": ("per_token", "clip"),
    "luspo": ("sum", "clip"), "cispo": ("per_token", "cispo"), "sapo": ("per_completion", "sapo"), "vespo": ("per_token", "vespo")}
# trl makes SAPO's temperatures float32 numbers whatever the loss is computed in; 1.25 is one, its default 1.05 is not.
SURROGATES = {
    "clip": {"low": 0.2, "high": 0.28}, "cispo": {"cap": 1.6}, "sapo": {"positive": 1.0, "negative": 1.25},
    "vespo": {"positive": [2.0, 3.0], "negative": [3.0, 2.0]}}


def masks() -> dict[str, torch.Tensor]:
    """`[rows, width]` int64: which tokens count. `length` is which tokens there are; `forced` leaves out tokens in the middle
    that the policy has not drawn, `truncated` whole completions, `both` both."""
    length = (torch.arange(WIDTH) < torch.tensor(LENGTHS)[:, None]).long()
    drawn = (torch.rand(ROWS, WIDTH, generator=generator(81)) > 0.3).long()
    whole = torch.ones(ROWS, 1, dtype=torch.long)
    whole[list(TRUNCATED_ROWS)] = 0
    return {"length": length, "plain": length, "forced": length * drawn, "truncated": length * whole, "both": length * drawn * whole}


def batch(name: str) -> dict[str, torch.Tensor]:
    """Log-probabilities, entropies and advantages of one batch, float32 numbers held in float64.

    near: ratios to pi_old log-uniform in [1/1.6, 1.6], to the sampler in [1/1.5, 1.5]; the product over a completion stays
    moderate. wide: log-uniform in [1/20, 20] in half of the rows, and three log-ratios of +-15. Row 0 is on policy.
    """
    rng = generator(82, BATCHES.index(name))
    uniform = lambda bound: (torch.rand(ROWS, WIDTH, generator=rng) * 2 - 1) * torch.tensor(bound).log()  # noqa: E731
    logprobs = -torch.empty(ROWS, WIDTH).exponential_(0.7, generator=rng)
    log_ratio = uniform(1.6)
    if name == "wide":
        log_ratio[1::2] = uniform(20.0)[1::2]
        log_ratio[4, 3], log_ratio[8, 5], log_ratio[10, 2] = 15.0, -15.0, 15.0
    log_ratio[0] = 0
    old = logprobs - log_ratio
    advantages = torch.randn(ROWS, generator=rng)
    advantages[5] = 0.0
    tensors = {
        "logprobs": logprobs, "old_logprobs": old, "ref_logprobs": logprobs + 0.5 * torch.randn(ROWS, WIDTH, generator=rng),
        "sampler_logprobs": old - uniform(1.5 if name == "near" else 4.0),
        "entropies": torch.rand(ROWS, WIDTH, generator=rng) * 3,
        "row_advantages": advantages[:, None].expand(ROWS, WIDTH),
        "token_advantages": advantages[:, None] + 0.5 * torch.randn(ROWS, WIDTH, generator=rng)}
    return {key: (tensor * masks()["length"]).double() for key, tensor in tensors.items()}


def case(loss_type: str, name: str = "", **changes) -> dict:
    """A line of the manifest: GRPO's of this loss type, and what `changes` says otherwise. What is None is not written."""
    aggregation, surrogate = LOSS_TYPES[loss_type]
    line = {"name": f"{loss_type}_{name}" if name else loss_type, "loss_type": loss_type, "batch": "near", "mask": "plain",
            "aggregation": aggregation, "surrogate": {"kind": surrogate, **SURROGATES[surrogate]}}
    line |= changes
    return {key: value for key, value in line.items() if value is not None}


def importance(level: str, action: str, floor: float | None, cap: float) -> dict:
    """The setting of importance weights as a case has it."""
    return {"level": level, "action": action, **({} if floor is None else {"floor": floor}), "cap": cap}


def importance_weights(setting: dict, old: torch.Tensor, sampler: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """trl's `vllm_importance_sampling_ratio`, as its `_generate_and_score_completions` makes it: `[rows, width]`, or `[rows, 1]`
    of whole completions."""
    difference = (old - sampler) * mask
    ratio = (difference.sum(-1, keepdim=True) if setting["level"] == "sequence" else difference).exp()
    floor, cap = setting.get("floor"), setting["cap"]
    if setting["action"] == "truncate":
        return ratio.clamp(min=floor, max=cap)
    return ratio.masked_fill((ratio < (0.0 if floor is None else floor)) | (ratio > cap), 0.0)


def write(name: str, lines: list[dict], tensors: dict[str, torch.Tensor]) -> None:
    """`loss/NAME.json` and `loss/NAME.safetensors`; names of cases are unique."""
    assert len({line["name"] for line in lines}) == len(lines), "two cases of one name"
    write_tensors(GOLDEN / "loss" / f"{name}.safetensors", tensors)
    write_json(GOLDEN / "loss" / f"{name}.json", lines)


def kept(values: torch.Tensor) -> torch.Tensor:
    """The tokens there are, row after row: what a table is stored as."""
    return values[masks()["length"].bool()]


def inputs() -> dict[str, torch.Tensor]:
    """Every batch and mask under the name that it is stored by."""
    stored = {f"{name}/{key}": kept(tensor) for name in BATCHES for key, tensor in batch(name).items()}
    stored |= {f"masks/{key}": kept(masks()[key]) for key in MASKS}
    return {**stored, "lengths": torch.tensor(LENGTHS)}
