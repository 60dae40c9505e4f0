"""Logs as curves: which numbers there are, smoothing, thinning, replicates folded into a band."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfsparse.charts.logs import Log

POINTS_PER_CURVE = 240
"""The lowest and the highest value of every five pixels; more make the page slow."""

COLUMNS = ["run", "group", "method", "x", "value"]


@dataclass(frozen=True)
class Metric:
    """A number of the log that can be drawn.

    Attributes:
        kind: the kind of line it stands in.
        field: its key there.
        label: the axis title, with the unit.
        percent: it is a fraction, shown in percent.
        log_scale: a logarithmic axis makes sense.
        smooth: it is noisy, so that smoothing applies.
    """

    kind: str
    field: str
    label: str
    percent: bool = False
    log_scale: bool = False
    smooth: bool = True


METRICS: dict[str, Metric] = {
    "loss": Metric("train", "loss", "training objective (nats)", log_scale=True),
    "cross_entropy": Metric("train", "cross_entropy", "cross-entropy (nats)", log_scale=True),
    "l2": Metric("train", "l2", "L2 term (nats)", log_scale=True),
    "accuracy": Metric("train", "accuracy", "training accuracy (%)", percent=True),
    "evaluation_accuracy": Metric(
        "evaluation", "accuracy", "evaluation accuracy (%)", percent=True, smooth=False
    ),
    "evaluation_cross_entropy": Metric(
        "evaluation", "cross_entropy", "evaluation cross-entropy (nats)",
        log_scale=True, smooth=False,
    ),
    "learning_rate": Metric("train", "learning_rate", "learning rate", smooth=False),
    "sparsity": Metric("train", "sparsity", "sparsity (%)", percent=True, smooth=False),
    "gradient_norm": Metric(
        "gradient_flow", "norm", "gradient norm", log_scale=True, smooth=False
    ),
    "images_per_second": Metric(
        "train", "images_per_second", "rate (images/s)", smooth=False
    ),
}  # fmt: skip

X_AXES = {"step": "step", "epoch": "epoch", "seconds": "training time (s)"}


@dataclass(frozen=True)
class Source:
    """One run's log with the names it is drawn under."""

    run: str
    group: str
    method: str
    log: Log


def available(sources: Iterable[Source]) -> list[str]:
    """The metrics for which at least one log has a number."""
    sources = list(sources)
    return [
        name
        for name, metric in METRICS.items()
        if any(
            metric.field in (table := source.log.table(metric.kind)).columns
            and table[metric.field].notna().any()
            for source in sources
        )
    ]


def curve_table(
    sources: Iterable[Source], metric: str, *, x: str = "step", smoothing: float = 0.0
) -> pd.DataFrame:
    """One row per run and point: the columns of `COLUMNS`.

    Args:
        sources: the runs.
        metric: a key of `METRICS`.
        x: step, epoch or seconds; lines without their own are placed by the train lines' clock.
        smoothing: weight of the past in [0, 1); see `smooth`. Metrics without noise ignore it.
    """
    parts = []
    chosen = METRICS[metric]
    for source in sources:
        table = source.log.table(chosen.kind)
        if chosen.field not in table.columns:
            continue
        values = table[["step", chosen.field]].dropna()
        place = _place(values["step"].to_numpy(float), source.log, x)
        number = values[chosen.field].to_numpy(float)
        if chosen.smooth and smoothing > 0:
            number = smooth(number, smoothing)
        part = pd.DataFrame({"x": place, "value": number}).dropna()
        part.insert(0, "method", source.method)
        part.insert(0, "group", source.group)
        part.insert(0, "run", source.run)
        parts.append(part)
    if not parts:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    return pd.concat(parts, ignore_index=True)


def _place(steps: np.ndarray, log: Log, x: str) -> np.ndarray:
    """`steps` on the axis `x`, read off the train lines that carry both."""
    if x == "step":
        return steps
    train = log.table("train")
    if x not in train.columns:
        return np.full(len(steps), np.nan)
    clock = train[["step", x]].dropna().drop_duplicates("step").sort_values("step")
    if clock.empty:
        return np.full(len(steps), np.nan)
    known = np.concatenate([[0.0], clock["step"].to_numpy(float)])
    return np.interp(steps, known, np.concatenate([[0.0], clock[x].to_numpy(float)]))


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average without the start's bias.

    y_t = sum_{i<=t} weight^(t-i) x_i / sum_{i<=t} weight^(t-i); a constant stays what it is.
    Smoothing [0, 1] with weight 0.5 gives [0, 2/3].

    Raises:
        ValueError: weight outside [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"expected a smoothing weight in [0, 1), received {weight}")
    series = pd.Series(np.asarray(values, float))
    return series.ewm(alpha=1 - weight, adjust=True).mean().to_numpy()


def thin(x: np.ndarray, y: np.ndarray, points: int = POINTS_PER_CURVE) -> np.ndarray:
    """Indices of at most about `points` points that keep every spike.

    The points are cut into equal stretches; each keeps its lowest and highest value, and the first
    and the last point stay.
    """
    count = len(x)
    if count <= points:
        return np.arange(count)
    edges = np.linspace(0, count, max(2, points // 2), dtype=int)
    kept = {0, count - 1}
    for start, end in itertools.pairwise(edges):
        piece = y[start:end]
        kept |= {start + int(np.argmin(piece)), start + int(np.argmax(piece))}
    return np.array(sorted(kept))


def thin_table(table: pd.DataFrame, points: int = POINTS_PER_CURVE) -> pd.DataFrame:
    """`curve_table`'s result with every run's curve thinned."""
    parts = [
        part.iloc[thin(part["x"].to_numpy(float), part["value"].to_numpy(float), points)]
        for _, part in table.groupby("run", sort=False)
    ]
    return pd.concat(parts, ignore_index=True) if parts else table


def fold(table: pd.DataFrame, points: int = POINTS_PER_CURVE) -> pd.DataFrame:
    """Replicates folded: one row per group and place.

    Returns:
        group, method, x, mean, std (n - 1 below the line; 0 for one run), low, high, n.
        Runs of one group that were logged at other places are read off by linear interpolation,
        never beyond their own last point.
    """
    columns = ["group", "method", "x", "mean", "std", "low", "high", "n"]
    parts = []
    for (group, method), runs in table.groupby(["group", "method"], sort=False):
        curves = [run.sort_values("x") for _, run in runs.groupby("run", sort=False)]
        longest = max(curves, key=len)
        grid = longest["x"].to_numpy(float)
        values = np.stack([_read_off(curve, grid) for curve in curves])
        n = np.sum(~np.isnan(values), axis=0)
        mean = np.nansum(values, axis=0) / np.maximum(n, 1)
        squares = np.nansum((values - mean) ** 2, axis=0)
        std = np.sqrt(squares / np.maximum(n - 1, 1)) * (n > 1)
        part = pd.DataFrame({"x": grid, "mean": mean, "std": std, "n": n})
        part["low"], part["high"] = mean - std, mean + std
        part = part[part["n"] > 0].iloc[lambda p: thin(p["x"].values, p["mean"].values, points)]
        part.insert(0, "method", method)
        part.insert(0, "group", group)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _read_off(curve: pd.DataFrame, grid: np.ndarray) -> np.ndarray:
    x, y = curve["x"].to_numpy(float), curve["value"].to_numpy(float)
    return np.interp(grid, x, y, left=np.nan, right=np.nan)
