"""Scores of random sequences by transformers and by grpo-train, from the same folder of a reward model."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

TOLERANCE = 1e-4
LENGTHS = (1, 2, 7, 30, 31, 64, 100, 200)


@torch.no_grad()
def main() -> None:
    """Prints the largest difference, and ends with 1 if it is above the tolerance."""
    program, folder = sys.argv[1], Path(sys.argv[2])
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True)
    problems = {name: keys for name, keys in loading.items() if keys}
    if problems:
        sys.exit(f"{folder}: transformers did not take the folder as it is: {problems}")
    rng = torch.Generator().manual_seed(1)
    longest = model.config.max_position_embeddings
    sequences = [torch.randint(0, model.config.vocab_size, (min(length, longest),), generator=rng).tolist() for length in LENGTHS]
    with tempfile.TemporaryDirectory() as temporary:
        given, answered = Path(temporary, "in.jsonl"), Path(temporary, "out.jsonl")
        given.write_text("".join(json.dumps({"ids": ids}) + "\n" for ids in sequences))
        command = [program, "scores", "--model", folder, "--input", given, "--output", answered]
        subprocess.run(command, check=True)
        ours = [json.loads(line)["score"] for line in answered.read_text().splitlines()]
    theirs = [model.eval()(torch.tensor([ids])).logits.item() for ids in sequences]
    largest = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    print(f"{folder}: {len(sequences)} sequences, largest difference to transformers {largest:.1e}")
    sys.exit(largest > TOLERANCE)


if __name__ == "__main__":
    main()
