"""Ten steps of torch.optim.AdamW on given gradients: weights, moments and gradient norms."""

import torch
from common import GOLDEN, generator, write_tensors

STEPS, BETAS, EPS = 10, (0.9, 0.95), 1e-8
SHAPES = {"embed.weight": (7, 5), "norm.weight": (5,), "proj.bias": (3,), "proj.weight": (3, 5)}
# name: (weight decay, parameters that decay, largest gradient norm)
CASES = {
    "plain": (0.0, "all", None),
    "decay_all": (0.1, "all", None),
    "decay_matrices": (0.1, "matrices", None),
    "clipped": (0.0, "all", 1.0),
    "decay_clipped": (0.1, "matrices", 1.0),
}


def rate(step: int) -> float:
    """A learning rate that changes, so that one that is remembered shows."""
    return 0.01 * (step + 1) / STEPS


def inputs() -> dict[str, torch.Tensor]:
    """Weights of size 1; gradients over four orders of magnitude, so that clipping acts in some steps; a few zeros."""
    rng = generator(51)
    tensors = {f"initial.{name}": torch.randn(shape, generator=rng) for name, shape in SHAPES.items()}
    for step in range(STEPS):
        for name, shape in SHAPES.items():
            gradient = torch.randn(shape, generator=rng) * 10.0 ** (step % 5 - 3)
            gradient[0] = 0.0
            tensors[f"gradient.{step}.{name}"] = gradient
    return tensors


def run(given: dict[str, torch.Tensor], decay: float, scope: str, max_norm: float | None, kind: torch.dtype):
    """name -> tensor: the norm before clipping and the weights of each step, and the moments at the end."""
    weights = {name: given[f"initial.{name}"].to(kind).clone().requires_grad_() for name in SHAPES}
    decayed = [w for w in weights.values() if scope == "all" or w.dim() >= 2]
    kept = [w for w in weights.values() if not (scope == "all" or w.dim() >= 2)]
    groups = [{"params": decayed, "weight_decay": decay}] + ([{"params": kept, "weight_decay": 0.0}] if kept else [])
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=BETAS, eps=EPS, foreach=False)
    found = {}
    for step in range(STEPS):
        for name, weight in weights.items():
            weight.grad = given[f"gradient.{step}.{name}"].to(kind).clone()
        bound = float("inf") if max_norm is None else max_norm
        found[f"norm.{step}"] = torch.nn.utils.clip_grad_norm_(weights.values(), bound)
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        optimizer.step()
        found |= {f"weight.{step}.{name}": weight.detach().clone() for name, weight in weights.items()}
    for name, weight in weights.items():
        state = optimizer.state[weight]
        found[f"exp_avg.{name}"], found[f"exp_avg_sq.{name}"] = state["exp_avg"], state["exp_avg_sq"]
    return found


def main() -> None:
    """adamw.safetensors: initial.NAME, gradient.STEP.NAME, CASE/DTYPE/{norm.STEP, weight.STEP.NAME, exp_avg.NAME}."""
    given = inputs()
    tensors = dict(given)
    for case, (decay, scope, max_norm) in CASES.items():
        for kind in (torch.float64, torch.float32):
            found = run(given, decay, scope, max_norm, kind)
            tensors |= {f"{case}/{str(kind).removeprefix('torch.')}/{key}": value for key, value in found.items()}
    write_tensors(GOLDEN / "adamw.safetensors", tensors)


if __name__ == "__main__":
    main()
