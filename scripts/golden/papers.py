"""Losses of papers that trl does not have, written down in plain PyTorch from their equations; the gradients are autograd's.

GSPO-token (arXiv 2507.18071, Eq. 14), the estimators k1, k2 and k3 of the KL divergence as a loss (Schulman 2020), Clip-Cov
and KL-Cov (arXiv 2505.22617, section 4), IcePop (arXiv 2510.18855), and surrogates at levels of the ratio that trl refuses.
"""

import torch
from common import generator
from switch_cases import ROWS, batch, case, importance, importance_weights, kept, masks, write

KL_COV = {"kind": "kl_cov", "fraction": 0.1, "beta": 0.5}
CLIP_COV = {"kind": "clip_cov", "fraction": 0.1, "low": 0.1, "high": 5.0}
UNCLIPPED = {"kind": "clip", "low": 1e9, "high": 1e9}


def cases() -> list[dict]:
    """The lines of the manifest."""
    by_token = {"ratio": "sequence_token", "advantages": "token"}
    lines = [case("grpo", f"gspo_token_{name}_{mask}", batch=name, mask=mask, **by_token) for name in ("near", "wide")
             for mask in ("plain", "both")]
    lines += [case("grpo", f"{kl}_{label}", mask="forced", kl_beta=0.04, kl_estimator=kl, **changes) for kl in ("k1", "k2", "k3")
              for label, changes in (("alone", {}), ("ratio", {"kl_times_ratio": True}),
                                     ("sequence_ratio", {"kl_times_ratio": True, "ratio": "sequence"}),
                                     ("gspo_token_ratio", {"kl_times_ratio": True, **by_token}))]
    lines += [case(loss, f"at_{level}", ratio=level, mask="both", advantages="token") for loss in ("cispo", "sapo")
              for level in ("sequence_token", "product")]
    icepop = importance("token", "mask", 0.8, 1.25)
    lines += [case("grpo", "icepop", importance=icepop), case("dapo", "icepop_wide", importance=importance("token", "mask", 0.5, 5.0),
                                                               batch="wide", mask="both")]
    lines += [case("dapo", f"kl_cov_{label}", covariance=KL_COV, advantages="token", surrogate=surrogate, mask="forced")
              for label, surrogate in (("unclipped", UNCLIPPED), ("clipped", None))]
    lines += [case("dapo", f"clip_cov_{mask}", covariance=CLIP_COV, advantages="token", mask=mask) for mask in ("plain", "both")]
    # A None stands for what the loss type says.
    return [{**case(line["loss_type"]), **line} for line in lines]


