"""A reward of one's own in ten lines: the share of different sums in a completion that are right. docs/rewards.md, process."""

import json
import re
import sys
from operator import add, mul, sub, truediv

OPERATIONS = {"+": add, "-": sub, "*": mul, "/": truediv}

for line in sys.stdin:
    row = json.loads(line)
    sums = set(re.findall(r"\b(\d{1,6}) ([-+*/]) ([1-9]\d{0,5}) = (\d{1,12})\b", row["completion"]))
    right = [OPERATIONS[operation](int(a), int(b)) == int(c) for a, operation, b, c in sums]
    score = sum(right) / len(right) if right else None  # None: nothing to judge, which is not the same as wrong
    print(json.dumps({"id": row["id"], "score": score, "reason": f"{sum(right)} of {len(right)} sums"}), flush=True)
