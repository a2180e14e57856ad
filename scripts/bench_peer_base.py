"""What both sides of the benchmark get: a random base model in Hugging Face's format and prompts of 24 to 40 tokens.

Usage: bench_peer_base.py FOLDER SHAPE
"""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "golden"))

N_PROMPTS, GROUP_SIZE, COMPLETION_TOKENS, KL_BETA, LEARNING_RATE = 16, 8, 64, 0.001, 1e-5
SHORTEST_PROMPT, LONGEST_PROMPT = 24, 40

# Qwen2 architecture, tied head, 0.75 and 4.8 million weights.
SHAPES = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
             "intermediate_size": 352, "vocab_size": 128},
    "small": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2,
              "intermediate_size": 704, "vocab_size": 2048},
}


def write_base(folder: Path, shape: str) -> None:
    """config.json, model.safetensors and tokenizer.json of a random model of this shape."""
    import torch
    from tokenizer import BOS_ID, EOS_ID, PAD_ID, build
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[shape], max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=BOS_ID,
                         eos_token_id=EOS_ID, pad_token_id=PAD_ID)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    build(config.vocab_size).save_pretrained(folder)


def write_prompts(path: Path, base: Path) -> None:
    """One JSON object a line: {"id", "question"}; lengths in tokens spread over the whole range."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    draw = random.Random(0)
    lines = []
    for index in range(N_PROMPTS):
        wanted = SHORTEST_PROMPT + index * (LONGEST_PROMPT - SHORTEST_PROMPT) // (N_PROMPTS - 1)
        text = ""
        while len(tokenizer(text)["input_ids"]) < wanted:
            text += draw.choice("abcdefghijklmnopqrstuvwxyz0123456789   +-*/")
        assert len(tokenizer(text)["input_ids"]) == wanted
        lines.append(json.dumps({"id": f"prompt-{index}", "question": text}) + "\n")
    path.write_text("".join(lines))


def main() -> None:
    """Write FOLDER/base and FOLDER/prompts.jsonl."""
    folder = Path(sys.argv[1])
    write_base(folder / "base", sys.argv[2])
    write_prompts(folder / "prompts.jsonl", folder / "base")


if __name__ == "__main__":
    main()
