"""Run Math-Verify over a table of answers, as TRL calls it and with its own defaults: verdicts as expected, and speed."""

import json
import logging
import sys
import time
from importlib.metadata import version

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify

# A gold in none of these is one that Math-Verify does not read as it is.
DELIMITERS = ("$", "\\boxed", "\\(", "\\[")


def trl(gold, completion):
    """The call in trl.rewards.accuracy_reward. A gold that it cannot read makes it skip the row: no verdict."""
    parsed = parse(gold)
    if not parsed:
        return None
    config = LatexExtractionConfig(
        normalization_config=NormalizationConfig(units=True), boxed_match_priority=0, try_extract_without_anchor=False
    )
    return verify(parsed, parse(completion, extraction_config=[config], extraction_mode="first_match"))


def defaults(gold, completion):
    return verify(parse(gold), parse(completion))


def delimited(gold, completion):
    """Its defaults, with golds put in dollar signs where they have no delimiters."""
    if not any(delimiter in gold for delimiter in DELIMITERS):
        gold = f"${gold}$"
    return defaults(gold, completion)


def main():
    # A comparison that runs into its time limit logs a warning; it counts as a wrong verdict.
    logging.disable(logging.CRITICAL)
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    print(f"math-verify {version('math-verify')}, sympy {version('sympy')}, {len(rows)} rows")
    for name, judge in (("as TRL calls it", trl), ("defaults", defaults), ("defaults, delimited golds", delimited)):
        right = false_positives = skipped = 0
        slowest, slowest_row = 0.0, None
        start = time.perf_counter()
        for row in rows:
            before = time.perf_counter()
            verdict = judge(row["gold"], row["completion"])
            took = time.perf_counter() - before
            if took > slowest:
                slowest, slowest_row = took, row.get("id")
            right += verdict == row["expected"]
            false_positives += verdict is True and not row["expected"]
            skipped += verdict is None
        rate = len(rows) / (time.perf_counter() - start)
        share = 100 * right / len(rows)
        print(
            f"{name}: {right} of {len(rows)} as expected ({share:.1f} %), {false_positives} false positives, {skipped} skipped, "
            f"{rate:.0f} verdicts per second on 1 thread, slowest {slowest:.2f} s ({slowest_row})"
        )


if __name__ == "__main__":
    main()
