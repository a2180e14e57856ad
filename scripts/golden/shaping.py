"""shaping.jsonl: completions and what the shaping rewards of trl and open-r1 give them.

trl's cosine, repetition and overlong rewards run themselves; only its judge of correctness is replaced, by the first letter of a
completion: `r` is right, `w` is wrong, `n` is "not applicable". open-r1 is no package of the registry: its rewards
(src/open_r1/rewards.py, Apache-2.0) are restated here from their definition, and so is the length reward of Kimi k1.5
(arXiv 2501.12599, section 2.3.3), which trl does not have. A row has the groups of one batch.
"""

import math
import random

import trl.rewards.accuracy_rewards as accuracy
from common import GOLDEN, write_jsonl
from trl.rewards import get_cosine_scaled_reward, get_repetition_penalty_reward, get_soft_overlong_punishment

WORDS = "the number is Seven and seven times two is fourteen so The answer Ähre ähre ÄHRE x".split()
SPACES = [" ", " ", " ", "\n", "  ", "\t", "\u00a0", "\u2003", "\x1c"]
CORRECT = {"r": 1.0, "w": 0.0, "n": None}


def completion(letter: str, n_tokens: int, n_chars: int = 1) -> dict:
    """A completion of which only correctness and length are looked at."""
    return {"letter": letter, "n_tokens": n_tokens, "n_chars": n_chars}


def text_of(each: dict) -> str:
    """Its text: the letter, then characters of which every third is not ASCII."""
    return each.get("text", (each.get("letter", "") + "a\u00f6b" * each.get("n_chars", 0))[: each.get("n_chars", 0)])


def judged(texts: list[str]) -> list[float | None]:
    """Correctness by the first letter."""
    return [CORRECT[text[0]] for text in texts]


def trl_cosine(completions: list[dict], options: dict) -> list[float | None]:
    """trl's cosine; the names of its settings differ."""
    texts = [text_of(each) for each in completions]
    accuracy.accuracy_reward = lambda *_: judged(texts)
    reward = get_cosine_scaled_reward(
        max_len=options["max_length"], min_value_wrong=options["wrong_short"], max_value_wrong=options["wrong_long"],
        min_value_correct=options["right_long"], max_value_correct=options["right_short"],
    )
    ids = [[1] * each["n_tokens"] for each in completions]
    return reward([[{"content": text}] for text in texts], texts, ids)


def open_r1_cosine(completions: list[dict], options: dict) -> list[float | None]:
    """open-r1's cosine: characters, not clamped."""
    scores = []
    for each in completions:
        correct = CORRECT[each["letter"]]
        side = "right" if correct else "wrong"
        low, high = options[f"{side}_long"], options[f"{side}_short"]
        turn = math.cos(len(text_of(each)) / options["max_length"] * math.pi)
        scores.append(None if correct is None else low + 0.5 * (high - low) * (1.0 + turn))
    return scores


def kimi(completions: list[dict], lengths: list[int], among: list[int]) -> list[float | None]:
    """The length reward of completions of these lengths, compared with those of `among`."""
    low, high = min(among), max(among)
    scores = []
    for each, length in zip(completions, lengths, strict=True):
        correct = CORRECT[each["letter"]]
        share = 0.0 if high == low else 0.5 - (length - low) / (high - low)
        scores.append(None if correct is None else share if correct else min(0.0, share))
    return scores


def kimi_rows(rng: random.Random) -> list[dict]:
    """Batches of one to three groups."""
    rows = []
    for index in range(24):
        letters = rng.choice(["rw", "rrw", "r", "w", "rwn"])
        equal = index % 6 == 5
        groups = [
            [completion(rng.choice(letters), 7 if equal else rng.randrange(1, 300), 7 if equal else rng.randrange(1, 90)) for _ in range(4)]
            for _ in range(rng.randrange(1, 4))
        ]
        tokens = [[each["n_tokens"] for each in group] for group in groups]
        chars = [[len(text_of(each)) for each in group] for group in groups]
        by_group = [kimi(group, length, length) for group, length in zip(groups, tokens, strict=True)]
        by_batch = [kimi(group, length, sum(chars, [])) for group, length in zip(groups, chars, strict=True)]
        for variant, scores in (("corrected", by_group), ("open_r1", by_batch)):
            rows.append({"reward": "kimi_length", "options": {"as": variant}, "groups": groups, "scores": scores})
    return rows


