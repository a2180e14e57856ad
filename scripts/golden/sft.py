"""The loss of supervised fine-tuning through a model: transformers' own, padded rows with labels of -100, float32."""

import torch
from common import GOLDEN, exact, generator, write_json, write_tensors
from transformers import AutoModelForCausalLM

MODELS = ("qwen2_tied", "qwen3_untied", "llama3_scaled")
IGNORED = -100
# Tokens of each conversation, and the stretches of it that are learned. The first has two turns, the fourth goes on behind
# its last target, the fifth learns a single token, the last is plain text: all but the first token.
ROWS = [
    (37, [(6, 15), (22, 37)]),
    (9, [(4, 9)]),
    (64, [(31, 64)]),
    (23, [(5, 17)]),
    (5, [(4, 5)]),
    (18, [(1, 18)]),
]


def batch(vocab_size: int, pad: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """Right-padded rows: a mask for each keeps it from every other, which is what packing has to come to."""
    width = max(length for length, _ in ROWS)
    ids, mask = torch.full((len(ROWS), width), pad), torch.zeros(len(ROWS), width).long()
    labels = torch.full((len(ROWS), width), IGNORED)
    for row, (length, stretches) in enumerate(ROWS):
        ids[row, :length] = torch.randint(3, vocab_size, (length,), generator=rng)
        mask[row, :length] = 1
        for start, end in stretches:
            labels[row, start:end] = ids[row, start:end]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def run(index: int, name: str) -> dict:
    """One model: a file with inputs, loss and gradients; returns its line of the manifest."""
    model = AutoModelForCausalLM.from_pretrained(GOLDEN / "models" / name, attn_implementation="eager", dtype=torch.float32)
    inputs = batch(model.config.vocab_size, model.config.pad_token_id, generator(111, index))
    # One mean over the targets of all rows: a long conversation weighs more than a short one.
    loss = model.eval()(**inputs).loss
    loss.backward()
    gradients = {f"gradient/{key}": parameter.grad for key, parameter in model.named_parameters()}
    write_tensors(GOLDEN / "sft" / f"{name}.safetensors", {**inputs, "loss": loss, **gradients})
    n_targets = int((inputs["labels"] != IGNORED).sum())
    return {"model": name, "loss": exact(loss.item()), "n_targets": n_targets}


def main() -> None:
    """sft/*.safetensors and sft/manifest.json."""
    write_json(GOLDEN / "sft" / "manifest.json", [run(index, name) for index, name in enumerate(MODELS)])


if __name__ == "__main__":
    main()
