"""Run folders as one table: what ran, how far it is, how good it got, what is broken.

Only the small JSON files and the ends of the logs of unfinished runs are read, so that hundreds of
runs with long logs are listed at once. Nothing here raises for what a folder holds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from tfsparse import files
from tfsparse.charts.inside import own_file
from tfsparse.charts.logs import number, read_ends
from tfsparse.errors import UserError, one_line
from tfsparse.runs import Run

STALE_AFTER = 600.0
"""Seconds without a log line after which a run that still holds its lock is called stale."""

COLUMNS = {
    "name": "object", "kind": "object", "method": "object", "model": "object", "data": "object",
    "seed": "Int64", "group": "object", "sparsity": "float64", "accuracy": "float64",
    "loss": "float64", "state": "object", "step": "float64", "total_steps": "float64",
    "images_per_second": "float64", "seconds_left": "float64", "age_seconds": "float64",
    "seconds": "float64", "problem": "object",
}  # fmt: skip

_NOT_RUNS = {"checkpoints", "events", "saved_model"}


def find_folders(root: str | os.PathLike[str]) -> list[Path]:
    """Folders below `root` that hold a config.json or a summary.json, sorted.

    Symbolic links are not followed: a link could lead outside the runs folder.
    """
    found = []
    for folder, inner, names in os.walk(root, followlinks=False):
        inner[:] = [name for name in inner if name not in _NOT_RUNS and not name.startswith(".")]
        if "config.json" in names or "summary.json" in names:
            found.append(Path(folder))
    return sorted(found)


def find_files(root: str | os.PathLike[str], name: str) -> list[Path]:
    """Files called `name` below `root`, sorted; no link is followed or returned."""
    found = []
    for folder, inner, names in os.walk(root, followlinks=False):
        inner[:] = [part for part in inner if part not in _NOT_RUNS and not part.startswith(".")]
        path = Path(folder) / name
        if name in names and not path.is_symlink():
            found.append(path)
    return sorted(found)


def runs_table(root: str | os.PathLike[str], *, now: float | None = None) -> pd.DataFrame:
    """One row per run folder below `root`; the columns are those of `COLUMNS`.

    `sparsity` and `accuracy` are fractions, `*seconds*` are seconds, `state` is one of finished,
    running, stale, failed, stopped, broken; `problem` says what could not be read, or is None.

    Args:
        root: the runs folder; it may be missing.
        now: the present, seconds since 1970 (default: the clock).
    """
    return table_of(root, (read_row(folder, root) for folder in find_folders(root)), now=now)


def table_of(
    root: str | os.PathLike[str], rows: Iterable[dict[str, Any]], *, now: float | None = None
) -> pd.DataFrame:
    """Rows of `read_row` as the table of `runs_table`, with ages and stale runs as of `now`."""
    present = time.time() if now is None else now
    finished = [_as_of(row, present) for row in rows]
    table = pd.DataFrame(finished, columns=list(COLUMNS)).astype(COLUMNS)
    for name, kind in COLUMNS.items():
        if kind == "object":  # pandas writes NaN where a row says None
            table[name] = table[name].astype(object).where(table[name].notna(), None)
    return table


def read_row(folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> dict[str, Any]:
    """What one folder says of itself, still with the time of its last change in `changed`."""
    run = Run(folder)
    problems: list[str] = []
    config = _object(run.path / "config.json", problems)
    summary = _object(run.path / "summary.json", problems) if run.finished() else {}
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    name = run.path.relative_to(root).as_posix()
    row |= {"name": name, "group": group_of(name), "kind": _kind(config, summary)}
    row |= _from_config(config)
    # As the papers write it: "scratch+" is scratch with the sparsity-aware initial weights.
    aware = dig(config, "init", "kind") == "per_neuron"
    row["state"] = "broken" if problems else run.state()
    row["changed"] = _changed(run.path)
    if summary:
        row |= {key: value for key, value in _from_summary(summary).items() if value is not None}
        row["changed"] = _moment(summary.get("finished_at")) or row["changed"]
    if aware and row["method"]:
        row["method"] += "+"
    if row["state"] != "finished" and row["kind"] == "training":
        row |= _from_log(read_ends(run.path / "metrics.jsonl"), config)
    if row["state"] == "failed":
        problems.append(_failure(run))
    row["problem"] = "; ".join(problems) or None
    return row


def group_of(name: str) -> str:
    """The name without its seed: replicates of one config share it."""
    head, _, last = name.rpartition("/")
    return head if head and last.startswith("seed_") else name


def _as_of(row: dict[str, Any], now: float) -> dict[str, Any]:
    row = dict(row)
    changed = row.pop("changed", None)
    row["age_seconds"] = None if changed is None else max(0.0, now - changed)
    if row["state"] == "running" and (row["age_seconds"] or 0.0) > STALE_AFTER:
        row["state"] = "stale"
    if row["state"] != "running":
        row["seconds_left"] = None
    return row


def _object(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        value = files.read_json(own_file(path.parent, path.name))
    except UserError as error:
        problems.append(one_line(error).replace(str(path), path.name))
        return {}
    if not isinstance(value, dict):
        problems.append(f"{path.name}: expected a JSON object")
        return {}
    return value


def _kind(config: dict[str, Any], summary: dict[str, Any]) -> str:
    kind = summary.get("kind")
    if isinstance(kind, str):
        return kind
    return "training" if not config or "method" in config else "other"


def _from_config(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": _text(config.get("method")),
        "model": _text(dig(config, "model", "name")),
        "data": _text(dig(config, "data", "name")),
        "seed": _whole(config.get("seed")),
        "total_steps": number(dig(config, "train", "steps")),
    }


def _from_summary(summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": _text(summary.get("method")),
        "model": _text(summary.get("model")) or _text(dig(summary, "model", "name")),
        "data": _text(summary.get("data")) or _text(dig(summary, "data", "name")),
        "seed": _whole(summary.get("seed")),
        "sparsity": number(summary.get("sparsity")),
        "accuracy": number(dig(summary, "test", "accuracy")),
        "loss": number(dig(summary, "test", "cross_entropy")),
        "step": number(summary.get("steps")),
        "total_steps": number(summary.get("steps")),
        "images_per_second": number(summary.get("images_per_second")),
        "seconds": number(summary.get("seconds")),
    }


def _from_log(lines: list[dict[str, Any]], config: dict[str, Any]) -> dict[str, Any]:
    """Newest step, rate, accuracy and the time left, from the ends of a log."""
    row: dict[str, Any] = {}
    train = [line for line in lines if line["kind"] == "train"]
    evaluations = [line for line in lines if line["kind"] == "evaluation"]
    if lines:
        row["step"] = max(float(line["step"]) for line in lines)
    if evaluations:
        row["accuracy"] = number(evaluations[-1].get("accuracy"))
        row["loss"] = number(evaluations[-1].get("cross_entropy"))
    if not train:
        return row
    last = train[-1]
    row["sparsity"] = number(last.get("sparsity"))
    row["seconds"] = number(last.get("seconds"))
    row["images_per_second"] = number(last.get("images_per_second"))
    total = number(dig(config, "train", "steps"))
    epochs, epoch = number(dig(config, "train", "epochs")), number(last.get("epoch"))
    if total is None and epochs and epoch:
        total = round(epochs * last["step"] / epoch)
    row["total_steps"] = total
    if total and last["step"] and row["seconds"] is not None:
        row["seconds_left"] = max(0.0, row["seconds"] / last["step"] * (total - last["step"]))
    return row


def _failure(run: Run) -> str:
    try:
        return run.failure() or "failed without saying why"
    except UserError as error:
        return one_line(error)


def _changed(folder: Path) -> float | None:
    """When the folder's log, or else the folder, last changed."""
    for path in (folder / "metrics.jsonl", folder):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return None


def _moment(text: Any) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return None


def dig(value: Any, *keys: str) -> Any:
    """`value[k1][k2]...`, or None where a key is missing or a level is no object."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
