"""Student's t intervals of small samples and of paired differences, and the pairs a t test needs, in 40 digits by mpmath."""

import mpmath
from common import GOLDEN, write_json

mpmath.mp.dps = 40

SAMPLES = [
    [0.5, 0.75],
    [0.412, 0.398, 0.441],
    [0.912, 0.93, 0.915, 0.921, 0.9],
    [86.1, 90.25, 71.0, 88.5, 92.75, 79.0, 85.5, 90.0],
    [3.0, 3.0, 3.0],
    [1e-7, 3e-7, -2e-7, 5e-8, 4e-8, 1.5e-7, 0.0, 2e-7, 2.5e-7, 1e-8, 3e-8],
]
DEGREES = [1, 2, 3, 4, 5, 7, 9, 10, 19, 30, 98]
# (mean difference, standard deviation of differences)
EFFECTS = [(0.05, 0.05), (0.05, 0.1), (-0.02, 0.05), (1.0, 1.5), (0.03, 0.11), (2.0, 1.0)]


def within(t: mpmath.mpf, df: int) -> mpmath.mpf:
    """P(|T| <= t), by the regularised incomplete beta function."""
    return 1 - mpmath.betainc(mpmath.mpf(df) / 2, mpmath.mpf(1) / 2, 0, df / (df + t * t), regularized=True)


def quantile(df: int) -> mpmath.mpf:
    """The t with P(|T| <= t) = 0.95."""
    low, high = mpmath.mpf(0), mpmath.mpf(64)
    for _ in range(130):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle, df) < mpmath.mpf("0.95") else (low, middle)
    return (low + high) / 2


def interval(values: list[float]) -> dict:
    """Mean, deviation with Bessel's correction, and the ends of the 95 % interval."""
    exact = [mpmath.mpf(value) for value in values]
    n = len(exact)
    mean = mpmath.fsum(exact) / n
    deviation = mpmath.sqrt(mpmath.fsum((value - mean) ** 2 for value in exact) / (n - 1))
    half = quantile(n - 1) * deviation / mpmath.sqrt(n)
    return {"values": values, "mean": float(mean), "deviation": float(deviation),
            "low": float(mean - half), "high": float(mean + half)}


def power(n: int, effect: mpmath.mpf) -> mpmath.mpf:
    """Power of the two-sided paired t test at 0.05: the noncentral t, integrated over the deviation (chi with n - 1)."""
    df, critical = n - 1, quantile(n - 1)
    shift = effect * mpmath.sqrt(n)
    scale = 2 ** (mpmath.mpf(df) / 2 - 1) * mpmath.gamma(mpmath.mpf(df) / 2)

    def integrand(x: mpmath.mpf) -> mpmath.mpf:
        bound = critical * x / mpmath.sqrt(df)
        return (mpmath.ncdf(shift - bound) + mpmath.ncdf(-shift - bound)) * x ** (df - 1) * mpmath.exp(-x * x / 2) / scale

    centre = mpmath.sqrt(df)
    return mpmath.quad(integrand, [0, max(centre - 4, centre / 2), centre, centre + 4, centre + 12])


def pairs_needed(mean: float, deviation: float) -> int:
    """The least n with a power of 0.8."""
    effect = abs(mpmath.mpf(mean)) / mpmath.mpf(deviation)
    with mpmath.workdps(15):
        return next(n for n in range(2, 200) if power(n, effect) >= mpmath.mpf("0.8"))


def main() -> None:
    """ablation.json: two-sided 95 % factors, intervals, and pairs needed for a power of 0.8."""
    write_json(GOLDEN / "ablation.json", {
        "factors": [{"df": df, "factor": float(quantile(df))} for df in DEGREES],
        "intervals": [interval(values) for values in SAMPLES],
        "pairs_needed": [{"mean": mean, "deviation": deviation, "pairs": pairs_needed(mean, deviation)}
                         for mean, deviation in EFFECTS],
    })


if __name__ == "__main__":
    main()
