"""Tiny random models in Hugging Face's format, with the log-probabilities and greedy tokens transformers gives for them."""

import json
import shutil

import torch
from common import GOLDEN, exact, generator, write_json, write_jsonl
from tokenizer import BOS_ID, EOS_ID, PAD_ID, build
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

IDS = {"bos_token_id": BOS_ID, "eos_token_id": EOS_ID, "pad_token_id": PAD_ID}
PLAIN = {"rope_type": "default", "rope_theta": 10_000.0}
# Wavelengths of the 8 rotation pairs at theta 500: 6.3, 13.7, 29.7, 64.6, ... Against a trained context of 32 the first is
# kept (shorter than 32 / 4), the next two are blended, the rest (longer than 32 / 1) are slowed by 8: all three branches.
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}

QWEN2_TIED = Qwen2Config(
    vocab_size=128, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=256, rms_norm_eps=1e-6, rope_parameters=PLAIN, tie_word_embeddings=True, **IDS)
QWEN2_MHA = Qwen2Config(
    vocab_size=104, hidden_size=48, intermediate_size=56, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=3,
    max_position_embeddings=256, rms_norm_eps=1e-5, rope_parameters={**PLAIN, "rope_theta": 1e6}, tie_word_embeddings=False,
    **IDS)
# 4 heads of 16 make 64 query features on a hidden size of 32: head_dim is not hidden_size / heads.
QWEN3_TIED = Qwen3Config(
    vocab_size=128, hidden_size=32, intermediate_size=72, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
    head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-6, rope_parameters={**PLAIN, "rope_theta": 1e6},
    tie_word_embeddings=True, **IDS)
QWEN3_UNTIED = Qwen3Config(
    vocab_size=112, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1,
    head_dim=12, max_position_embeddings=256, rms_norm_eps=1e-6, rope_parameters=PLAIN, tie_word_embeddings=False, **IDS)
LLAMA3_SCALED = LlamaConfig(
    vocab_size=112, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3, num_key_value_heads=1,
    head_dim=16, max_position_embeddings=256, rms_norm_eps=1e-5, rope_parameters=LLAMA3, tie_word_embeddings=False,
    bos_token_id=BOS_ID, eos_token_id=[EOS_ID, 3], pad_token_id=PAD_ID)
LLAMA_TIED = LlamaConfig(
    vocab_size=128, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=256, rms_norm_eps=1e-6, rope_parameters=PLAIN, tie_word_embeddings=True, **IDS)

# name: (config, seed, how it is stored). A seed is the first whose greedy path passes the checks of `greedy`.
MODELS = {
    "qwen2_tied": (QWEN2_TIED, 34, {}),
    "qwen2_untied_mha": (QWEN2_MHA, 1, {}),
    "qwen3_tied": (QWEN3_TIED, 3, {}),
    "qwen3_untied": (QWEN3_UNTIED, 3, {}),
    "llama3_scaled": (LLAMA3_SCALED, 2, {}),
    "llama_tied": (LLAMA_TIED, 16, {}),
    "qwen2_sharded": (QWEN2_MHA, 1, {"max_shard_size": "40KB"}),
    "qwen3_bfloat16": (QWEN3_TIED, 3, {"dtype": torch.bfloat16}),
    "qwen2_old_config": (QWEN2_TIED, 34, {"old_config": True}),
    "llama3_old_config": (LLAMA3_SCALED, 2, {"old_config": True}),
}
LENGTHS = (5, 37, 96, 200)
PROMPT_LENGTH, GREEDY_LENGTH, GREEDY_GAP = 12, 48, 1e-3


def randomise(model: torch.nn.Module, rng: torch.Generator) -> None:
    """Weights that leave nothing at its default: a bias of 0 or a norm of 1 would hide that it is never applied."""
    for name, parameter in sorted(model.named_parameters()):
        noise = torch.randn(parameter.shape, generator=rng)
        if "norm" in name:
            parameter.data = 1 + 0.25 * noise
        elif name.endswith("bias"):
            parameter.data = 0.3 * noise
        elif "embed_tokens" in name:
            parameter.data = 0.25 * noise
        else:
            parameter.data = noise / parameter.shape[1] ** 0.5


def logprobs(model: torch.nn.Module, ids: list[int]) -> list[float]:
    """Natural log-probabilities of ids[1..], float32."""
    logits = model(torch.tensor([ids])).logits[0, :-1].float()
    picked = logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
    return [exact(value) for value in picked.tolist()]


def greedy(model: torch.nn.Module, prompt: list[int]) -> tuple[list[int], float]:
    """The arg-max continuation by full forwards (no cache), and the smallest lead of a best token over the second."""
    ids, smallest = list(prompt), float("inf")
    for _ in range(GREEDY_LENGTH):
        best = model(torch.tensor([ids])).logits[0, -1].float().topk(2)
        smallest = min(smallest, (best.values[0] - best.values[1]).item())
        ids.append(best.indices[0].item())
    return ids[len(prompt):], smallest


def greedy_is_usable(tokens: list[int], gap: float) -> bool:
    """Robust to rounding, not a loop of a few tokens, and free of the ids at which a sampler stops."""
    return gap > GREEDY_GAP and len(set(tokens)) >= 10 and not {EOS_ID, PAD_ID, 3} & set(tokens)


def to_old_config(folder) -> None:
    """Rewrite config.json the way transformers 4 wrote it: rope and dtype keys at the top level."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["torch_dtype"] = config.pop("dtype")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["transformers_version"] = "4.46.0"
    config.pop("layer_types", None)
    path.write_text(json.dumps(dict(sorted(config.items())), indent=2) + "\n")


def make(config, seed: int, max_shard_size: str | None = None, dtype=torch.float32, old_config: bool = False):
    """The model in the precision in which it is stored."""
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    randomise(model, generator(7, seed))
    model.tie_weights()
    return model.to(dtype)


def write(name: str) -> dict:
    """One model folder, its log-probabilities and its greedy tokens; returns its line of the manifest."""
    config, seed, storage = MODELS[name]
    folder = GOLDEN / "models" / name
    shutil.rmtree(folder, ignore_errors=True)
    shard = {"max_shard_size": storage["max_shard_size"]} if "max_shard_size" in storage else {}
    make(config, seed, **storage).save_pretrained(folder, **shard)
    build(config.vocab_size).save_pretrained(folder)
    if storage.get("old_config"):
        to_old_config(folder)

    # From the folder as written, so that the numbers belong to the files and not to what was meant to be in them.
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    rng = generator(11, seed)
    rows = []
    for length in LENGTHS:
        ids = torch.randint(3, config.vocab_size, (length,), generator=rng).tolist()
        rows.append({"ids": ids, "logprobs": logprobs(model, ids)})
    write_jsonl(GOLDEN / "logprobs" / f"{name}.jsonl", rows)

    prompt = torch.randint(3, config.vocab_size, (PROMPT_LENGTH,), generator=rng).tolist()
    tokens, gap = greedy(model, prompt)
    assert greedy_is_usable(tokens, gap), f"{name}, seed {seed}: gap {gap}, {len(set(tokens))} distinct: take another seed"
    write_jsonl(GOLDEN / "greedy" / f"{name}.jsonl", [{"prompt_ids": prompt, "greedy_ids": tokens}])
    return {"seed": seed, "greedy_gap": exact(gap), "parameters": sum(p.numel() for p in model.parameters())}


@torch.no_grad()
def main() -> None:
    """Every model, and models.json with its seed and the smallest gap of its greedy path."""
    write_json(GOLDEN / "models.json", {name: write(name) for name in MODELS})


if __name__ == "__main__":
    main()
