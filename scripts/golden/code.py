#!/usr/bin/env python3
"""Writes tests/golden/code.jsonl: completions with programs, and the score that open-r1's code reward gives them.

The rule (open-r1, src/open_r1/rewards.py, `extract_code` and `code_reward`) is restated here from its behaviour; the
programs, all written here, are run by this Python in place of the hosted sandbox. Rows on which the two differ on
purpose carry the name of the deviation and the score expected instead; the reward's documentation says why. Run it with no
argument; standard library only, same bytes every time.
"""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

OUTPUT = Path(__file__).resolve().parents[2] / "tests" / "golden" / "code.jsonl"


@functools.lru_cache(maxsize=None)
def run(program, given):
    done = subprocess.run([sys.executable, "-c", program], input=given, text=True, capture_output=True, timeout=20)
    return done.returncode, done.stdout


def open_r1(completion, tests):
    """open-r1's score: the share of tests whose output agrees on as many lines as the shorter output has."""
    blocks = re.findall(r"```python\n(.*?)```", completion, re.DOTALL)
    program = blocks[-1] if blocks else ""
    n_passed = 0
    for test in tests:
        code, printed = run(program, test["stdin"])
        pairs = zip(printed.strip().split("\n"), test["stdout"].split("\n"))
        n_passed += code == 0 and all(ours.strip() == theirs.strip() for ours, theirs in pairs)
    return n_passed / len(tests)


def tests(*pairs):
    return [{"stdin": given, "stdout": wanted} for given, wanted in pairs]


# For each problem its tests, and programs with the share of tests that they pass by the rule of whole outputs.
PROBLEMS = {
    "double": (
        tests(("2\n", "4\n"), ("5\n", "10"), ("-3\n", "-6\n")),
        [
            ("print(2 * int(input()))", 1),
            ("n = int(input())\nprint(n + n)", 1),
            ("import sys\nprint(int(sys.stdin.read()) * 2)", 1),
            ("print(' ', 2 * int(input()), ' ')", 1),
            ("print(2 * int(input()), end='')", 1),
            ("print(4)", 1 / 3),
            ("print(int(input()) ** 2)", 1 / 3),
            ("print(2 * abs(int(input())))", 2 / 3),
            ("print(2.0 * int(input()))", 0),
            ("n = int(input())\nif n < 0: raise ValueError(n)\nprint(2 * n)", 2 / 3),
            ("import sys\nprint(2 * int(input()))\nsys.exit(1)", 0),
            ("import sys\nprint(2 * int(input()))\nsys.exit(0)", 1),
            ("print(2 * int(input())", 0),
            ("print(input() * 2)", 0),
            ("import no_such_module", 0),
            ("print(2 * int(input()))\nprint('done')", 0),
            ("pass", 0),
        ],
    ),
    "count": (
        tests(("3\n", "1\n2\n3\n"), ("1\n", "1\n")),
        [
            ("for i in range(int(input())): print(i + 1)", 1),
            ("print(*range(1, int(input()) + 1), sep='\\n')", 1),
            ("for i in range(int(input())): print(i + 1, ' ')", 1),
            ("print(1)", 1 / 2),
            ("print(1)\nprint(2)", 0),
            ("print(1)\nprint(2)\nprint(3)", 1 / 2),
            ("for i in range(int(input())): print(i)", 0),
            ("print(*range(1, int(input()) + 1))", 1 / 2),
            ("n = int(input())\nfor i in range(n): print(i + 1)\nif n == 1: 1 / 0", 1 / 2),
            ("for i in range(9): print(i + 1)", 0),
            ("print()\nprint(1)", 1 / 2),
        ],
    ),
    "words": (
        tests(("b a\n", "a b\n"), ("x\n", "x\n"), ("c b a\n", "a b c\n")),
        [
            ("print(*sorted(input().split()))", 1),
            ("print(' '.join(sorted(input().split())))", 1),
            ("print('  '.join(sorted(input().split())))", 1),
            ("print('\\t'.join(sorted(input().split())))", 1),
            ("print(input())", 1 / 3),
            ("print(*input().split()[::-1])", 1),
            ("print(''.join(sorted(input().split())))", 1 / 3),
            ("print(*sorted(input().split()), sep='\\n')", 1 / 3),
            ("print(*sorted(input().upper().split()))", 0),
        ],
    ),
}

# Completions around a program, and whether its program is the one that counts.
SHAPES = [
    ("```python\n{}\n```", True),
    ("Here it is:\n\n```python\n{}\n```\nIt works.", True),
    ("```python\nprint('first')\n```\nNo, better:\n```python\n{}\n```", True),
    ("<think>\nHm.\n</think>\n```python\n{}\n```", True),
    ("<think>\nHm.\n```python\nprint('draft')\n```\n</think>\n<answer>\n```python\n{}\n```\n</answer>", True),
    ("```python\n{}\n```\n```\nthe output\n```", True),
    ("```python\n{}\n```\n```text\nthe output\n```\n", True),
    ("{}", False),
    ("```\n{}\n```", False),
    ("```javascript\n{}\n```", False),
    ("```python\n{}", False),
    ("`{}`", False),
]


def main():
    rows = []

    def add(completion, suite, expected, deviation):
        original = open_r1(completion, suite)
        same = abs(original - expected) < 1e-9
        assert same == (deviation is None), (completion, suite, original, expected, deviation)
        row = {"id": len(rows), "completion": completion, "tests": suite}
        rows.append(row | {"open_r1": original, "deviation": deviation, "expected": expected})

    for suite, programs in PROBLEMS.values():
        for program, share in programs:
            for shape, counts in SHAPES:
                completion = shape.replace("{}", program)
                expected = share if counts else 0
                same = abs(open_r1(completion, suite) - expected) < 1e-9
                spaced = "'  '" in program or "'\\t'" in program
                add(completion, suite, expected, None if same else "words" if spaced else "whole_output")
    double = PROBLEMS["double"][0]
    right, wrong = "print(2 * int(input()))", "print(0)"
    for completion in [
        f"<think>\n```python\n{right}\n```\n</think>\nDone.",
        f"<think>\n```python\n{right}\n```",
        f"<think>\n```python\n{right}\n```\n</think>\n<think>more",
    ]:
        add(completion, double, 0, "reasoning")
    ticks = "# prints ```twice``` the number\n"
    for completion, expected in [
        (f"```python\n{ticks}{right}\n```", 1),
        (f"```python\n{right}\n{ticks}```", 1),
        (f"````python\n{right}\n````\n", None),
        (f"```python\n{wrong}\n```\n- in a list:\n  ```python\n  {right}\n  ```\n", 1),
        (f"```python title=x\n{right}\n```", 1),
        (f"~~~python\n{right}\n~~~", 1),
        (f"```py\n{right}\n```", 1),
        (f"```python3\n{right}\n```", 1),
        (f"```Python\n{right}\n```", 1),
        (f"```python\r\n{right}\r\n```", 1),
    ]:
        original = open_r1(completion, double)
        expected = original if expected is None else expected
        add(completion, double, expected, None if original == expected else "fences")
    for wanted in ["\n4", "\n\n4\n", " \n4\n"]:
        add(f"```python\n{right}\n```", tests(("2\n", wanted)), 1, "leading_lines")
    OUTPUT.write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = {}
    for row in rows:
        counts[row["deviation"]] = counts.get(row["deviation"], 0) + 1
    print(f"{len(rows)} rows: {counts}")


main()
