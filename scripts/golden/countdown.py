#!/usr/bin/env python3
"""Writes tests/golden/countdown.jsonl: Countdown completions with the score that TinyZero's rule gives them.

The rule (TinyZero, verl/utils/reward_score/countdown.py) is restated here from its behaviour, Python's own evaluation
included, because that is what the Rust reward is compared with. Rows on which the two differ on purpose carry the name of
the deviation and the score expected instead; the reward's documentation says why. Run it with no argument; standard library
only, same bytes every time (CPython 3.11 to 3.14).
"""

import json
import random
import re
import unicodedata
import warnings
from fractions import Fraction
from pathlib import Path

OUTPUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "countdown.jsonl"


def tinyzero(completion, numbers, target):
    """TinyZero's score: 0 no answer, 0.1 wrong answer, 1 right answer."""
    line = completion.split("\n")[-1]
    answer, position = None, 0
    # An opening tag pairs with the first closing tag after it; the search goes on behind that.
    while (start := line.find("<answer>", position)) >= 0:
        end = line.find("</answer>", start + len("<answer>"))
        if end < 0:
            break
        answer, position = line[start + len("<answer>") : end].strip(), end + len("</answer>")
    if answer is None:
        return 0
    # Runs of decimal digits (of any script) are the numbers used, whatever stands between them.
    digits = "".join(c if unicodedata.category(c) == "Nd" else " " for c in answer)
    if sorted(map(int, digits.split())) != sorted(numbers):
        return 0.1
    if not all(unicodedata.category(c) == "Nd" or c in "+-*/()." or re.match(r"\s", c) for c in answer):
        return 0.1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            close = abs(eval(answer, {"__builtins__": None}, {}) - target) < 1e-5
    except Exception:
        return 0.1
    return 1 if close else 0.1


class Rows:
    """The rows so far; each is checked against what its author says about it before it is taken."""

    def __init__(self):
        self.rows = []

    def add(self, completion, numbers, target, deviation=None, expected=None):
        original = tinyzero(completion, numbers, target)
        if deviation is None:
            expected = original
        assert (deviation is None) == (expected == original), (completion, numbers, target, original, expected)
        row = {"id": len(self.rows), "completion": completion, "numbers": numbers, "target": target}
        self.rows.append(row | {"tinyzero": original, "deviation": deviation, "expected": expected})

    def answer(self, expression, numbers, target, deviation=None, expected=None):
        """`expression` in an answer tag at the end of a one-line or several-line completion."""
        prefixes = ["", "<think>try</think> ", "Let me see.\n6 * 4 = 24\n</think>\n", "<think>\nno\n</think>\n\n"]
        prefix = prefixes[len(self.rows) % len(prefixes)]
        self.add(f"{prefix}<answer>{expression}</answer>", numbers, target, deviation, expected)


def tree(rng, numbers):
    """A random expression over `numbers` and its value, `None` where it divides by zero."""
    if len(numbers) == 1:
        sign = "-" if rng.random() < 0.1 else ""
        return f"{sign}{numbers[0]}", Fraction(-numbers[0] if sign else numbers[0])
    cut = rng.randrange(1, len(numbers))
    (left, a), (right, b) = tree(rng, numbers[:cut]), tree(rng, numbers[cut:])
    operator = rng.choice("+-*/")
    if cut > 1 or rng.random() < 0.1:
        left = f"({left})"
    if len(numbers) - cut > 1 or rng.random() < 0.1:
        right = f"({right})"
    space = rng.choice(["", " "])
    if a is None or b is None or (operator == "/" and b == 0):
        value = None
    else:
        value = {"+": a + b, "-": a - b, "*": a * b}.get(operator) if operator != "/" else a / b
    return f"{left}{space}{operator}{space}{right}", value


def random_trees(rows, rng, count):
    """Right, wrong and misused numbers, as they come."""
    for i in range(count):
        numbers = [rng.randint(0 if i % 10 == 0 else 1, 99) for _ in range(rng.randint(2, 6))]
        used = rng.sample(numbers, len(numbers))
        if i % 6 == 4:
            used[rng.randrange(len(used))] += 1
        elif i % 6 == 5:
            used = used[1:]
        expression, value = tree(rng, used)
        # Whole values are reached half of the time, so that each tier has its share.
        whole = value is not None and value.denominator == 1
        target = int(value) if whole and rng.random() < 0.6 else rng.randint(1, 99)
        if value is not None and not whole and abs(value - round(value)) < Fraction(1, 10_000):
            continue
        rows.answer(expression, numbers, target)


