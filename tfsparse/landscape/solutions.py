"""Weight sets of finished runs, and what their runs say of model, data and objective."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfsparse import files
from tfsparse.config import RunConfig, check
from tfsparse.config.landscape import EndConfig
from tfsparse.errors import UserError
from tfsparse.runs import Run
from tfsparse.sparsity.mask_facts import mask_hash

Masks = Mapping[str, np.ndarray]

CONTROL_POINTS = "curve.npz"
END_RUN = "end_run.json"
"""In a curve's folder: its control points, and the config of the run at its end."""


@dataclass(frozen=True)
class Solution:
    """A weight set and where it comes from.

    Args:
        label: what outputs call it.
        path: the folder it was read from.
        weights: by `<layer>/<weight>`.
        config: of the run that made it (for a curve's point: of the run at the curve's end).
        summary: what a result says of it.
    """

    label: str
    path: Path
    weights: dict[str, np.ndarray]
    config: RunConfig
    summary: dict[str, object]


def open_solution(config: EndConfig, seed: int) -> Solution:
    """The weight set that a config names.

    Raises:
        UserError: no such run, an unfinished one, weights or masks that do not fit, or final
            weights that are not zero outside their own mask.
    """
    path = Path(config.run.replace("{seed}", str(seed)))
    if config.control_point is not None:
        return _control_point(config, path)
    run = Run(path)
    run.require_finished()
    made_by = check(run.config_json(), RunConfig, str(path / "config.json"))
    steps = {"start": 0, "end": None}
    step = steps[config.at] if isinstance(config.at, str) else config.at
    weights = run.final_weights() if step is None else run.weights_at(step)
    if step is None:
        require_inside(weights, run.masks(), f"{path}: final weights", "train the run again")
    label = config.label or f"{made_by.method} ({config.at})"
    summary: dict[str, object] = {"run": str(path), "at": config.at}
    if config.mask is not None:
        masks = open_masks(config.mask.replace("{seed}", str(seed)))
        weights = masked(weights, masks, str(path))
        summary.update(mask=config.mask.replace("{seed}", str(seed)), mask_hash=mask_hash(masks))
        label = config.label or f"{label} x mask"
    return Solution(label, path, weights, made_by, {"label": label, **summary})


def open_masks(path: str) -> dict[str, np.ndarray]:
    """The masks of a finished run.

    Raises:
        UserError: no such run, an unfinished or a dense one.
    """
    run = Run(Path(path))
    run.require_finished()
    masks = run.masks()
    if not masks:
        raise UserError(f"{path}: expected a run with masks, this one is dense")
    return masks


def masked(weights: Mapping[str, np.ndarray], masks: Masks, origin: str) -> dict[str, np.ndarray]:
    """`weights` with kernels times their masks.

    Raises:
        UserError: a mask without a kernel or of another shape.
    """
    result = dict(weights)
    for layer, mask in masks.items():
        kernel = result.get(f"{layer}/kernel")
        if kernel is None or kernel.shape != mask.shape:
            found = "none" if kernel is None else f"shape {kernel.shape}"
            raise UserError(
                f"{origin}: mask of layer {layer!r}: expected a kernel of shape {mask.shape}, "
                f"found {found}; take the mask of a run of the same model"
            )
        result[f"{layer}/kernel"] = np.where(mask != 0, kernel, 0).astype(kernel.dtype)
    return result


def require_inside(
    weights: Mapping[str, np.ndarray], masks: Masks, origin: str, advice: str
) -> None:
    """Raise a UserError where a kernel is not zero outside its mask."""
    for layer, mask in masks.items():
        kernel = weights.get(f"{layer}/kernel")
        if kernel is None or kernel.shape != mask.shape:
            masked(weights, {layer: mask}, origin)  # which says so
            continue
        outside = int(np.count_nonzero(np.where(mask != 0, 0, kernel)))
        if outside:
            raise UserError(
                f"{origin}: expected zeros outside the mask, layer {layer!r} has {outside} "
                f"other weights there; {advice}"
            )


def require_same_architecture(solutions: Sequence[Solution]) -> None:
    """Raise a UserError unless all weight sets have the same names and shapes."""
    first = solutions[0]
    for other in solutions[1:]:
        for name in sorted({*first.weights, *other.weights}):
            shapes = [
                None if name not in one.weights else one.weights[name].shape
                for one in (first, other)
            ]
            if shapes[0] != shapes[1]:
                words = ["no such weight" if s is None else f"shape {s}" for s in shapes]
                raise UserError(
                    f"{other.path}: expected the architecture of {first.path}: weight {name!r} "
                    f"has {words[0]} there and {words[1]} here"
                )
        if first.config.model != other.config.model:
            raise UserError(
                f"{other.path}: expected a run of model "
                f"{first.config.model.model_dump(mode='json')} like {first.path}, received "
                f"{other.config.model.model_dump(mode='json')}"
            )


def write_control_points(path: Path, points: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Store a curve's control points, first to last."""
    arrays = {
        f"{i}/{name}": value for i, point in enumerate(points) for name, value in point.items()
    }
    files.write_npz(path, arrays)


def read_control_points(path: Path) -> list[dict[str, np.ndarray]]:
    """A curve's control points, first to last."""
    points: dict[int, dict[str, np.ndarray]] = {}
    for key, value in files.read_npz(path).items():
        number, _, name = key.partition("/")
        if not number.isdecimal() or not name:
            raise UserError(f"{path}: expected a curve's control points, found {key!r}")
        points.setdefault(int(number), {})[name] = value
    if sorted(points) != list(range(len(points))) or not points:
        raise UserError(f"{path}: expected control points 0, 1, ..., found {sorted(points)}")
    return [points[i] for i in range(len(points))]


def _control_point(config: EndConfig, path: Path) -> Solution:
    run = Run(path)
    run.require_finished()
    if run.summary().get("kind") != "curve":
        raise UserError(f"{path}: control_point: expected the folder of a curve")
    points = read_control_points(path / CONTROL_POINTS)
    number = config.control_point
    assert number is not None  # why this function was called
    if number >= len(points):
        raise UserError(
            f"{path}: control_point: expected at most {len(points) - 1}, received {number}"
        )
    made_by = check(files.read_json(path / END_RUN), RunConfig, str(path / END_RUN))
    label = config.label or f"control point {number}"
    summary = {"label": label, "run": str(path), "control_point": number}
    return Solution(label, path, points[number], made_by, summary)
