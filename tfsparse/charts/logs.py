"""`metrics.jsonl` as tables, whatever state the file is in.

A log may still be growing, end in half a line, hold a line that is no JSON or be missing: all that
can be read is returned, and what could not be is said in words.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tfsparse.charts.inside import own_file
from tfsparse.errors import UserError, one_line

KINDS = ("train", "evaluation", "mask_update", "gradient_flow")

_DECODER = json.JSONDecoder()
"""`json.loads` looks anew at every line for its encoding; a log has ten thousand of them."""

HEAD_BYTES = 4096
TAIL_BYTES = 16384


@dataclass(frozen=True)
class Log:
    """A log's lines by kind, one table each, and what was wrong with the file.

    Attributes:
        tables: kind -> table with one row per line; nested `layers` are left out.
        layers: kind -> table with columns step, layer, value (one row per line and layer).
        problem: one line of words, or None.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    layers: dict[str, pd.DataFrame] = field(default_factory=dict)
    problem: str | None = None

    def table(self, kind: str) -> pd.DataFrame:
        """The lines of one kind; an empty table when there are none."""
        return self.tables.get(kind, pd.DataFrame({"step": pd.Series(dtype="int64")}))

    def layer_table(self, kind: str) -> pd.DataFrame:
        """step, layer, value of one kind; an empty table when there are none."""
        empty = pd.DataFrame({"step": [], "layer": [], "value": []})
        return self.layers.get(kind, empty)


def read_log(path: str | os.PathLike[str]) -> Log:
    """All lines of a log; never raises for what is in the file or for its absence."""
    try:
        data = own_file(Path(path).parent, Path(path).name).read_bytes()
    except FileNotFoundError:
        return Log(problem=f"{Path(path).name} is missing: nothing has been logged yet")
    except UserError as error:
        return Log(problem=one_line(error))
    except OSError as error:
        return Log(problem=f"{Path(path).name} cannot be read ({error.strerror})")
    lines, bad, half = _parse(data)
    return Log(*_tables(lines), problem=_problem(Path(path).name, bad, half))


def read_ends(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The first and the last lines of a log, read without touching the middle.

    Enough for a run's newest step, rate and accuracy in a table of hundreds of runs.
    """
    try:
        with open(own_file(Path(path).parent, Path(path).name), "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size <= HEAD_BYTES + TAIL_BYTES:
                return _parse(stream.read())[0]
            head = stream.read(HEAD_BYTES)
            stream.seek(size - TAIL_BYTES)
            tail = stream.read()
    except (OSError, UserError):
        return []
    # The cut goes through a line on either side: both torn lines are dropped.
    return _parse(head[: head.rfind(b"\n") + 1])[0] + _parse(tail[tail.find(b"\n") + 1 :])[0]


def _parse(data: bytes) -> tuple[list[dict[str, Any]], list[int], bool]:
    """Good lines, numbers (from 1) of bad ones, and whether the last line is cut off."""
    lines, bad = [], []
    raw = data.split(b"\n")
    unended = raw.pop()  # empty when the file ends with a line break
    for number, line in enumerate(raw, start=1):
        value = _line(line)
        if value is not None:
            lines.append(value)
        elif line.strip():
            bad.append(number)
    if unended.strip():
        value = _line(unended)
        if value is not None:
            lines.append(value)
            return lines, bad, False
    return lines, bad, bool(unended.strip())


def _line(line: bytes) -> dict[str, Any] | None:
    try:
        value = _DECODER.decode(line.decode())
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return None
    step = value.get("step")
    return value if number(step) is not None else None


def _tables(
    lines: Iterable[dict[str, Any]],
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    layers: dict[str, list[tuple[Any, str, float]]] = {}
    for line in lines:
        kind = line["kind"]
        rows.setdefault(kind, []).append(
            {key: value for key, value in line.items() if key not in ("kind", "layers")}
        )
        inner = line.get("layers")
        if isinstance(inner, dict):
            layers.setdefault(kind, []).extend(
                (line["step"], str(name), value)
                for name, value in inner.items()
                if number(value) is not None
            )
    tables = {kind: _numeric(pd.DataFrame(items)) for kind, items in rows.items()}
    inner_tables = {
        kind: pd.DataFrame(items, columns=["step", "layer", "value"])
        for kind, items in layers.items()
    }
    return tables, inner_tables


def _numeric(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of numbers as floats; a word among numbers (a broken line) becomes NaN."""
    for name in table.columns:
        if name == "split" or pd.api.types.is_numeric_dtype(table[name]):
            continue
        table[name] = pd.to_numeric(table[name].map(number), errors="coerce")
    return table


def number(value: Any) -> float | None:
    """`value` when it is a finite number, else None (booleans are no numbers here)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def _problem(name: str, bad: list[int], half: bool) -> str | None:
    words = []
    if bad:
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        lines = "line" if len(bad) == 1 else "lines"
        words.append(f"{len(bad)} unreadable {lines} left out ({lines} {shown})")
    if half:
        words.append("the last line is half-written and left out")
    return f"{name}: {'; '.join(words)}" if words else None
