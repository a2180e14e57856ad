"""What every generator shares: where the files go, one thread, and writers whose output is the same bytes each time."""

import json
import os
from pathlib import Path

import torch
from safetensors.torch import save

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDEN = Path(os.environ.get("GOLDEN_OUTPUT", REPOSITORY / "tests" / "golden"))

# The order of a float sum depends on how many threads share it, so more than one would change the last bits.
torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def exact(value: float) -> float:
    """A float32 as the shortest decimal that reads back as the same float32."""
    return float(f"{value:.9g}")


def generator(*address: int) -> torch.Generator:
    """A generator for one address: every table below has its own, so adding a case changes no other case."""
    seed = 0
    for part in address:
        seed = (seed * 1_000_003 + part) % 2**62
    return torch.Generator().manual_seed(seed)


def write_jsonl(path: Path, rows: list[dict]) -> None:
    """One row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json(path: Path, value: object) -> None:
    """Indented, keys in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1) + "\n")


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Without the free-form header entries, whose order safetensors does not fix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(contiguous))