def cosine_rows(rng: random.Random) -> list[dict]:
    """Lengths around the limit and far beyond it."""
    tables = [
        {"right_short": 1.0, "right_long": 0.5, "wrong_short": -1.0, "wrong_long": -0.5},
        {"right_short": 1.0, "right_long": 0.5, "wrong_short": 0.0, "wrong_long": -0.5},
        {"right_short": 2.0, "right_long": 1.0, "wrong_short": -10.0, "wrong_long": 0.0},
    ]
    rows = []
    for scores in tables:
        for limit in (1, 40, 1000):
            options = {"max_length": limit} | scores
            lengths = [1, limit, limit + 1, max(1, limit // 2), 2 * limit, 3 * limit, rng.randrange(1, 2 * limit + 2)]
            group = [completion(letter, length, length) for length in lengths for letter in "rw"] + [completion("n", 5, 5)]
            group += [completion(letter, 0, 3) for letter in "rw"]
            for variant, original in (("trl", trl_cosine), ("corrected", trl_cosine), ("open_r1", open_r1_cosine)):
                row = {"reward": "cosine", "options": {"as": variant} | options, "groups": [group]}
                rows.append(row | {"scores": [original(group, options)]})
    return rows


def open_r1_repetition(text: str, size: int, penalty: float) -> float:
    """open-r1's repetition penalty for English: words between white space in lower case."""
    words = text.lower().split()
    ngrams = list(zip(*(words[start:] for start in range(size)), strict=False))
    return (1 - len(set(ngrams)) / len(ngrams)) * penalty if ngrams else 0.0


def repetition_rows(rng: random.Random) -> list[dict]:
    """Random words and tokens of small vocabularies, so that much is repeated."""
    rows = []
    for size in (1, 2, 3, 5):
        for penalty in (-1.0, -0.5, 0.0):
            ids = [[rng.randrange(vocabulary) for _ in range(rng.randrange(40))] for vocabulary in (1, 2, 3, 9, 50_000) for _ in range(2)]
            group = [{"text": "n", "n_tokens": len(row), "token_ids": row} for row in [*ids, [], [1] * size, [-1, -1, -1, -1]]]
            scores = get_repetition_penalty_reward(size, penalty)([each["token_ids"] for each in group])
            options = {"unit": "tokens", "ngram_size": size, "max_penalty": penalty}
            rows.append({"reward": "repetition", "options": options, "groups": [group], "scores": [scores]})
            texts = ["".join(rng.choice(WORDS[:kinds]) + rng.choice(SPACES) for _ in range(rng.randrange(30))) for kinds in (1, 3, 14) for _ in range(3)]
            group = [{"text": text, "n_tokens": 1} for text in [*texts, "", " \n", " one two three ", "ΑΣ ας ΑΣ ας ας"]]
            scores = [open_r1_repetition(each["text"], size, penalty) for each in group]
            rows.append({"reward": "repetition", "options": options | {"unit": "words"}, "groups": [group], "scores": [scores]})
    return rows


def overlong_rows() -> list[dict]:
    """Every side of both corners."""
    rows = []
    for limit, buffer in ((100, 20), (100, 0), (100, 100), (20_480, 4096), (16_384, 4096), (1024, 512), (1, 1)):
        free = limit - buffer
        lengths = sorted({0, free, free + 1, (free + limit) // 2, limit - 1, limit, limit + 1, 2 * limit})
        group = [{"text": "n", "n_tokens": length} for length in lengths]
        scores = get_soft_overlong_punishment(limit, buffer)([[1] * length for length in lengths])
        options = {"max_tokens": limit, "buffer_tokens": buffer}
        rows.append({"reward": "soft_overlong", "options": options, "groups": [group], "scores": [scores]})
    return rows


def main() -> None:
    """One row for each setting."""
    rng = random.Random(61)
    rows = [*cosine_rows(rng), *kimi_rows(rng), *repetition_rows(rng), *overlong_rows()]
    write_jsonl(GOLDEN / "shaping.jsonl", rows)


if __name__ == "__main__":
    main()
