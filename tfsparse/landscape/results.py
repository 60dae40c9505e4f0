"""From losses on a path to the files of a result: points.csv, covariance.npz, verdicts."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfsparse import files
from tfsparse.landscape.curves import gram, squared_norms
from tfsparse.landscape.verdicts import mean_covariance, verdict
from tfsparse.landscape.walk import Walk, Walked
from tfsparse.runs import Run

COLUMNS = (
    "t", "objective", "cross_entropy", "l2", "accuracy", "objective_se", "cross_entropy_se",
)  # fmt: skip


@dataclass(frozen=True)
class Profile:
    """The losses at the points of one path.

    Args:
        t: float64 [m], ascending.
        l2: float64 [m], the L2 term of the interpolated kernels.
        walked: the losses.
        covariance: float64 [m, m], of the mean losses.
    """

    t: np.ndarray
    l2: np.ndarray
    walked: Walked
    covariance: np.ndarray

    @property
    def objective(self) -> np.ndarray:
        """Cross-entropy plus L2 term; the latter has no sampling error."""
        return self.walked.cross_entropy + self.l2

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of points.csv."""
        error = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        values = (
            self.t, self.objective, self.walked.cross_entropy, self.l2, self.walked.accuracy,
            error, error,
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))

    def verdicts(self, towards: float) -> dict[str, Any]:
        """The verdict on the objective, below `cross_entropy` and `l2` those on its parts, and
        the L2 term's part of the objective's integral as `l2_share`."""
        nothing = np.zeros_like(self.covariance)
        whole = verdict(self.t, self.objective, self.covariance, towards=towards)
        l2 = verdict(self.t, self.l2, nothing, towards=towards)
        known = whole["integral"] and l2["integral"] is not None
        return {
            **whole,
            "l2_share": l2["integral"] / whole["integral"] if known else None,
            "cross_entropy": verdict(
                self.t, self.walked.cross_entropy, self.covariance, towards=towards
            ),
            "l2": l2,
        }


def walk_path(
    walk: Walk,
    t: Sequence[float],
    rows: np.ndarray,
    points: Sequence[Mapping[str, np.ndarray]],
    kernels: Sequence[str],
    weight_decay: float,
    **more: Any,
) -> Profile:
    """The losses on a path.

    Args:
        walk: over the same control points.
        t: [m], ascending.
        rows: coefficients [m, k].
        points: the control points.
        kernels: names of the weights that enter the L2 term.
        weight_decay: wd.
        more: further arguments of `Walk.run`.
    """
    norms = squared_norms(np.asarray(rows, np.float64), gram(points, kernels))
    walked = walk.run(rows, **more)
    return Profile(
        np.asarray(t, np.float64),
        0.5 * weight_decay * norms,
        walked,
        mean_covariance(walked.losses),
    )


def write_points(run: Run, paths: Mapping[str, Profile]) -> None:
    """Write points.csv (with a column `path` unless there is only a line) and covariance.npz."""
    named = list(paths) != ["line"]
    rows = []
    for name, path in paths.items():
        for row in zip(*path.columns().values(), strict=True):
            rows.append([*([name] if named else []), *row])
    write_table(run, "points.csv", [*(["path"] if named else []), *COLUMNS], rows)
    arrays = {name: path.covariance for name, path in paths.items()}
    files.write_npz(run.path / "covariance.npz", arrays)


def write_table(run: Run, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a CSV file of texts and numbers, the latter with all their digits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([repr(float(x)) if isinstance(x, np.floating) else x for x in row])
    files.write_text(run.path / name, buffer.getvalue())


def perfect_loss(label_smoothing: float, classes: int) -> float:
    """The cross-entropy of a perfect predictor, the floor of every path, in nats.

    >>> perfect_loss(0.0, 10), round(perfect_loss(0.1, 1000), 3)
    (0.0, 1.015)
    """
    if not label_smoothing:
        return 0.0
    other = label_smoothing / classes
    true = 1.0 - label_smoothing + other
    return float(-true * np.log(true) - (classes - 1) * other * np.log(other))
