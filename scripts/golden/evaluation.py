"""What an evaluation measures, by independent means: pass@k by whole binomials, votes by a counter, intervals by mpmath.

Writes tests/golden/evaluation.json. Random tables come from numpy's generator with the seeds below.
"""

from collections import Counter
from fractions import Fraction
from itertools import combinations
from math import comb

import mpmath
import numpy

from common import GOLDEN, write_json

mpmath.mp.dps = 40

# Spellings of one value each: whoever compares answers as text counts them apart.
SPELLINGS = [
    ["1/2", "0.5", r"\frac{1}{2}", r"\dfrac12", "2/4", "0.50"],
    ["42", "42.0", "+42", r"\frac{84}{2}", "$42$"],
    ["-3", "-3.0", r"\frac{-6}{2}", "-9/3"],
    ["1000", "1,000", r"10^3", "1000.00"],
    [r"\sqrt{8}", r"2\sqrt{2}", r"2 \sqrt 2"],
    [r"\pi", r"\frac{2\pi}{2}", "3\\pi/3"],
    ["x+1", "1+x", r"\frac{2x+2}{2}"],
    ["(1, 2)", "(1,2)", "(1.0, 4/2)"],
]


def pass_at_k() -> list[dict]:
    """1 - C(n - c, k) / C(n, k) in whole numbers: every c and k of small n, and random ones of large n."""
    cases = [(n, c, k) for n in range(1, 9) for c in range(n + 1) for k in range(1, n + 1)]
    random = numpy.random.default_rng(0)
    for _ in range(400):
        n = int(random.integers(9, 257))
        cases.append((n, int(random.integers(0, n + 1)), int(random.integers(1, n + 1))))
    # The counts of R1's tables: 64 samples for AIME, 16 for MATH-500.
    cases += [(64, c, k) for c in (0, 1, 32, 63, 64) for k in (1, 8, 64)] + [(16, c, 4) for c in range(17)]
    value = lambda n, c, k: float(1 - Fraction(comb(n - c, k), comb(n, k)))
    return [{"n": n, "c": c, "k": k, "value": value(n, c, k)} for n, c, k in cases]


def votes() -> list[dict]:
    """Answers with known values; Counter keeps the order of first sight, and most_common is stable."""
    random = numpy.random.default_rng(1)
    tables = []
    for _ in range(250):
        n, n_values = int(random.integers(1, 17)), int(random.integers(1, len(SPELLINGS) + 1))
        values = [int(v) if random.random() > 0.2 else None for v in random.integers(0, n_values, n)]
        answers = [None if v is None else SPELLINGS[v][int(random.integers(len(SPELLINGS[v])))] for v in values]
        counts = Counter(v for v in values if v is not None)
        winner = counts.most_common(1)[0][0] if counts else None
        tables.append({"answers": answers, "voted": None if winner is None else values.index(winner)})
    return tables


def student_factor(df: int) -> mpmath.mpf:
    """The t with P(|T| <= t) = 0.95, by integrating the density."""
    density = lambda t: mpmath.gamma((df + 1) / mpmath.mpf(2)) / (
        mpmath.sqrt(df * mpmath.pi) * mpmath.gamma(df / mpmath.mpf(2))
    ) * (1 + t * t / df) ** (-(df + 1) / mpmath.mpf(2))
    within = lambda t: 2 * mpmath.quad(density, [0, t / 2, t])
    return mpmath.findroot(lambda t: within(t) - mpmath.mpf("0.95"), (1.9, 13), solver="anderson", tol=1e-25)


def interval(values: list[float], bounded: bool) -> dict:
    """Wilson's where bounded values are all 0 or 1, or all equal; else Student's."""
    n = len(values)
    mean = mpmath.fsum(values) / n
    if bounded and (all(v in (0.0, 1.0) for v in values) or len(set(values)) == 1):
        # Wilson's ends are the p with |mean - p| = z sqrt(p (1 - p) / n).
        z2 = (mpmath.sqrt(2) * mpmath.erfinv(mpmath.mpf("0.95"))) ** 2
        roots = numpy.roots([float(n + z2), float(-(2 * n * mean + z2)), float(n * mean * mean)])
        low, high = sorted(float(root) for root in roots)
    else:
        half = student_factor(n - 1) * mpmath.sqrt(mpmath.fsum((v - mean) ** 2 for v in values) / (n - 1) / n)
        low, high = float(mean - half), float(mean + half)
        if bounded:
            low, high = max(low, 0.0), min(high, 1.0)
    return {"values": values, "bounded": bounded, "mean": float(mean), "low": low, "high": high}


def intervals() -> list[dict]:
    random = numpy.random.default_rng(2)
    cases = []
    for n in (1, 2, 3, 10, 30):
        for share in (0.0, 0.1, 0.5, 0.9, 1.0):
            cases.append(interval([float(v) for v in random.random(n) < share], True))
    for n in (2, 3, 5, 12, 30):
        for k in (4, 16):
            for share in (0.05, 0.5, 0.95):
                values = [float(v) / k for v in random.binomial(k, share, n)]
                cases.append(interval(values, True))
        cases.append(interval([float(v) for v in random.integers(1, 400, n)], False))
    return cases


def curves() -> list[dict]:
    """s1's Scaling: the mean slope over all pairs of points, by 1,000 tokens; and its Performance."""
    random = numpy.random.default_rng(3)
    result = []
    for _ in range(30):
        n = int(random.integers(2, 8))
        tokens = numpy.sort(random.choice(4000, n, replace=False)).astype(float) + 0.25
        accuracy = random.integers(0, 65, n) / 64
        pairs = combinations(zip(tokens, accuracy), 2)
        slope = numpy.mean([1000 * (fb - fa) / (b - a) for (a, fa), (b, fb) in pairs])
        points = [[float(t), float(a)] for t, a in zip(tokens, accuracy)]
        order = random.permutation(n)
        result.append(
            {"points": [points[i] for i in order], "slope": float(slope), "performance": float(accuracy.max())}
        )
    return result


if __name__ == "__main__":
    write_json(
        GOLDEN / "evaluation.json",
        {"pass_at_k": pass_at_k(), "votes": votes(), "intervals": intervals(), "curves": curves()},
    )
