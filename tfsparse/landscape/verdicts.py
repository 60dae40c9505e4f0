"""What can be said of a path from its losses, each with its uncertainty. Plain numpy.

All points of a path are evaluated on the same images, so their errors go together: the
uncertainty of a difference comes from the covariance of the points, not from two separate
standard errors.
"""

from typing import Any

import numpy as np


def mean_covariance(losses: np.ndarray) -> np.ndarray:
    """The covariance of the mean losses of a path's points.

    Args:
        losses: [m, n], the loss of each of m points on each of n images, n >= 1.

    Returns:
        float64 [m, m]; the diagonal holds squared standard errors. Zero for a single image.
    """
    count = losses.shape[1]
    if count < 2:
        return np.zeros((len(losses), len(losses)))
    centred = losses.astype(np.float64)
    centred -= centred.mean(axis=1, keepdims=True)
    return centred @ centred.T / (count - 1) / count


def verdict(
    t: np.ndarray, loss: np.ndarray, covariance: np.ndarray, *, towards: float, level: float = 3.0
) -> dict[str, Any]:
    """What the loss does between t = 0 and t = 1.

    Args:
        t: [m], ascending.
        loss: [m].
        covariance: [m, m], of the losses' estimates.
        towards: the t (0 or 1) of the solution the path leads to. "Falling" means falling on
            the way there.
        level: how many standard errors a rise or barrier must exceed to count.

    Returns:
        max_rise, max_rise_se: the largest rise between neighbours on the way (negative when
            there is none) and its standard error; max_rise_t: where it ends;
        monotone: whether no neighbours rise by more than `level` standard errors;
        climb, climb_se: the largest rise on the way over any distance, 0 where there is none;
            finer points leave it as it is, unlike max_rise; climb_t: where it ends;
        peak, peak_se: the path's maximum;
        barrier, barrier_se: the path's maximum minus the larger end; barrier_t: where;
        has_barrier: whether it exceeds `level` standard errors;
        integral, integral_se: of the loss over [0, 1], by the trapezoidal rule;
        drop, drop_se: the loss at the far end minus that at the solution;
        plateau, half_drop: the lengths in t, from the far end on, over which the loss stays
            above 90 and 50% of the way from the solution's loss to the far end's; None where
            the far end is not the higher one.
        Everything is None when fewer than two points lie in [0, 1] or a loss is not finite.
    """
    inside = np.flatnonzero((t >= -1e-9) & (t <= 1 + 1e-9))
    keys = (
        "max_rise", "max_rise_se", "max_rise_t", "monotone", "climb", "climb_se", "climb_t",
        "peak", "peak_se", "barrier", "barrier_se", "barrier_t", "has_barrier",
        "integral", "integral_se", "drop", "drop_se", "plateau", "half_drop",
    )  # fmt: skip
    if len(inside) < 2 or not np.all(np.isfinite(loss[inside])):
        return dict.fromkeys(keys)
    order = inside if towards == 1 else inside[::-1]
    t, loss = np.asarray(t, np.float64)[order], np.asarray(loss, np.float64)[order]
    covariance = np.asarray(covariance, np.float64)[np.ix_(order, order)]
    return {
        **_rises(t, loss, covariance, level),
        **_climb(t, loss, covariance),
        **_barrier(t, loss, covariance, level),
        **_integral(t, loss, covariance),
        **_drop(loss, covariance),
        "plateau": plateau(np.abs(t - t[0]), loss),
        "half_drop": plateau(np.abs(t - t[0]), loss, share=0.5),
    }


def _rises(t: np.ndarray, loss: np.ndarray, covariance: np.ndarray, level: float) -> dict[str, Any]:
    rises = np.diff(loss)
    variance = np.diag(covariance)
    errors = np.sqrt(np.maximum(variance[1:] + variance[:-1] - 2 * np.diag(covariance, 1), 0.0))
    largest = int(np.argmax(rises))
    return {
        "max_rise": float(rises[largest]),
        "max_rise_se": float(errors[largest]),
        "max_rise_t": float(t[largest + 1]),
        "monotone": bool(np.all(rises <= level * errors)),
    }


def _climb(t: np.ndarray, loss: np.ndarray, covariance: np.ndarray) -> dict[str, Any]:
    climbs = loss - np.minimum.accumulate(loss)
    top = int(np.argmax(climbs))
    foot = int(np.argmin(loss[: top + 1]))
    error = _error(_difference(len(loss), top, foot), covariance)
    return {"climb": float(climbs[top]), "climb_se": error, "climb_t": float(t[top])}


def _barrier(
    t: np.ndarray, loss: np.ndarray, covariance: np.ndarray, level: float
) -> dict[str, Any]:
    top = int(np.argmax(loss))
    end = 0 if loss[0] >= loss[-1] else len(loss) - 1
    height = float(loss[top] - loss[end])
    error = _error(_difference(len(loss), top, end), covariance)
    return {
        "peak": float(loss[top]),
        "peak_se": float(np.sqrt(covariance[top, top])),
        "barrier": height,
        "barrier_se": error,
        "barrier_t": float(t[top]),
        "has_barrier": bool(height > level * error),
    }


def _integral(t: np.ndarray, loss: np.ndarray, covariance: np.ndarray) -> dict[str, Any]:
    steps = np.abs(np.diff(t))
    weights = np.zeros(len(t))
    weights[1:] += steps / 2
    weights[:-1] += steps / 2
    return {"integral": float(weights @ loss), "integral_se": _error(weights, covariance)}


def _drop(loss: np.ndarray, covariance: np.ndarray) -> dict[str, Any]:
    error = _error(_difference(len(loss), 0, -1), covariance)
    return {"drop": float(loss[0] - loss[-1]), "drop_se": error}


def _difference(count: int, plus: int, minus: int) -> np.ndarray:
    """Weights of one of `count` losses minus another one; zero where both are the same."""
    weights = np.zeros(count)
    weights[plus] += 1.0
    weights[minus] -= 1.0
    return weights


def _error(weights: np.ndarray, covariance: np.ndarray) -> float:
    return float(np.sqrt(max(0.0, float(weights @ covariance @ weights))))


def plateau(distance: np.ndarray, loss: np.ndarray, share: float = 0.9) -> float | None:
    """How far from the first point the loss stays within `1 - share` of its drop to the last.

    Args:
        distance: [m], ascending, from the first point.
        loss: [m].
        share: of the drop.

    Returns:
        The distance at which the loss first falls below the last loss + share * drop, linear
        between points; None where the first loss is not above the last.

    >>> plateau(np.array([0.0, 0.5, 1.0]), np.array([1.0, 1.0, 0.0]))
    0.55
    """
    drop = float(loss[0] - loss[-1])
    if drop <= 0:
        return None
    threshold = float(loss[-1]) + share * drop
    below = int(np.flatnonzero(loss < threshold)[0])
    high, low = float(loss[below - 1]), float(loss[below])
    part = (high - threshold) / (high - low)
    return float(distance[below - 1] + part * (distance[below] - distance[below - 1]))
