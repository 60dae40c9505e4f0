"""Paths through weight space as weighted sums of control points. Plain numpy.

A path is a matrix of coefficients, one row per t and one column per control point: the weights
at t are the row's sum over the control points. Every row sums to 1.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

Weights = Mapping[str, np.ndarray]


def bernstein(order: int, t: np.ndarray | Sequence[float]) -> np.ndarray:
    """The Bernstein weights C(n, i) (1 - t)^(n - i) t^i.

    Args:
        order: n >= 0.
        t: [m]; values outside [0, 1] extrapolate.

    Returns:
        float64 [m, n + 1]; rows sum to 1, and are exactly one-hot at t = 0 and t = 1.

    >>> bernstein(2, [0.0, 0.5, 1.0]).tolist()
    [[1.0, 0.0, 0.0], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0]]
    """
    t = np.asarray(t, np.float64)[:, None]
    i = np.arange(order + 1)
    binomials = np.array([math.comb(order, k) for k in i], np.float64)
    return binomials * (1.0 - t) ** (order - i) * t**i


def line(t: np.ndarray | Sequence[float]) -> np.ndarray:
    """The coefficients of (start, end) on theta(t) = t * end + (1 - t) * start.

    >>> line([-0.5, 0.0, 1.0]).tolist()
    [[1.5, -0.5], [1.0, 0.0], [0.0, 1.0]]
    """
    return bernstein(1, t)


def chain(pieces: int, t: np.ndarray | Sequence[float]) -> np.ndarray:
    """The coefficients of a polygonal chain of `pieces` equal pieces through `pieces + 1` points.

    Values outside [0, 1] extend the first and the last piece.

    >>> chain(2, [0.0, 0.25, 0.5, 1.0]).tolist()
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    t = np.asarray(t, np.float64)
    place = t * pieces
    first = np.clip(np.floor(place), 0, pieces - 1).astype(np.int64)
    inside = place - first
    result = np.zeros((len(t), pieces + 1))
    rows = np.arange(len(t))
    result[rows, first] = 1.0 - inside
    result[rows, first + 1] += inside
    return result


def coefficients(kind: str, order: int, t: np.ndarray | Sequence[float]) -> np.ndarray:
    """The coefficients of a `bezier` curve of an order, or of a `chain` of so many pieces."""
    return chain(order, t) if kind == "chain" else bernstein(order, t)


def mix(points: Sequence[Weights], row: np.ndarray) -> dict[str, np.ndarray]:
    """The weights at one place of a path.

    Args:
        points: the control points.
        row: float [number of points].

    Returns:
        The sum in each weight's own dtype, summed in float64; where the row is one-hot, that
        control point bit by bit.
    """
    alone = np.flatnonzero(row)
    if len(alone) == 1 and row[alone[0]] == 1.0:
        return {name: np.array(value) for name, value in points[alone[0]].items()}
    result = {}
    for name, value in points[0].items():
        total = np.zeros(np.shape(value), np.float64)
        for factor, point in zip(row, points, strict=True):
            total += factor * np.asarray(point[name], np.float64)
        result[name] = total.astype(np.asarray(value).dtype)
    return result


def on_the_line(first: Weights, last: Weights, order: int) -> list[dict[str, np.ndarray]]:
    """The inner control points a curve of `order` starts from: evenly on the straight line."""
    return [mix((first, last), np.array([1.0 - i / order, i / order])) for i in range(1, order)]


def gram(points: Sequence[Weights], names: Sequence[str]) -> np.ndarray:
    """The inner products of control points over some weights.

    Args:
        points: the control points.
        names: which weights enter.

    Returns:
        float64 [n, n]; `row @ gram @ row` is the squared norm of those weights at a place.
    """
    flat = [
        np.concatenate([np.ravel(point[name]).astype(np.float64) for name in names])
        for point in points
    ]
    return np.array([[float(a @ b) for b in flat] for a in flat])


def squared_norms(rows: np.ndarray, products: np.ndarray) -> np.ndarray:
    """The squared norm at each place: rows [m, n] and `gram`'s [n, n] give float64 [m]."""
    return np.maximum(np.einsum("mi,ij,mj->m", rows, products, rows), 0.0)
