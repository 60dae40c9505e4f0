"""Means of few replicates with their uncertainty; plain numpy and scipy, no files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval; infinite where nothing is known."""

    estimate: float
    low: float
    high: float


UNKNOWN = (-math.inf, math.inf)


def describe(values: Sequence[float]) -> dict[str, float | int | None]:
    """mean, std (with n - 1; None for n < 2) and n.

    >>> describe([1.0, 3.0])
    {'mean': 2.0, 'std': 1.4142135623730951, 'n': 2}
    """
    n = len(values)
    return {
        "mean": float(np.mean(values)) if n else None,
        "std": float(np.std(values, ddof=1)) if n > 1 else None,
        "n": n,
    }


def mean_interval(values: Sequence[float], confidence: float) -> Interval:
    """The mean with Student's t interval; unbounded for fewer than two values, or two equal
    ones: coarse numbers agree by chance."""
    n = len(values)
    mean = float(np.mean(values))
    if n < 2 or (n == 2 and values[0] == values[1]):
        return Interval(mean, *UNKNOWN)
    half = float(np.std(values, ddof=1)) / math.sqrt(n) * _t(confidence, n - 1)
    return Interval(mean, mean - half, mean + half)


def difference_interval(
    first: Sequence[float], second: Sequence[float], confidence: float
) -> Interval:
    """mean(first) - mean(second) with Welch's interval (unequal variances, Satterthwaite's
    degrees of freedom); unbounded when either has fewer than two values, or when nothing varies
    and there are not three of each: coarse numbers agree by chance."""
    estimate = float(np.mean(first)) - float(np.mean(second))
    if len(first) < 2 or len(second) < 2:
        return Interval(estimate, *UNKNOWN)
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    total = sum(parts)
    if total == 0:
        certain = min(len(first), len(second)) > 2
        return Interval(estimate, *((estimate, estimate) if certain else UNKNOWN))
    freedom = total**2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    )
    half = math.sqrt(total) * _t(confidence, freedom)
    return Interval(estimate, estimate - half, estimate + half)


def shift_interval(first: Sequence[float], second: Sequence[float], confidence: float) -> Interval:
    """The median of all first - second with the interval that ranks give (Hodges & Lehmann, Moses).

    Its ends are the k-th smallest and largest of these differences, k by the exact distribution of
    Mann and Whitney's U. It asks nothing of the values' distribution, which a dead network among
    trained ones makes anything but normal. Unbounded where even the outermost are not rare enough.
    """
    differences = np.sort(np.subtract.outer(first, second), axis=None)
    tail = np.cumsum(_u_distribution(len(first), len(second)))
    k = int(np.searchsorted(tail, (1 - confidence) / 2 * (1 + 1e-9), side="right"))
    ends = (float(differences[k - 1]), float(differences[-k])) if k else UNKNOWN
    return Interval(float(np.median(differences)), *ends)


def _u_distribution(m: int, n: int) -> np.ndarray:
    """P(U = u) for u = 0 ... m n where both samples are drawn alike.

    >>> _u_distribution(1, 2).round(3).tolist()
    [0.333, 0.333, 0.333]
    """
    counts = np.ones(1)
    for i in range(1, m + 1):  # Gaussian binomial: times (1 - q^(n+i)) / (1 - q^i)
        longer = np.zeros(len(counts) + n)
        for u in range(len(longer)):
            longer[u] = counts[u] if u < len(counts) else 0.0
            longer[u] -= counts[u - n - i] if u >= n + i else 0.0
            longer[u] += longer[u - i] if u >= i else 0.0
        counts = longer
    return counts / counts.sum()


def share_interval(successes: int, n: int, confidence: float) -> Interval:
    """A proportion with Clopper and Pearson's exact interval."""
    tail = (1 - confidence) / 2
    low = float(stats.beta.ppf(tail, successes, n - successes + 1)) if successes else 0.0
    high = float(stats.beta.ppf(1 - tail, successes + 1, n - successes)) if successes < n else 1.0
    return Interval(successes / n, low, high)


def deviations(values: Sequence[float]) -> list[float]:
    """Absolute deviations from the median: means of these compare spreads without assuming
    normal values (Brown & Forsythe), as accuracies with dead networks among them never are."""
    return [float(item) for item in np.abs(np.asarray(values) - np.median(values))]


def rank_correlation(x: Sequence[float], y: Sequence[float], confidence: float) -> Interval:
    """Spearman's rank correlation with Fisher's z interval (Bonett & Wright's variance);
    unbounded for fewer than five pairs or when either side is constant."""
    n = len(x)
    if n < 5 or len(set(x)) < 2 or len(set(y)) < 2:
        return Interval(math.nan, *UNKNOWN)
    rho = float(stats.spearmanr(x, y).statistic)
    clipped = min(max(rho, -1 + 1e-12), 1 - 1e-12)
    half = math.sqrt((1 + clipped**2 / 2) / (n - 3)) * float(stats.norm.ppf((1 + confidence) / 2))
    z = math.atanh(clipped)
    return Interval(rho, math.tanh(z - half), math.tanh(z + half))


def _t(confidence: float, freedom: float) -> float:
    return float(stats.t.ppf((1 + confidence) / 2, freedom))
