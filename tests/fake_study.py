"""A study without TensorFlow: pieces that write a summary, fail, or kill their process."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfsparse.errors import RunFailed
from tfsparse.studies.plan import Piece, Plan, make_plan
from tfsparse.studies.read import read_study


def study(**changes: Any) -> dict[str, Any]:
    """A study file: dense and pruned per seed, lottery and scratch of pruned."""
    value: dict[str, Any] = {
        "study": "fake",
        "about": "made up",
        "title": "A made-up figure",
        "paper": "Figure 0 of no paper",
        "axes": {"sparsity": [0.8, 0.9], "seed": [0, 1]},
        "values": {"level": 0.9},
        "presets": {"smoke": {"about": "at once"}, "one": {"about": "x", "axes": {"seed": [0]}}},
        "measures": {
            "accuracy": {"path": "test.accuracy", "label": "test accuracy", "percent": True,
                         "better": "higher", "dead_below": 0.2},
        },
        "pieces": [
            piece("scratch_{sparsity}", {"source": {"run": {"piece": "pruned_{sparsity}"}}}),
            piece("pruned_{sparsity}", {"goal": "{sparsity}"}),
        ],
        "reference": [
            {"measure": "accuracy", "series": "pruned", "source": "made up",
             "along": "sparsity", "points": [[0.8, 0.95]]},
        ],
        "claims": [
            {"name": "gap", "sentence": "Pruning is better.", "check": "greater",
             "measure": "accuracy", "of": {"series": "pruned"}, "than": {"series": "scratch"},
             "at": {"sparsity": [0.8, 0.9]}},
        ],
        "figure": {"chart": "against"},
    }  # fmt: skip
    return {**value, **changes}


def piece(name: str, config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A piece template over sparsity and seed; its series is the name's first word."""
    value = {
        "name": name,
        "kind": "train",
        "over": ["sparsity", "seed"],
        "series": name.split("_")[0],
        "at": {"sparsity": "{sparsity}"},
        "measures": ["accuracy"],
        "seconds": 10.0,
        "config": config,
    }
    return {**value, **changes}


def plan_of(folder: Path, value: Mapping[str, Any] | None = None, preset: str = "smoke") -> Plan:
    """The plan of a study, its file and results below `folder`."""
    path = folder / "study.json"
    path.write_text(json.dumps(study() if value is None else value))
    return make_plan(read_study(path, preset), folder / "out")


def finish(
    piece: Piece, accuracy: float | None = None, seconds: float = 2.0, commit: str = "a1b2c3"
) -> None:
    """Leave what a finished piece leaves; pruned is at 0.95 and scratch at 0.9, by seed."""
    if accuracy is None:
        accuracy = {"pruned": 0.95, "scratch": 0.9}.get(piece.series, 0.5)
        accuracy += 0.001 * (piece.seed or 0)
    piece.folder.mkdir(parents=True, exist_ok=True)
    summary = {"kind": "training", "test": {"accuracy": accuracy}, "seconds": seconds}
    (piece.folder / "environment.json").write_text(json.dumps({"commit": commit}))
    (piece.folder / "summary.json").write_text(json.dumps(summary))


def log(piece: Piece, word: str) -> None:
    """One line for all processes: `<word> <piece> <pid>`."""
    path = piece.folder
    while path.name != "pieces":
        path = path.parent
    with open(path.parent / "log.txt", "a", encoding="utf-8") as stream:
        stream.write(f"{word} {piece.name} {os.getpid()}\n")


def read_log(plan: Plan) -> list[list[str]]:
    """The lines of `log`, split."""
    path = plan.out / "log.txt"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def run_fake(piece: Piece) -> None:
    """What the config's `do` says: sleep, fail, crash or be killed once; else finish at once."""
    log(piece, "start")
    do = piece.config.get("do", {})
    time.sleep(do.get("sleep", 0))
    if do.get("fail") == piece.seed:
        raise RunFailed("the loss is not finite")
    if do.get("crash") == piece.seed:
        raise ZeroDivisionError("a defect")
    if do.get("threads"):
        piece.folder.mkdir(parents=True, exist_ok=True)
        (piece.folder / "threads").write_text(os.environ.get("TF_NUM_INTRAOP_THREADS", "none"))
    marker = piece.folder / "begun"
    if do.get("die") == piece.seed and not marker.exists():
        piece.folder.mkdir(parents=True, exist_ok=True)
        marker.write_text("half the work")
        os.kill(os.getpid(), signal.SIGKILL)
    if do.get("always_die") == piece.seed:
        os.kill(os.getpid(), signal.SIGKILL)
    if marker.exists():
        log(piece, "resume")
    finish(piece)
    log(piece, "end")


def make_fakes() -> dict[str, Callable[[Piece], None]]:
    """Stands at top level, so that another process can import it."""
    return {"train": run_fake}
