"""Walking the plane through three solutions."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse.config.landscape import GridConfig, PlaneConfig
from tfsparse.errors import UserError
from tfsparse.landscape.curves import coefficients, gram, squared_norms
from tfsparse.landscape.folder import Note, result
from tfsparse.landscape.plane import grid, plane_through, project
from tfsparse.landscape.results import write_table
from tfsparse.landscape.setting import Setting, make_setting, ticking
from tfsparse.landscape.solutions import CONTROL_POINTS, open_solution, read_control_points
from tfsparse.landscape.walk import Walk
from tfsparse.runs import Run
from tfsparse.training.progress import Display

DRAWN = 101  # points of a curve's projection


def walk_plane(
    config: PlaneConfig,
    *,
    command: Sequence[str],
    note: Note,
    run: Run | None = None,
    quiet: bool = False,
) -> tuple[Run, dict[str, Any]]:
    """Loss and accuracy on a grid of the plane through three solutions.

    Args, Returns, Raises: as for `tfsparse.landscape.lines.interpolate`.
    """

    def prepare() -> Callable[[Run], dict[str, Any]]:
        corners = [open_solution(corner, config.seed) for corner in config.corners]
        setting = make_setting(config, corners)
        paths = [path.replace("{seed}", str(config.seed)) for path in config.curves]
        curves = {_name(path): _curve(path) for path in paths}
        weights, labels = [c.weights for c in corners], [c.label for c in corners]
        plane_through(weights, _trained(weights[0]), labels)

        def compute(folder: Run) -> dict[str, Any]:
            found = plane_files(folder, setting, weights, labels, config.grid, curves, quiet=quiet)
            return {"corners": [c.summary for c in corners], **found, **setting.summary()}

        return compute

    return result(config, "plane", prepare, command=command, note=note, run=run)


def _name(path: str) -> str:
    """What a curve's folder is called: without the seed, where the name says more."""
    folder = Path(path)
    return folder.parent.name if folder.name.startswith("seed_") else folder.name


def _trained(weights: Mapping[str, np.ndarray]) -> list[str]:
    """The weights in which distances are measured: all but running averages."""
    return [name for name in weights if not name.endswith(("/moving_mean", "/moving_variance"))]


def plane_files(
    folder: Run,
    setting: Setting,
    corners: Sequence[Mapping[str, np.ndarray]],
    labels: Sequence[str],
    grid_config: GridConfig,
    curves: Mapping[str, tuple[str, Sequence[Mapping[str, np.ndarray]]]],
    *,
    quiet: bool,
) -> dict[str, Any]:
    """Walk a plane; write plane.csv (the grid) and plane_paths.csv (what is drawn in).

    Args:
        folder: where.
        setting: model, images and objective.
        corners: the three weight sets.
        labels: what they are called.
        grid_config: the grid.
        curves: name -> (shape, control points), projected onto the plane.
        quiet: show no progress.

    Returns:
        What a summary says of the plane.
    """
    trained = _trained(corners[0])
    plane = plane_through(corners, trained, labels)
    places = grid(plane, grid_config.points, grid_config.margin)
    rows = plane.coefficients(places)
    walk = Walk(
        setting.model, corners, setting.images, batch_norm=setting.config.batch_norm,
        label_smoothing=setting.label_smoothing, compiled=setting.config.xla, keep_losses=False,
    )  # fmt: skip
    size = setting.images.batch_size
    with Display("plane", walk.passes(len(rows)), batch_size=size, quiet=quiet) as display:
        walked = walk.run(rows, tick=ticking(display), keep=folder.checkpoints / "plane")
    norms = squared_norms(rows, gram(corners, setting.kernels))
    l2 = 0.5 * setting.weight_decay * norms
    entropy = walked.cross_entropy
    columns = [places[:, 0], places[:, 1], entropy + l2, entropy, l2, walked.accuracy]
    names = ["x", "y", "objective", "cross_entropy", "l2", "accuracy"]
    write_table(folder, "plane.csv", names, list(zip(*columns, strict=True)))
    drawn = [
        *_corner_rows(plane.places, labels),
        *itertools.chain.from_iterable(
            _projected(name, curve, corners, trained) for name, curve in curves.items()
        ),
    ]
    write_table(folder, "plane_paths.csv", ["path", "t", "x", "y"], drawn)
    lowest = int(np.nanargmin(entropy + l2)) if np.isfinite(entropy).any() else 0
    return {
        "grid": [grid_config.points, grid_config.points],
        "places": plane.places,
        "lowest": {"x": places[lowest, 0], "y": places[lowest, 1],
                   "objective": float((entropy + l2)[lowest])},
    }  # fmt: skip


def _curve(path: str) -> tuple[str, list[dict[str, np.ndarray]]]:
    run = Run(Path(path))
    if run.summary().get("kind") != "curve":
        raise UserError(f"{path}: curves: expected the folder of a curve")
    return str(run.config_json().get("shape")), read_control_points(run.path / CONTROL_POINTS)


def _corner_rows(places: np.ndarray, labels: Sequence[str]) -> list[list[Any]]:
    return [[f"corner: {label}", "", x, y] for label, (x, y) in zip(labels, places, strict=True)]


def _projected(
    name: str,
    curve: tuple[str, Sequence[Mapping[str, np.ndarray]]],
    corners: Sequence[Mapping[str, np.ndarray]],
    trained: Sequence[str],
) -> list[list[Any]]:
    """A curve, and the line between its ends, dropped onto the plane."""
    shape, points = curve
    every = [*corners, *points]
    try:
        products = gram(every, trained)
        plane = plane_through(corners, trained, ["a", "b", "c"])
    except (KeyError, ValueError):
        raise UserError(f"{name}: curves: expected the architecture of the corners") from None
    t = np.linspace(0.0, 1.0, DRAWN)
    result = []
    for path, rows in (
        ("curve", coefficients(shape, len(points) - 1, t)),
        ("line", np.column_stack([1 - t, *[0 * t] * (len(points) - 2), t])),
    ):
        wide = np.hstack([np.zeros((len(t), 3)), rows])
        places = project(products, wide, plane, np.eye(3, len(every)))
        result += [
            [f"{path}: {name}", value, x, y] for value, (x, y) in zip(t, places, strict=True)
        ]
    return result