def agreements(rows):
    for expression in """
        (8-4)*6|6*(8-4)| ( 8 - 4 ) * 6 |((8-4))*6|6*8-4*6|4+6+8|4*6|4*6*8/8|24|(8-4)*6=24|24=(8-4)*6|(8-4)*6 = 24.|4 6 8
        |4(6)8|(8-4)(6)|4+6+8)|(4+6+8|()4+6+8|4+6+8()|+4+6+8|--(8-4)*6|-(4-8)*6|(8-4)*+6|(4-8)*-6|4*/6+8|4* *6+8|4/ /6+8
        |*4+6+8|4+6+8+|4^6+8|4%6+8|4,6,8|[8-4]*6|{8-4}*6|(8-4)x6|(8-4)×6|(8−4)*6|(8-4)·6|24÷6+4+8|four+6+8|4+6+8+0
        |04+6+8|4_6+8|0x4+6+8|4e0+6+8|4j+6+8|\\boxed{(8-4)*6}|(8-4)*6 or 4+6+8|4+6+8 # 24|(8-4)*6;|"(8-4)*6"|$(8-4)*6$
        |46-8|468|4+68|8/(6-6)*4|8/(4-4)+6|6/(8-4*2)|٤+6+8|(٨-٤)*٦|⁴+6+8|½*4*6*8|(8-4)\u00a0*6|(8-4)\u2003*6|(8-4)\v*6|\u3000(8-4)*6\u3000
        |(8-4)\t*\f6|...|.|/|*|-|||<think>(8-4)*6</think>|lambda:4+6+8|4 if 6 else 8|4<6+8|4&6|8|4|4@6+8|~4+6+8|4!+6+8
    """.split("|"):
        rows.answer(expression.strip("\n "), [4, 6, 8], 24)
    for numbers, target, expression in [
        ([1, 3, 4, 6], 24, "6/(1-3/4)"), ([3, 3, 8, 8], 24, "8/(3-8/3)"), ([1, 5, 5, 5], 24, "5*(5-1/5)"),
        ([3, 3], 1, "3/3"), ([3, 3], 1, "3/3/1"), ([3], 3, "3"), ([3], 3, "(((3)))"), ([3], -3, "-3"), ([3], 3, "--3"),
        ([0, 3], 3, "0+3"), ([0, 3], 0, "3*0"), ([0, 3], 0, "3/0"), ([0, 3], 0, "0/3"), ([0, 0], 0, "0/0"),
        ([1, 3, 3], 1, "1/3*3"), ([1, 7, 49], 7, "1/7*49"), ([10, 3, 3], 10, "10/3*3"), ([2, 2, 2], 8, "2*2*2"),
        ([2, 2, 2], 8, "2*2+2+2"), ([2, 2], 4, "2*2*1"), ([100, 99], 9900, "100*99"), ([7, 7, 2], 7, "7*2-7"),
        ([2**62, 1], 2**62, "4611686018427387904*1"), ([5, 5], 0, "5-5"), ([5, 5], 0, "5 - 6"), ([12, 3], 4, "1 2/3"),
        ([9, 1], 9, "9" * 400), ([9, 1], 9, "9*1" + "+" * 40), ([9, 1], 9, "+" * 40 + "9*1"), ([9, 1], 9, "(" * 30 + "9*1" + ")" * 30),
    ]:
        rows.answer(expression, numbers, target)


def agreeing_tags(rows):
    right, wrong = "(8-4)*6", "4+6+8"
    for completion in [
        "", "no", right, "<answer>", "</answer>", f"<answer>{right}", f"{right}</answer>", f"</answer>{right}<answer>",
        f"<ANSWER>{right}</ANSWER>", f"<answer >{right}</answer>", f"<answer>{right}</ answer>", f"<answer>{right}<answer>",
        f"<answer>{wrong}</answer> or <answer>{right}</answer>", f"<answer>{right}</answer> or <answer>{wrong}</answer>",
        f"<answer>{right}</answer><answer>", f"<answer>{right}</answer><answer>{wrong}", f"<answer>{right}</answer></answer>",
        f"<answer>{right}</answer> done.", f"<think><answer>{right}</answer></think>", f"</answer><answer>{right}</answer>",
        f"<answer>{right}<answer></answer>", f"<answer>{right}</answer> Assistant: <answer>{wrong}</answer>",
        f"<answer>{right}<think></answer>", "<answer></answer>", "<answer> </answer>", f"<answer>\t{right}\r</answer>",
        f"line\n<answer>{right}</answer>", f"<answer>{wrong}</answer>\n<answer>{right}</answer>", f"{right}\n\n", "<answer\n>",
        f"\\boxed{{{right}}}", f"&lt;answer&gt;{right}&lt;/answer&gt;", f"<answer>{right}</answer", f"＜answer＞{right}＜/answer＞",
    ]:
        rows.add(completion, [4, 6, 8], 24)