def by_completion(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`[rows, 1]`: mean over the tokens of each completion that count."""
    return (values * mask).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)


def ratio(line: dict, log_ratio: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """pi_theta / pi_old at the level of the case."""
    level = line.get("ratio", "token")
    if level == "sequence":  # GSPO, Eq. 7
        return by_completion(log_ratio, mask).exp().expand_as(log_ratio)
    if level == "sequence_token":  # GSPO, Eq. 14: sg[s_i] pi_theta / sg[pi_theta]
        return by_completion(log_ratio, mask).exp().detach() * log_ratio.exp() / log_ratio.exp().detach()
    if level == "product":
        return (log_ratio * mask).sum(1, keepdim=True).exp().expand_as(log_ratio)
    return log_ratio.exp()


def policy_loss(line: dict, r: torch.Tensor, advantages: torch.Tensor, logprobs: torch.Tensor) -> torch.Tensor:
    """`[rows, width]`: what is made of ratio and advantage."""
    surrogate = line["surrogate"]
    if surrogate["kind"] == "clip":
        return torch.maximum(-r * advantages, -r.clamp(1 - surrogate["low"], 1 + surrogate["high"]) * advantages)
    if surrogate["kind"] == "cispo":
        return -r.clamp(max=surrogate["cap"]).detach() * advantages * logprobs
    tau = torch.where(advantages > 0, surrogate["positive"], surrogate["negative"]).to(advantages.dtype)
    return -4 / tau * torch.sigmoid(tau * (r - 1)) * advantages


def divergence(line: dict, log_ref_ratio: torch.Tensor) -> torch.Tensor:
    """The estimator of a case, with d = log pi_ref - log pi_theta."""
    d = log_ref_ratio
    return {"k1": -d, "k2": d.square() / 2, "k3": d.exp() - d - 1}[line.get("kl_estimator", "k3")]


def covariances(logprobs: torch.Tensor, advantages: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """`[rows, width]`: Eq. 10 of Cui et al. over all tokens that count; 0 at the others."""
    chosen = mask.bool()
    centred = lambda values: values - values[chosen].mean()  # noqa: E731
    return (centred(logprobs) * centred(advantages) * mask).detach()


def by_covariance(line: dict, per_token, r, log_ratio, advantages, logprobs, mask) -> torch.Tensor:
    """The policy loss with Clip-Cov or KL-Cov; writes the tokens that were chosen into the case."""
    setting = line["covariance"]
    cov = covariances(logprobs, advantages, mask)
    places = mask.bool().flatten().nonzero().squeeze(1)
    n = max(1, int(setting["fraction"] * len(places)))
    if setting["kind"] == "kl_cov":
        picked = places[cov.flatten()[places].topk(n).indices]
        price = torch.zeros(cov.numel(), dtype=cov.dtype).scatter(0, picked, setting["beta"]).reshape(cov.shape)
        return per_token + price * log_ratio.abs()
    low, high = line["surrogate"]["low"], line["surrogate"]["high"]
    clipped = ((advantages < 0) & (r < 1 - low)) | ((advantages > 0) & (r > 1 + high))
    fits = (cov > setting["low"]) & (cov < setting["high"]) & ~clipped & mask.bool()
    candidates = torch.arange(len(places))[fits.flatten()[places]]
    shuffled = candidates[torch.randperm(len(candidates), generator=generator(91))]
    assert len(shuffled) > n, "nothing would be left to draw"
    line["permutation"] = shuffled.tolist()
    keep = torch.ones(cov.numel(), dtype=cov.dtype).scatter(0, places[shuffled[:n]], 0.0).reshape(cov.shape)
    return per_token * keep


def aggregated(line: dict, per_token: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The scalar."""
    if line["aggregation"] == "per_completion":
        return by_completion(per_token, mask).sum() / ROWS
    assert line["aggregation"] == "per_token"
    return (per_token * mask).sum() / mask.sum()


def run(line: dict, kind: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient of a case."""
    values = {name: tensor.to(kind, copy=True) for name, tensor in batch(line["batch"]).items()}
    mask = masks()[line["mask"]].to(kind)
    logprobs, advantages = values["logprobs"].requires_grad_(), values[f"{line.get('advantages', 'row')}_advantages"]
    log_ratio = logprobs - values["old_logprobs"]
    r = ratio(line, log_ratio, mask)
    per_token = policy_loss(line, r, advantages, logprobs)
    if "importance" in line:
        per_token = per_token * importance_weights(line["importance"], values["old_logprobs"], values["sampler_logprobs"], mask)
    if "covariance" in line:
        per_token = by_covariance(line, per_token, r, log_ratio, advantages, logprobs, mask)
    if "kl_beta" in line:
        kl = divergence(line, values["ref_logprobs"] - logprobs)
        per_token = per_token + line["kl_beta"] * (kl * r if line.get("kl_times_ratio") else kl)
    loss = aggregated(line, per_token, mask)
    loss.backward()
    return loss.detach(), logprobs.grad


def main() -> None:
    """loss/papers.json and .safetensors; the batches are those of switches.py."""
    lines, tensors = cases(), {}
    for line in lines:
        # float64 last: the tokens that are chosen are those of the greater precision.
        for kind, key in ((torch.float32, "float32"), (torch.float64, "float64")):
            loss, gradient = run(line, kind)
            tensors |= {f"{line['name']}/{key}/loss": loss, f"{line['name']}/{key}/gradient": kept(gradient)}
    write("papers", lines, tensors)


if __name__ == "__main__":
    main()
