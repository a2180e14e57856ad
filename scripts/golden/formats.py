"""formats.jsonl: completions and what the format rewards of trl and open-r1 give them.

`think_format` is trl's own function. open-r1 is no package of the registry: its four rewards are its patterns (src/open_r1/rewards.py,
Apache-2.0), matched here by Python's `re`, which is what open-r1 does. Under `prefilled` are the scores of the text that the
template and the policy write together, `<think>`, a line break and the completion; both originals judge the completion alone
and give 0 to whatever needs the tag, which the rewards here do not do on purpose. `reasoning_steps` needs no tag.
"""

import random
import re

from common import GOLDEN, write_jsonl
from trl.rewards import think_format_reward

FLAGS = re.DOTALL | re.MULTILINE
BLOCKS = r"^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$"
CODE = r"^<think>\n.*?\n</think>\n<answer>\n.*?```python.*?```.*?\n</answer>$"
STEPS = r"(Step \d+:|^\d+\.|\n-|\n\*|First,|Second,|Next,|Finally,)"
TAGS = ("<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>")
OPENING = "<think>\n"

GOOD = ["<think>", "\n", "a", "\n", "</think>", "\n", "<answer>", "\n", "b", "\n", "</answer>"]
GOOD_CODE = [*GOOD[:8], "```python\n", "print(1)\n", "```", "\n", "</answer>"]
CHANGES = [
    "", "\n", "\n\n", " ", "x", "<think>", "</think>", "<answer>", "</answer>", "<think>\n", "\n</think>\n", "\n<answer>\n",
    "\n</answer>", "```python", "```", "Step 1: x", "\n- x", "\r\n", "</answer>\nx", "ä",
]
BY_HAND = [
    "", "\n", "a", "<think>", "<think>\n", "</think>", "<think></think>", "<think>\n</think>", "<think>\n\n</think>\n",
    "<think>a</think>b", "<think>a</think><answer>b</answer>", "<think>a</think>\n<answer>b</answer>", "<think>a<think>b</think>c",
    "<think>a</think>b</think>", "a<think>b</think>", " <think>a</think>", "<think>a</think><think>", "<THINK>a</THINK>",
    "<think>\na\n</think>\n<answer>\nb\n</answer>", "<think>\na\n</think>\n<answer>\nb\n</answer>\n",
    "<think>\na\n</think>\n<answer>\nb\n</answer>\nmore", "<think>\na\n</think>\n<answer>\nb\n</answer> more",
    "<think>\na\n</think>\n<answer>\nb\n</answer>\n<answer>\nc\n</answer>", "<think>\na\n</think>\n<answer>\nb\n</answer>\r\n",
    "<think>\na\n</think>\n<answer>\nb\n</answer>x\n</answer>", "<think>\n</think>\n<answer>\nb\n</answer>",
    "<think>\n\n</think>\n<answer>\n\n</answer>", "<think>\na\n</think>\n<answer>\n</answer>", "<think>\na\n</think>\n\n<answer>\nb\n</answer>",
    "<think>\na\n</think>\nx\n</think>\n<answer>\nb\n</answer>", "<think>\na\n</think>\n<answer>\nb\n<answer>\nc\n</answer>",
    "a\n</think>\n<answer>\nb\n</answer>", "\na\n</think>\n<answer>\nb\n</answer>", "a</think>\n<answer>\nb\n</answer>", "a</think>b",
    "\n</think>\n<answer>\nb\n</answer>", "</think>b", "<think>\na\n</think>b", "\u2028<think>\na\n</think>\n<answer>\nb\n</answer>",
    "<think>\na\n</think>\n<answer>\nb\n</answer>\u2028", "<think>\r\na\r\n</think>\r\n<answer>\r\nb\r\n</answer>",
    "<think>\na\n</think>\n<answer>\n```python\nx\n```\n</answer>", "<think>\na\n</think>\n<answer>\n```python3\nx\n```\n</answer>",
    "<think>\na\n</think>\n<answer>\n```Python\nx\n```\n</answer>", "<think>\na\n</think>\n<answer>\n```\nx\n```\n</answer>",
    "<think>\na\n</think>\n<answer>\n```python\nx\n</answer>", "<think>\na\n</think>\n<answer>\n```python```\n</answer>",
    "<think>\na\n</think>\n<answer>\n```python``\n</answer>", "<think>\n```python\nx\n```\n</think>\n<answer>\nb\n</answer>",
    "<think>\na\n</think>\n<answer>\ntext ```python x``` text\n</answer>", "<think>\na\n</think>\n<answer>\n```py\n``` ```python\n```\n</answer>",
    "<think>\na\n</think>\n<answer>\n```c\n```python\n```\n</answer>", "<think>\na\n</think>\n<answer>\n```python\n```\n</answer>\n",
    "a\n</think>\n<answer>\n```python\nx\n```\n</answer>",
    "Step 1: a", "Step 1: a Step 2: b", "Step 1: a\nStep 2: b\nStep 3: c\nStep 4: d", "step 1: a", "Step one: a", "Step  1: a", "Step 1 : a",
    "Step \u0661: a", "Step \u0967\u0968: a", "Step \u00b2: a", "1. a", "1. a\n2. b\n3. c", "12. a", " 1. a", "\n1. a", "1) a", "\u0661. a", "- a", "\n- a", "\n- a\n- b",
    "\n* a\n* b\n* c", "a\n-\n*", "\n--", "\n\n-", "First, a", "First, a. Second, b. Next, c. Finally, d.", "first, a", "First a", "Firstly, a", "FirstFirst,",
    "Next,Next,Next,", "Finally, Step 7: done", "Step 1:Step 2:", "1.Step 1:", "\n-Step 1:First,", "1. First, a\n- b", "Step 99999999999999999999: a",
]


def scores(text: str, steps_of: str) -> dict[str, float]:
    """Each reward's score for `text`; steps are those of `steps_of`."""
    return {
        "open_r1_format": float(re.match(BLOCKS, text, FLAGS) is not None),
        "tag_count": sum(0.25 for tag in TAGS if text.count(tag) == 1),
        "think_format": think_format_reward([[{"content": text}]])[0],
        "code_format": float(re.match(CODE, text, FLAGS) is not None),
        "reasoning_steps": min(1.0, len(re.findall(STEPS, steps_of)) / 3),
    }


def changed(rng: random.Random) -> str:
    """A well-formed completion with none to three of its pieces changed."""
    pieces = list(rng.choice([GOOD, GOOD_CODE]))
    if rng.random() < 0.3:
        del pieces[:2]
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        at = rng.randrange(len(pieces))
        pieces[at : at + rng.choice([0, 1])] = [rng.choice(CHANGES)]
    return "".join(pieces)


def main() -> None:
    """One row for each completion."""
    rng = random.Random(51)
    texts = list(dict.fromkeys([*BY_HAND, *(changed(rng) for _ in range(240))]))
    rows = [{"completion": text, "scores": scores(text, text), "prefilled": scores(OPENING + text, text)} for text in texts]
    write_jsonl(GOLDEN / "formats.jsonl", rows)


if __name__ == "__main__":
    main()
