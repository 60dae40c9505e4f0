"""What each kind of piece does: the same functions the commands call, without their doors.

Checking is free of TensorFlow, so plans and states appear at once; running imports it on first
use. All pieces of one process share its loaded data.
"""

import gc
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfsparse.config import RunConfig
from tfsparse.config.analysis import AnalysisConfig
from tfsparse.config.landscape import CurveConfig, InterpolationConfig, PlaneConfig, WalkConfig
from tfsparse.config.load import check
from tfsparse.errors import UserError
from tfsparse.studies.plan import Piece


@dataclass(frozen=True)
class Kind:
    """One kind of piece: is its config good, and how to run it."""

    check: Callable[[Piece], None]
    run: Callable[[Piece], None]


def _open_config(piece: Piece) -> dict[str, Any]:
    """The piece's config, without what the study decides."""
    data = dict(piece.config)
    for key in ("name", "run_dir", "seed"):
        if key in data:
            raise UserError(f"config.{key}: the study decides it; remove the key")
    return data


def run_config(piece: Piece) -> RunConfig:
    """The training run that a piece of kind `train` is.

    Raises:
        UserError: a bad config, or one that sets what the study decides.
    """
    data = _open_config(piece)
    if piece.seed is None:
        raise UserError("expected axis `seed` in `over` of a training")
    root = piece.folder.parent.parent
    data.update(name=piece.group, run_dir=str(root), seed=piece.seed)
    return check(data, RunConfig, "config")


def _train(piece: Piece) -> None:
    from tfsparse.training.run import train

    config = run_config(piece)
    command = ["python", "-m", "tfsparse.train", "--config", str(piece.folder / "config.json")]
    try:
        train(config, command=command, note=_note, quiet=not sys.stderr.isatty())
    finally:
        _forget_graphs()


def _forget_graphs() -> None:
    """Free the finished piece's graphs: dozens of pieces run in one process."""
    import tf_keras as keras

    keras.backend.clear_session()
    gc.collect()


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _check_train(piece: Piece) -> None:
    run_config(piece)


def analysis_config(piece: Piece) -> AnalysisConfig:
    """The analysis that a piece of kind `analysis` is; without axis `seed` its seed is 0.

    Raises:
        UserError: a bad config, or one that sets what the study decides.
    """
    data = _open_config(piece)
    data.update(name=piece.group, run_dir=str(piece.folder.parent), seed=piece.seed or 0)
    return check(data, AnalysisConfig, "config")


def _analyze(piece: Piece) -> None:
    from tfsparse.analysis.run import analyze
    from tfsparse.runs import Run

    command = ["python", "-m", "tfsparse.analyze", "--config", str(piece.folder / "config.json")]
    try:
        analyze(analysis_config(piece), command=command, note=_note, run=Run(piece.folder))
    finally:
        _forget_graphs()


def _check_analysis(piece: Piece) -> None:
    analysis_config(piece)


def path_config(piece: Piece) -> WalkConfig:
    """The line, curve or plane that a piece is; without axis `seed` its seed is 0.

    Raises:
        UserError: a bad config, or one that sets what the study decides.
    """
    data = _open_config(piece)
    data.update(name=piece.group, run_dir=str(piece.folder.parent), seed=piece.seed or 0)
    config = check(data, PATHS[piece.kind], "config")
    if isinstance(config, CurveConfig) and config.sweep is not None:
        raise UserError("config.sweep: expected one setting; make it an axis of the study")
    return config


PATHS: Mapping[str, type[WalkConfig]] = {
    "interpolation": InterpolationConfig,
    "curve": CurveConfig,
    "plane": PlaneConfig,
}


def _walk(piece: Piece) -> None:
    from tfsparse.landscape.bezier import curve
    from tfsparse.landscape.lines import interpolate
    from tfsparse.landscape.planes import walk_plane
    from tfsparse.runs import Run

    door = "tfsparse.curve" if piece.kind == "curve" else "tfsparse.interpolate"
    common: dict[str, Any] = {
        "command": ["python", "-m", door, "--config", str(piece.folder / "config.json")],
        "note": _note,
        "run": Run(piece.folder),
        "quiet": not sys.stderr.isatty(),
    }
    config = path_config(piece)
    try:
        if isinstance(config, CurveConfig):
            curve(config, **common)
        elif isinstance(config, PlaneConfig):
            walk_plane(config, **common)
        elif isinstance(config, InterpolationConfig):
            interpolate(config, **common)
    finally:
        _forget_graphs()


def _check_path(piece: Piece) -> None:
    path_config(piece)


KINDS: Mapping[str, Kind] = {
    "train": Kind(_check_train, _train),
    **dict.fromkeys(PATHS, Kind(_check_path, _walk)),
    "analysis": Kind(_check_analysis, _analyze),
}


def check_piece(piece: Piece) -> None:
    """Raise a UserError where a piece's config cannot work, as far as that shows without data."""
    if piece.kind not in KINDS:
        raise UserError(f"kind: expected one of {', '.join(KINDS)}, received {piece.kind!r}")
    KINDS[piece.kind].check(piece)


def make_kinds() -> dict[str, Callable[[Piece], None]]:
    """What to run for each kind; a new process imports this function by name."""
    return {name: kind.run for name, kind in KINDS.items()}


def default_out(study: str, preset: str) -> Path:
    """Where a study's results go when nothing else is said."""
    return Path("runs") / "studies" / f"{study}_{preset}"
