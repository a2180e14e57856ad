"""transformers' generate on a shape of `grpo-train bench`, timed. Started by gpu_check.py.

Usage: gpu_check_transformers.py SHAPE ROWS TOKENS DEVICE RESULT.json
"""

import json
import sys
import time
from pathlib import Path

import torch
import transformers

# As in trainer/src/bench/subject.rs.
SHAPES = {"tiny": (128, 4, 4, 2, 352, 128), "small": (256, 6, 8, 2, 704, 2048), "medium": (896, 24, 14, 2, 4864, 151_936),
          "large": (1536, 28, 12, 2, 8960, 151_936)}
PROMPT_TOKENS = 32


def main() -> None:
    """Random weights in bfloat16, random prompts, completions of exactly TOKENS tokens: once short to warm up, once timed."""
    shape, rows, tokens, device, result = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5])
    hidden, layers, heads, kv_heads, ffn, vocab = SHAPES[shape]
    config = transformers.Qwen2Config(
        hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv_heads,
        intermediate_size=ffn, vocab_size=vocab, max_position_embeddings=PROMPT_TOKENS + tokens, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=0, pad_token_id=2)
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
        prompts = torch.randint(3, vocab, (rows, PROMPT_TOKENS))

    def generate(n: int) -> float:
        if device != "cpu":
            torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.no_grad():
            made = model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=True, temperature=1.0, top_k=0,
                                  top_p=1.0, max_new_tokens=n, min_new_tokens=n)
        if device != "cpu":
            torch.cuda.synchronize()
        assert made.shape == (rows, PROMPT_TOKENS + n), made.shape
        return time.perf_counter() - began

    generate(8)
    seconds = generate(tokens)
    result.write_text(json.dumps({
        "seconds": seconds, "tokens_per_second": rows * tokens / seconds, "step_seconds": seconds / tokens,
        "peak_bytes": torch.cuda.max_memory_allocated() if device != "cpu" else None, "transformers": transformers.__version__,
        "torch": torch.__version__}) + "\n")


if __name__ == "__main__":
    main()
