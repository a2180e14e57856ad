"""The real trl GRPOTrainer, set up on the CPU so that single methods of it can be called with given tensors."""

import logging
import tempfile

import torch
from common import GOLDEN
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

logging.getLogger("trl").setLevel(logging.ERROR)

GROUP_SIZE = 4
EPSILON, EPSILON_HIGH = 0.2, 0.28


def constant_reward(completions, **_):
    """GRPOTrainer wants one; no number stored here comes from it."""
    return [0.0] * len(completions)


def trainer(model_name: str, *, rows: int, max_completion_length: int, accumulation: int = 1, **settings) -> GRPOTrainer:
    """A trainer on one of the golden models.

    `rows` completions are one generation batch, cut into `accumulation` micro-batches of one optimiser step.
    `settings` go to GRPOConfig (loss_type, beta, temperature, scale_rewards, ...).
    """
    folder = GOLDEN / "models" / model_name
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with tempfile.TemporaryDirectory() as output:
        config = GRPOConfig(
            output_dir=output, report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False, seed=0,
            per_device_train_batch_size=rows // accumulation, gradient_accumulation_steps=accumulation,
            steps_per_generation=accumulation, num_generations=GROUP_SIZE, max_completion_length=max_completion_length,
            # 2, so that the ratio is taken against the given old log-probabilities and is not 1 by construction.
            num_iterations=2, **settings)
        made = GRPOTrainer(model=model, reward_funcs=constant_reward, args=config, processing_class=tokenizer,
                           train_dataset=Dataset.from_list([{"prompt": "a"}] * rows))
    # transformers sets this at the start of every accumulation window; here no training loop runs.
    made.current_gradient_accumulation_steps = accumulation
    made.model.train()
    return made


def row_normalizers(loss_type: str, mask: torch.Tensor, max_completion_length: int, accumulation: int) -> torch.Tensor:
    """[rows], float64: what a token loss of each row is divided by, so that loss = sum of token_loss * mask / normalizer.

    Read off `_compute_loss` of trl 1.16.0, its last `if self.loss_type` chain; the generators check the stored loss against it.
    """
    rows = mask.shape[0]
    lengths = mask.sum(1).double()
    if loss_type == "grpo":  # mean over the tokens of a row, mean over rows, over accumulation steps
        return lengths.clamp(min=1) * rows
    if loss_type == "bnpo":  # tokens of the micro-batch, times accumulation steps
        per_step = mask.reshape(accumulation, -1).sum(1).double() * accumulation
        return per_step.repeat_interleave(rows // accumulation)
    if loss_type == "dr_grpo":  # rows times the largest length allowed
        return torch.full((rows,), float(rows * max_completion_length), dtype=torch.float64)
    if loss_type == "dapo":  # num_items_in_batch: tokens of the whole accumulated batch
        return lengths.sum().expand(rows).clone()
    raise ValueError(loss_type)
