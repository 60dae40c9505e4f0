"""Results about several solutions as they lie in their folders: lines, curves, planes, analyses."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tfsparse import files
from tfsparse.charts.inside import own_file
from tfsparse.charts.tables import dig
from tfsparse.errors import UserError, one_line

FILES = ("summary.json", "points.csv", "plane.csv", "plane_paths.csv")
KINDS = ("interpolation", "curve", "plane", "analysis")

VERDICT_WORDS = {
    "has_barrier": "a barrier lies between",
    "barrier": "barrier: highest loss minus the larger end",
    "barrier_t": "t of the barrier",
    "monotone": "the loss falls monotonically",
    "max_rise": "largest rise between neighbours",
    "max_rise_t": "t of that rise",
    "climb": "largest rise on the way over any distance",
    "climb_t": "t at its top",
    "integral": "integral of the loss over t",
    "plateau": "length of the plateau at the far end",
    "half_drop": "length in t until half of the drop",
}

_OPTIONAL = {"plateau", "half_drop"}


@dataclass(frozen=True)
class Result:
    """One result folder.

    Attributes:
        name: path below the root.
        kind: one of KINDS.
        start, end: what t = 0 and t = 1 are, in words.
        start_run, end_run: the folders of the two, as they were given to the command.
        points: the table of points.csv; empty when missing.
        plane, drawn: the tables of plane.csv and plane_paths.csv; empty when missing.
        verdicts: path ("line", "curve") -> its verdict.
        summary: all of summary.json.
        problems: what could not be read.
    """

    name: str
    folder: Path
    kind: str
    start: str = ""
    end: str = ""
    start_run: str = ""
    end_run: str = ""
    points: pd.DataFrame = field(default_factory=pd.DataFrame)
    plane: pd.DataFrame = field(default_factory=pd.DataFrame)
    drawn: pd.DataFrame = field(default_factory=pd.DataFrame)
    verdicts: dict[str, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """A heading in words."""
        corners = self.summary.get("corners")
        if isinstance(corners, list) and corners:
            names = ", ".join(str(dig(corner, "label")) for corner in corners)
            return f"Plane through {names}"
        if dig(self.summary, "start", "label"):
            return f"{self.kind.capitalize()}: {self.start} (t = 0) to {self.end} (t = 1)"
        return f"{self.kind.capitalize()}: {self.name}"


def read_result(folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> Result:
    """All that can be read of a result folder; never raises for what its files hold."""
    folder = Path(folder)
    problems: list[str] = []
    summary = _summary(folder, problems)
    kind = summary.get("kind")
    # t = 0 is not always the start: a Bezier curve is written from the end solution.
    ends = {side: _end(summary, side) for side in ("start", "end")}
    zero, one = str(summary.get("t0_is") or ""), str(summary.get("t1_is") or "")
    return Result(
        name=folder.relative_to(root).as_posix(),
        folder=folder,
        kind=kind if kind in KINDS else "result",
        start=ends.get(zero, (zero, ""))[0] or ends["start"][0],
        end=ends.get(one, (one, ""))[0] or ends["end"][0],
        start_run=ends["start"][1],
        end_run=ends["end"][1],
        points=_table(folder, "points.csv", problems),
        plane=_table(folder, "plane.csv", problems),
        drawn=_table(folder, "plane_paths.csv", problems),
        verdicts=_verdicts(summary),
        summary=summary,
        problems=problems,
    )


def verdict_rows(verdict: dict[str, Any], term: str = "objective") -> list[tuple[str, str]]:
    """A verdict as (words, value with its standard error).

    Args:
        verdict: on the objective, with those on its parts below their names.
        term: the part that is wanted.
    """
    inner = verdict.get(term)
    verdict = inner if isinstance(inner, dict) else verdict
    rows = []
    for key, words in VERDICT_WORDS.items():
        if key not in verdict or (key in _OPTIONAL and verdict[key] is None):
            continue
        value, error = verdict[key], verdict.get(f"{key}_se")
        if isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, int | float):
            text = f"{value:.4g}" + (f" ± {error:.2g}" if isinstance(error, int | float) else "")
        else:
            text = "not known"
        rows.append((words, text))
    return rows


def _summary(folder: Path, problems: list[str]) -> dict[str, Any]:
    try:
        value = files.read_json(own_file(folder, "summary.json"))
    except UserError as error:
        problems.append(one_line(error).replace(f"{folder}/", ""))
        return {}
    if not isinstance(value, dict):
        problems.append("summary.json: expected a JSON object")
        return {}
    return value


def _end(summary: dict[str, Any], side: str) -> tuple[str, str]:
    label, run = dig(summary, side, "label"), dig(summary, side, "run")
    return (str(label) if label else side, str(run) if run else "")


def _table(folder: Path, name: str, problems: list[str]) -> pd.DataFrame:
    if not (folder / name).exists():
        return pd.DataFrame()
    try:
        return pd.read_csv(io.StringIO(files.read_text(own_file(folder, name))))
    except (UserError, ValueError, pd.errors.ParserError) as error:
        problems.append(one_line(error).replace(f"{folder}/", ""))
        return pd.DataFrame()


def _verdicts(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Path -> verdict; a single verdict belongs to the line."""
    value = summary.get("verdict")
    if not isinstance(value, dict):
        return {}
    if set(value) & {"line", "curve"}:
        return {str(name): inner for name, inner in value.items() if isinstance(inner, dict)}
    return {"curve" if summary.get("kind") == "curve" else "line": value}