def deviations(rows):
    right, wrong = "(8-4)*6", "4+6+8"
    for completion, expected in [
        (f"<answer>{right}</answer>\n", 1), (f"<answer>{right}</answer>\nI am sure.", 1), (f"<answer>\n{right}\n</answer>", 1),
        (f"<answer>{wrong}</answer>\n\n", 0.1), (f"<answer>\n{right}</answer>", 1), ("<answer>(8-4)\n*6</answer>", 1),
        (f"<answer>{right}</answer>\n<answer>{wrong}", 1), (f"<answer>{right}</answer>\nUser: thanks\n", 1),
        ("<answer>\n</answer>", 0.1), ("<think>x</think>\n<answer>\n24\n</answer>\n", 0.1),
    ]:
        rows.add(completion, [4, 6, 8], 24, "any_line", expected)
    for completion in [
        f"put it in <answer> tags: <answer>{right}</answer>", f"<answer><answer>{right}</answer></answer>",
        f"<answer>{wrong}<answer>{right}</answer>", f"<answer> 8 - 4 = 4, so <answer>{right}</answer>",
    ]:
        rows.add(completion, [4, 6, 8], 24, "innermost_tags", 1)
    for expression, numbers, target in [
        ("2**3", [2, 3], 8), ("2 ** 3 + 1", [1, 2, 3], 9), ("2**3**2", [2, 2, 3], 512), ("9**(1/2)", [9, 1, 2], 3),
        ("-2**2", [2, 2], -4),
    ]:
        rows.answer(expression, numbers, target, "power", 0.1)
    for expression, numbers, target in [
        ("7//2", [2, 7], 3), ("(7 // 2) * 8", [2, 7, 8], 24), ("8//2", [8, 2], 4), ("-7//2", [2, 7], -4),
    ]:
        rows.answer(expression, numbers, target, "floor_division", 0.1)
    for expression, numbers, target in [
        ("1.5*2", [1, 2, 5], 3), ("4.+6+8", [4, 6, 8], 18), (".5*8", [5, 8], 4), ("2.0+3", [0, 2, 3], 5), ("3.", [3], 3),
    ]:
        rows.answer(expression, numbers, target, "decimal_point", 0.1)
    for expression, numbers, target in [("00+3", [0, 3], 3), ("000", [0], 0)]:
        rows.answer(expression, numbers, target, "leading_zeros", 0.1)
    for expression, numbers, target, expected in [
        ("5+1/999999", [1, 5, 999_999], 5, 0.1), ("1/100001", [1, 100_001], 0, 0.1), ("7-1/(400*500)", [1, 7, 400, 500], 7, 0.1),
        ("100000000000000001/1-100000000000000000", [1, 10**17, 10**17 + 1], 1, 1), ("9007199254740993/1", [1, 2**53 + 1], 2**53, 0.1),
        ("9007199254740993/1-9007199254740992", [1, 2**53 + 1, 2**53], 1, 1),
    ]:
        rows.answer(expression, numbers, target, "exact_value", expected)
    padding = " " * 5_000
    rows.answer(f"(8-4){padding}*6", [4, 6, 8], 24, "length_limit", 0.1)
    rows.answer("(" * 1_500 + "8-4" + ")" * 1_500 + "*6", [4, 6, 8], 24, "nesting_limit", 1)


def main():
    rows, rng = Rows(), random.Random(0)
    agreements(rows)
    agreeing_tags(rows)
    deviations(rows)
    random_trees(rows, rng, 130)
    lines = [json.dumps(row, ensure_ascii=True) + "\n" for row in rows.rows]
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text("".join(lines), encoding="utf-8")
    tiers = {score: sum(row["tinyzero"] == score for row in rows.rows) for score in (0, 0.1, 1)}
    n_deviations = sum(row["deviation"] is not None for row in rows.rows)
    print(f"{OUTPUT.name}: {len(rows.rows)} rows, TinyZero's tiers {tiers}, {n_deviations} deviations")


if __name__ == "__main__":
    main()
