"""Learning rates of transformers' schedules, step by step, for the peaks, lengths and warm-ups a run may have."""

import torch
from common import GOLDEN, write_json
from transformers.optimization import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

# (peak, steps, warm-up steps); the last two have a warm-up as long as the run, and one beyond its end.
SHAPES = [(1e-3, 20, 0), (3e-6, 20, 5), (0.5, 7, 1), (1e-3, 1, 0), (1e-3, 4, 4), (1e-3, 4, 6)]
MIN_LR_RATES = [0.1, 1.0]


def rates(schedule, peak: float, steps: int) -> list[float]:
    """The rate of each update, and of three updates beyond the end."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    scheduler = schedule(optimizer)
    found = []
    for _ in range(steps + 3):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def main() -> None:
    """schedule.json: kind, peak, n_steps, n_warmup_steps, final_lr_fraction, and the rates from step 0 on."""
    cases = []
    for peak, steps, warmup in SHAPES:
        kinds = [
            ("constant", 0.0, lambda o: get_constant_schedule_with_warmup(o, warmup)),
            ("linear", 0.0, lambda o: get_linear_schedule_with_warmup(o, warmup, steps)),
            # The cosine of transformers goes on beyond its end, so only the steps of the run are compared.
            ("cosine", 0.0, lambda o: get_cosine_schedule_with_warmup(o, warmup, steps)),
        ]
        for rate in MIN_LR_RATES:
            kinds.append(("cosine", rate, lambda o, rate=rate: get_cosine_with_min_lr_schedule_with_warmup(
                o, warmup, steps, min_lr_rate=rate)))
        for kind, fraction, schedule in kinds:
            found = rates(schedule, peak, steps)
            cases.append({"kind": kind, "learning_rate": peak, "n_steps": steps, "n_warmup_steps": warmup,
                          "final_lr_fraction": fraction, "rates": found[:steps] if kind == "cosine" else found})
    write_json(GOLDEN / "schedule.json", cases)


if __name__ == "__main__":
    main()
