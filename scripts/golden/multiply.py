"""multiply.jsonl: answers to multiplications with the score that TinyZero's rule gives them.

The rule (TinyZero, verl/utils/reward_score/multiply.py, Apache-2.0) is restated here from its behaviour, Python's own `int` included. Rows
on which the reward differs on purpose carry the name of the deviation and the score expected instead; its documentation says
why.
"""

import random
import re

from common import GOLDEN, write_jsonl


def tinyzero(completion: str, product: int) -> float:
    """TinyZero's score: 0 no whole number, 0.1 a wrong one, 1 the product."""
    answers = re.findall("<answer>(.*?)</answer>", completion)
    if not answers:
        return 0.0
    try:
        number = int(answers[-1].strip())
    except ValueError:
        return 0.0
    return 1.0 if number == product else 0.1


AGREEING = [
    "", "{p}", "<answer>", "<answer>{p}", "{p}</answer>", "<answer>{p}</answer>", "<answer> {p} </answer>", "<answer>\t{p}\r</answer>",
    "<answer>+{p}</answer>", "<answer>-{p}</answer>", "<answer>--{p}</answer>", "<answer>+ {p}</answer>", "<answer>000{p}</answer>",
    "<answer>{p}.</answer>", "<answer>{p}.0</answer>", "<answer>{p}e0</answer>", "<answer>0x{p}</answer>", "<answer>1_0</answer>",
    "<answer>_10</answer>", "<answer>10_</answer>", "<answer>1__0</answer>", "<answer>1,000</answer>", "<answer>1 000</answer>",
    "<answer>{p} {p}</answer>", "<answer>= {p}</answer>", "<answer>a * b = {p}</answer>", "<answer>\\boxed{{{p}}}</answer>",
    "<answer></answer>", "<answer> </answer>", "<answer>+</answer>", "<answer>-</answer>", "<answer>0</answer>", "<answer>-0</answer>",
    "<answer>x</answer>", "<answer>None</answer>", "<answer>1</answer><answer>{p}</answer>", "<answer>{p}</answer><answer>1</answer>",
    "<answer>{p}</answer><answer>x</answer>", "<answer>{p}</answer> so <answer>1", "<think>{p}</think><answer>{p}</answer>\n",
    "<think>\n<answer>1</answer>\n</think>\n<answer>{p}</answer>", "<ANSWER>{p}</ANSWER>", "<answer >{p}</answer>", "</answer><answer>{p}</answer>",
    "<answer>{p}</answer></answer>", "<answer>{p}<answer></answer>", "<answer>" + "9" * 4300 + "</answer>", "<answer>" + "9" * 4301 + "</answer>",
    "<answer>1/2</answer>", "<answer>\u00b2</answer>", "<answer>{p}%</answer>", "<answer>\u2212{p}</answer>", "<answer>inf</answer>",
]
DEVIATIONS = [
    ("any_line", "<answer>\n{p}\n</answer>", 1.0), ("any_line", "<answer>{p}\n</answer>", 1.0), ("any_line", "<answer>\n1\n</answer>", 0.1),
    ("any_line", "<answer>1</answer>\n<answer>\n{p}</answer>", 1.0),
    ("innermost_tags", "<answer>the tags: <answer>{p}</answer>", 1.0), ("innermost_tags", "<answer><answer>{p}</answer></answer>", 1.0),
    ("innermost_tags", "put it in <answer> tags: <answer>1</answer>", 0.1),
    ("ascii_digits", "<answer>\u0661\u0662</answer>", 0.0), ("ascii_digits", "<answer>\uff11\uff12</answer>", 0.0),
]


def main() -> None:
    """One row for each completion."""
    rng = random.Random(71)
    rows = []
    for index, template in enumerate(AGREEING):
        for product in (rng.randrange(1, 1000) * rng.randrange(1, 1000), -index, 10**30 + index):
            completion = template.format(p=product)
            score = tinyzero(completion, product)
            rows.append({"completion": completion, "product": str(product), "tinyzero": score, "deviation": None, "expected": score})
    for deviation, template, expected in DEVIATIONS:
        completion = template.format(p=12_321)
        score = tinyzero(completion, 12_321)
        assert score != expected, completion
        rows.append({"completion": completion, "product": "12321", "tinyzero": score, "deviation": deviation, "expected": expected})
    write_jsonl(GOLDEN / "multiply.jsonl", rows)


if __name__ == "__main__":
    main()
