"""The GRPO loss through a model: trl's `_compute_loss` from token ids to the gradient of every parameter, float32."""

import torch
from common import GOLDEN, exact, generator, write_json, write_tensors
from trl_oracle import EPSILON, EPSILON_HIGH, GROUP_SIZE, row_normalizers, trainer

ROWS, MAX_COMPLETION_LENGTH, PROMPT_LENGTHS = 8, 24, (9, 5)
LENGTHS = [16, 3, 11, 1, 14, 8, 16, 5]
# (model, loss type, kl beta, temperature[, level of the ratio[, coefficient of the entropy]])
CASES = [
    ("qwen2_tied", "grpo", 0.04, 1.0),
    ("qwen2_tied", "grpo", 0.0, 0.7),
    ("qwen2_tied", "dapo", 0.04, 0.7),
    ("qwen2_tied", "dr_grpo", 0.0, 1.0),
    ("qwen3_untied", "grpo", 0.04, 1.0),
    ("llama3_scaled", "bnpo", 0.04, 1.0),
    ("qwen2_tied", "grpo", 0.04, 0.7, "sequence"),
    ("qwen3_untied", "dapo", 0.0, 0.7, "token", 0.05),
]


def ids_and_masks(oracle, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """Two groups whose prompts differ in length (left-padded), completions of ragged length (right-padded)."""
    vocab_size, pad = oracle.model.config.vocab_size, oracle.model.config.pad_token_id
    width = max(PROMPT_LENGTHS)
    prompts, prompt_mask = torch.full((len(PROMPT_LENGTHS), width), pad), torch.zeros(len(PROMPT_LENGTHS), width).long()
    for row, length in enumerate(PROMPT_LENGTHS):
        prompts[row, width - length:] = torch.randint(3, vocab_size, (length,), generator=rng)
        prompt_mask[row, width - length:] = 1
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    completions = torch.randint(3, vocab_size, mask.shape, generator=rng).where(mask.bool(), torch.tensor(pad))
    return {"prompt_ids": prompts.repeat_interleave(GROUP_SIZE, 0),
            "prompt_mask": prompt_mask.repeat_interleave(GROUP_SIZE, 0),
            "completion_ids": completions, "completion_mask": mask}


def token_logprobs(oracle, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """[rows, seq]: log-probabilities of the completion tokens under the tempered distribution, by trl's own forward."""
    with torch.no_grad():
        return oracle._get_per_token_logps_and_entropies(
            oracle.model, torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1), batch["completion_ids"].shape[1])[0]


def run(index: int, model: str, loss_type: str, beta: float, temperature: float, level: str = "token", bonus: float = 0.0) -> dict:
    """One case: a file with inputs, loss, log-probabilities and gradients; returns its line of the manifest."""
    oracle = trainer(model, rows=ROWS, max_completion_length=MAX_COMPLETION_LENGTH, loss_type=loss_type, beta=beta,
                     temperature=temperature, use_bias_correction_kl=False, epsilon=EPSILON, epsilon_high=EPSILON_HIGH,
                     importance_sampling_level=level, entropy_coef=bonus)
    rng = generator(31, index)
    batch = ids_and_masks(oracle, rng)
    mask = batch["completion_mask"]
    logprobs = token_logprobs(oracle, batch)
    log_ratio = (torch.rand(logprobs.shape, generator=rng) * 2 - 1) * torch.tensor(2.0).log()
    batch |= {
        "old_per_token_logps": (logprobs - log_ratio) * mask,
        "ref_per_token_logps": (logprobs + 0.3 * torch.randn(logprobs.shape, generator=rng)) * mask,
        "advantages": torch.randn(ROWS, generator=rng),
        "num_items_in_batch": mask.sum(),
    }
    oracle.model.zero_grad()
    loss = oracle._compute_loss(oracle.model, batch)
    loss.backward()

    name = f"model_{model}_{loss_type}_beta{beta}_temperature{temperature}"
    name += f"{'_sequence' if level == 'sequence' else ''}{f'_bonus{bonus}' if bonus else ''}"
    gradients = {f"gradient/{key}": parameter.grad for key, parameter in oracle.model.named_parameters()}
    write_tensors(GOLDEN / "loss" / f"{name}.safetensors", {
        "prompt_ids": batch["prompt_ids"], "prompt_mask": batch["prompt_mask"],
        "completion_ids": batch["completion_ids"], "completion_mask": mask, "advantages": batch["advantages"],
        "old_logprobs": batch["old_per_token_logps"], "ref_logprobs": batch["ref_per_token_logps"],
        "logprobs": logprobs * mask, "loss": loss,
        "row_normalizers": row_normalizers(loss_type, mask, MAX_COMPLETION_LENGTH, 1), **gradients})
    norm = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
    return {"name": name, "model": model, "loss_type": loss_type, "kl_beta": beta, "kl_times_ratio": False,
            "temperature": temperature, "clip_epsilon": EPSILON, "clip_epsilon_high": EPSILON_HIGH, "group_size": GROUP_SIZE,
            "max_completion_length": MAX_COMPLETION_LENGTH, "n_tokens": sum(LENGTHS), "loss": exact(loss.item()),
            "gradient_norm": exact(norm.item()), "ratio": level, "entropy_coef": bonus}


def main() -> None:
    """loss/model_*.safetensors and loss/model_manifest.json."""
    write_json(GOLDEN / "loss" / "model_manifest.json", [run(index, *case) for index, case in enumerate(CASES)])


if __name__ == "__main__":
    main()
