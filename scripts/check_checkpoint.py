"""Log-probabilities of a run's completions by transformers and by grpo-train, from the same model folder."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

TOLERANCE = 1e-4
N_TEXTS = 64


def newest_completions(folder: Path) -> Path:
    """The last completions file of the run that `folder` lies in."""
    for parent in folder.resolve().parents:
        files = sorted(parent.glob("completions/*/step_*.jsonl"))
        if files:
            return files[-1]
    sys.exit(f"{folder}: no run around this folder; name a file of completions")


@torch.no_grad()
def main() -> None:
    """Prints the largest difference, and ends with 1 if it is above the tolerance."""
    program, folder = sys.argv[1], Path(sys.argv[2])
    source = Path(sys.argv[3]) if len(sys.argv) > 3 else newest_completions(folder)
    rows = [json.loads(line) for line in source.read_text().splitlines()][:N_TEXTS]
    model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    problems = {name: keys for name, keys in loading.items() if keys}
    if problems:
        sys.exit(f"{folder}: transformers did not take the folder as it is: {problems}")
    # Not AutoTokenizer: transformers 5 takes Qwen2's own rules for every model of that type, whatever tokenizer.json says.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    sequences = [tokenizer(row["prompt"] + row["text"])["input_ids"] for row in rows]
    with tempfile.TemporaryDirectory() as temporary:
        given, answered = Path(temporary, "in.jsonl"), Path(temporary, "out.jsonl")
        given.write_text("".join(json.dumps({"ids": ids}) + "\n" for ids in sequences))
        command = [program, "logprobs", "--model", folder, "--input", given, "--output", answered]
        subprocess.run(command, check=True)
        ours = [json.loads(line)["logprobs"] for line in answered.read_text().splitlines()]
    largest, n_tokens = 0.0, 0
    for ids, logprobs in zip(sequences, ours, strict=True):
        logits = model(torch.tensor([ids])).logits[0, :-1].float()
        theirs = logits.log_softmax(-1).gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]
        largest = max(largest, (theirs - torch.tensor(logprobs)).abs().max().item())
        n_tokens += len(ids) - 1
    print(f"{folder}: {len(rows)} texts, {n_tokens} tokens, largest difference to transformers {largest:.1e}")
    sys.exit(largest > TOLERANCE)


if __name__ == "__main__":
    main()
