"""Tiny random reward models in Hugging Face's format: scores by transformers, losses and their gradients by trl and PyTorch."""

import shutil
from collections import defaultdict
from types import SimpleNamespace

import torch
from common import GOLDEN, exact, generator, write_json, write_tensors
from models import IDS, LLAMA3, PLAIN, randomise
from tokenizer import PAD_ID, build
from transformers import AutoModelForSequenceClassification, LlamaConfig, Qwen2Config, Qwen3Config
from trl import RewardTrainer

SMALL = {"vocab_size": 104, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "max_position_embeddings": 256, "num_labels": 1, **IDS}
MODELS = {
    "qwen2": Qwen2Config(**SMALL, rope_parameters=PLAIN, tie_word_embeddings=True),
    "qwen3": Qwen3Config(**SMALL, head_dim=12, rope_parameters=PLAIN, tie_word_embeddings=False),
    "llama": LlamaConfig(**SMALL, head_dim=8, rope_parameters=LLAMA3, tie_word_embeddings=False),
}
# Chosen and rejected of each pair; labels of the same sequences for the point-wise loss.
LENGTHS = [(5, 9), (31, 17), (1, 64), (40, 40)]
LABELS = [1, 0, 1, 1, 0, 0, 1, 0]


def sequences(rng: torch.Generator) -> list[list[int]]:
    """The chosen of every pair, then the rejected. The last but one ends in the pad token, which is not read."""
    lengths = [chosen for chosen, _ in LENGTHS] + [rejected for _, rejected in LENGTHS]
    rows = [torch.randint(3, SMALL["vocab_size"], (length,), generator=rng).tolist() for length in lengths]
    rows[-2][-2:] = [PAD_ID, PAD_ID]
    return rows


def padded(rows: list[list[int]]) -> dict[str, torch.Tensor]:
    """Filled up on the right."""
    width = max(map(len, rows))
    ids = [row + [PAD_ID] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def pairwise(model, rows: list[list[int]]) -> tuple[torch.Tensor, dict[str, float]]:
    """trl's own loss, and its metrics."""
    metrics = defaultdict(list)
    accelerator = SimpleNamespace(gather=lambda x: x, gather_for_metrics=lambda x: x)
    trainer = SimpleNamespace(model=model, accelerator=accelerator, _metrics={"train": metrics}, _total_train_tokens=0,
                              _tp_size=1, args=SimpleNamespace(center_rewards_coefficient=None))
    loss = RewardTrainer.compute_loss(trainer, model, padded(rows))
    return loss, {name: exact(values[0]) for name, values in metrics.items() if name != "num_tokens"}


def pointwise(model, rows: list[list[int]]) -> torch.Tensor:
    """Binary cross-entropy of the logit that a sequence has label 1."""
    scores = model(**padded(rows)).logits.squeeze(-1)
    return torch.nn.functional.binary_cross_entropy_with_logits(scores, torch.tensor(LABELS).float())


def gradients(model, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of every parameter."""
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


def write(index: int, name: str) -> dict:
    """One model folder and the gradients of both losses; returns its line of the manifest."""
    folder = GOLDEN / "reward_models" / name
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForSequenceClassification.from_config(MODELS[name], attn_implementation="eager", dtype=torch.float32)
    randomise(model, generator(111, index))
    model.save_pretrained(folder)
    build(SMALL["vocab_size"]).save_pretrained(folder)

    # From the folder as written, so that the numbers belong to the files and not to what was meant to be in them.
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).train()
    rows = sequences(generator(112, index))
    with torch.no_grad():
        scores = [exact(model(torch.tensor([row])).logits.item()) for row in rows]
    by_pairs, metrics = pairwise(model, rows)
    of_pairs = gradients(model, by_pairs)
    by_labels = pointwise(model, rows)
    of_labels = gradients(model, by_labels)
    write_tensors(GOLDEN / "reward_models" / f"{name}.safetensors",
                  {f"pairwise/{key}": gradient for key, gradient in of_pairs.items()}
                  | {f"pointwise/{key}": gradient for key, gradient in of_labels.items()})
    return {"sequences": rows, "scores": scores, "labels": LABELS, "pairwise": exact(by_pairs.item()),
            "pointwise": exact(by_labels.item()), "metrics": metrics}


def main() -> None:
    """reward_models/: a folder and a file of gradients for each model, and the numbers of all."""
    write_json(GOLDEN / "reward_models" / "manifest.json", {name: write(index, name) for index, name in enumerate(MODELS)})


if __name__ == "__main__":
    main()
