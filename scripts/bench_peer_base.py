"""What both sides of the benchmark get: a task, a random base model in Hugging Face's format and prompts of 24 to 40 tokens.

Usage: bench_peer_base.py FOLDER TASK, where TASK is a `Task` as JSON
"""

import json
import math
import random
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "golden"))

N_PROMPTS, GROUP_SIZE, LEARNING_RATE = 16, 8, 1e-5
SHORTEST_PROMPT, LONGEST_PROMPT = 24, 40
# Of ragged lengths: no end token before the first, none needed after the second, and this probability of one in between.
SHORTEST, LONGEST, END_PROBABILITY = 16, 256, 1 / 160
# What a completion of a prompt with a signal is rewarded for: its last character is in one half of the printable ones.
REWARDED = r"[!-O]\s*$"

# Qwen2 architecture, tied head, 0.75 and 4.8 million weights.
SHAPES = {
    "tiny": {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
             "intermediate_size": 352, "vocab_size": 128},
    "small": {"hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 8, "num_key_value_heads": 2,
              "intermediate_size": 704, "vocab_size": 2048},
}


@dataclass
class Task:
    """What a step is."""

    shape: str = "tiny"
    tokens: int = 64
    """Of every completion, unless lengths are ragged."""
    ragged: bool = False
    """Completions end where an end token is drawn, between SHORTEST and LONGEST tokens: the base's weights make it as likely as
    END_PROBABILITY at every position. Both sides draw from the same distribution of lengths, each its own sample."""
    beta: float = 0.001
    """Weight of the KL term. At 0 there is no reference, and the reward tells the completions of every second prompt apart."""

    @property
    def name(self) -> str:
        """For folders and tables."""
        length = "ragged" if self.ragged else f"{self.tokens}"
        return length if self.beta else f"{length}-beta0"

    @property
    def limits(self) -> tuple:
        """Least and most tokens of a completion."""
        return (SHORTEST, LONGEST) if self.ragged else (self.tokens, self.tokens)

    def has_signal(self, prompt_idx: int) -> bool:
        """Whether completions of this prompt get different rewards."""
        return self.beta == 0 and prompt_idx % 2 == 1


def write_base(folder: Path, task: Task) -> None:
    """config.json, model.safetensors and tokenizer.json of a random model."""
    import torch
    from tokenizer import BOS_ID, EOS_ID, PAD_ID, build
    from transformers import AutoModelForCausalLM, Qwen2Config

    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[task.shape], max_position_embeddings=512, tie_word_embeddings=True, bos_token_id=BOS_ID,
                         eos_token_id=EOS_ID, pad_token_id=PAD_ID)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if task.ragged:
        make_end_likely(model, EOS_ID, END_PROBABILITY)
    model.save_pretrained(folder)
    build(config.vocab_size).save_pretrained(folder)


def make_end_likely(model, end_id: int, probability: float) -> None:
    """Give the end token about this probability everywhere, by weights alone.

    Every embedding gets the same large first value, so that the first value of the last hidden state hardly depends on the
    text; the end token's row of the tied head gets as much more there as its logit lacks.
    """
    import torch

    with torch.no_grad():
        embedding, norm = model.model.embed_tokens.weight, model.model.norm.weight
        embedding[:, 0] = 1.0
        ids = torch.randint(3, model.config.vocab_size, (8, 128), generator=torch.Generator().manual_seed(0))
        norm[0] /= model.model(ids).last_hidden_state[..., 0].mean()
        logits = model(ids).logits.double()
        others = logits.clone()
        others[..., end_id] = -math.inf
        lacking = math.log(probability / (1 - probability)) - (logits[..., end_id] - others.logsumexp(-1)).mean()
        embedding[end_id, 0] += lacking


def write_prompts(path: Path, base: Path, task: Task) -> None:
    """One JSON object a line: {"id", "question"}; lengths in tokens spread over the whole range. Without a KL term also
    {"signal"}, and the name of the reward that judges it.
    """
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
        line = {"id": f"prompt-{index}", "question": text}
        if task.beta == 0:
            signal = task.has_signal(index)
            line.update(signal=signal, rewards=["half" if signal else "none"])
        lines.append(json.dumps(line) + "\n")
    path.write_text("".join(lines))


def main() -> None:
    """Write FOLDER/base and FOLDER/prompts.jsonl."""
    folder = Path(sys.argv[1])
    task = Task(**json.loads(sys.argv[2]))
    write_base(folder / "base", task)
    write_prompts(folder / "prompts.jsonl", folder / "base", task)


if __name__ == "__main__":
    main()
