"""Write tests/golden/answers.jsonl: answers to be judged against golds, with the verdict that is right.

No program computes these verdicts: they are written by hand in the tables answers_*.py, after the conventions that public
suites state or test (named as `source` of every case). This script only wraps each answer in the forms that models give it.
Usage: answers.py [--output FILE]; default tests/golden/answers.jsonl.
"""

import argparse
import json
from pathlib import Path

import answers_numbers
import answers_meaning
import answers_objects
import answers_prose
import answers_spellings

# What models write around an answer. The reasoning mentions other values on purpose: they must not count.
WRAPPINGS = [
    "We simplify step by step and obtain $\\boxed{%s}$.",
    "<think>\nFirst guess: \\boxed{-99}. No, compute again.\n</think>\n<answer>%s</answer>",
    "Adding 17 and 4 first, then dividing, gives the result.\n\nTherefore, the answer is $%s$.",
    "<think>Let me try 12345. That fails.</think>\n\nThe final answer is $\\boxed{%s}$.",
    "**Answer:** $%s$",
    "Final Answer: The final answer is $%s$. I hope it is correct.",
    "The steps above show it.\n\n\\[ \\boxed{%s} \\]",
    "<think>17 + 4 = 21</think> <answer> \\boxed{%s} </answer>",
]
# For answers with a dollar sign or in words, which a formula would not hold.
PLAIN = [
    "<think>\nIt may be 1000.\n</think>\n<answer>%s</answer>",
    "Working it out takes 3 steps.\n#### %s",
    "We get \\boxed{%s}.",
    "The answer is %s.",
]


def wrapped(answer, number):
    """One completion that states `answer`; a literal completion starts with `!`."""
    if answer.startswith("!"):
        return answer[1:]
    plain = "$" in answer or answer.startswith("~")
    answer = answer.removeprefix("~")
    forms = PLAIN if plain else WRAPPINGS
    return forms[number % len(forms)] % answer


def rows():
    number = 0
    seen = set()
    for module in (answers_numbers, answers_objects, answers_prose, answers_spellings, answers_meaning):
        for kind, source, gold, right, wrong in module.CASES:
            for expected, answers in ((True, right), (False, wrong)):
                for answer in answers:
                    # The next form where a literal completion already has this one.
                    for _ in range(len(WRAPPINGS)):
                        completion = wrapped(answer, number)
                        number += 1
                        if (gold, completion) not in seen:
                            break
                    else:
                        continue
                    seen.add((gold, completion))
                    yield {
                        "id": f"{kind}-{number}",
                        "kind": kind,
                        "gold": gold,
                        "completion": completion,
                        "expected": expected,
                        "source": source,
                    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).resolve().parents[2] / "tests/golden/answers.jsonl"
    parser.add_argument("--output", type=Path, default=default)
    table = list(rows())
    with parser.parse_args().output.open("w", encoding="utf-8") as file:
        for row in table:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    wrong = sum(not row["expected"] for row in table)
    print(f"{len(table)} cases, {wrong} of them wrong answers, {len({row['kind'] for row in table})} kinds")


if __name__ == "__main__":
    main()
