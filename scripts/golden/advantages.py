"""Group-relative advantages: rewards go through trl's `_generate_and_score_completions`, in which only sampling is replaced."""

import math

import torch
from common import GOLDEN, generator, write_json
from trl_oracle import GROUP_SIZE, trainer

NONE = math.nan  # trl turns a reward function's None ("not applicable") into NaN
SCALES = ("group", "batch", "none")


def rewards_by_case() -> dict[str, tuple[list[float], list[list[float]]]]:
    """name: (weight of each reward function, reward of each completion by each function); groups of GROUP_SIZE in order."""
    rng = generator(41)
    two_tables = torch.rand(16, 2, generator=rng).tolist()
    some_none = [list(row) for row in two_tables]
    some_none[1][0] = some_none[6][1] = NONE
    rows_none = [list(row) for row in two_tables]
    rows_none[2] = rows_none[9] = rows_none[10] = [NONE, NONE]
    group_none = [list(row) for row in two_tables]
    group_none[4:8] = [[NONE, NONE]] * 4
    one_scored = [list(row) for row in two_tables]
    one_scored[8:11] = [[NONE, NONE]] * 3
    tiers = [[value] for value in (0, 0.1, 1, 0.1, 0, 0, 0, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0)]
    return {
        "continuous": ([1.0], torch.randn(16, 1, generator=rng).tolist()),
        "tiers": ([1.0], tiers),
        "all_equal": ([1.0], [[0.5]] * 16),
        "nearly_equal": ([1.0], [[0.5 + 1e-5 * (row % 3)] for row in range(16)]),
        "weighted": ([1.0, 0.2], two_tables),
        "some_functions_none": ([1.0, 0.2], some_none),
        "rows_none": ([1.0, 0.2], rows_none),
        "group_none": ([1.0, 0.2], group_none),
        "one_scored_in_group": ([1.0, 0.2], one_scored),
    }


def advantages(rewards: list[list[float]], weights: list[float], scale: str, kind: torch.dtype,
               aggregation: str = "sum_then_normalize") -> list[float]:
    """The `advantages` of trl's scored batch for these rewards."""
    rows = len(rewards)
    oracle = trainer("qwen3_untied", rows=rows, max_completion_length=1, scale_rewards=scale, beta=0.0)
    oracle.multi_objective_aggregation = aggregation
    oracle.reward_funcs = [None] * len(weights)
    oracle.reward_func_names = [f"reward_{index}" for index in range(len(weights))]
    oracle.reward_weights = torch.tensor(weights, dtype=kind)
    oracle._generate = lambda prompts: ([[5]] * rows, [[6]] * rows, None, ["b"] * rows, None, {}, None, [])
    oracle._calculate_rewards = lambda *_: torch.tensor(rewards, dtype=kind)
    oracle._get_per_token_logps_and_entropies = lambda *_, **__: (torch.zeros(rows, 1), None, None)
    scored = oracle._generate_and_score_completions([{"prompt": "a"}] * rows)
    assert scored["advantages"].dtype == kind
    return scored["advantages"].tolist()


def main() -> None:
    """advantages.json: rewards (null = not applicable) and the advantages of each scaling, float64 and float32."""
    cases = []
    for name, (weights, rewards) in rewards_by_case().items():
        for scale in SCALES:
            cases.append({
                "name": name, "scale": scale, "group_size": GROUP_SIZE, "weights": weights,
                "rewards": [[None if math.isnan(value) else value for value in row] for row in rewards],
                "advantages_float64": advantages(rewards, weights, scale, torch.float64),
                "advantages_float32": advantages(rewards, weights, scale, torch.float32)})
        # GDPO scales each reward by its own deviation in the group, whatever `scale_rewards` says.
        cases.append({
            "name": name, "scale": "decoupled", "group_size": GROUP_SIZE, "weights": weights,
            "rewards": [[None if math.isnan(value) else value for value in row] for row in rewards],
            "advantages_float64": advantages(rewards, weights, "group", torch.float64, "normalize_then_sum"),
            "advantages_float32": advantages(rewards, weights, "group", torch.float32, "normalize_then_sum")})
    write_json(GOLDEN / "advantages.json", cases)


if __name__ == "__main__":
    main()
