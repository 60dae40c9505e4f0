"""Numbers in words for people: durations, ages, percents, a Markdown table."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

MISSING = "-"

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$~:&@^=])")


def missing(value: Any) -> bool:
    """Whether a cell holds no value (None, NaN, pandas' NA)."""
    if value is None or value != value:
        return True
    try:
        return math.isnan(value)
    except TypeError:
        return str(value) == "<NA>"


def percent(value: float | None, digits: int = 2) -> str:
    """A fraction as percent: 0.9553 -> "95.53%"."""
    return MISSING if missing(value) else f"{100 * float(value):.{digits}f}%"  # type: ignore[arg-type]


def place_words(key: str, value: Any) -> str:
    """One place of a study, or several, in words; a sparsity as percent.

    >>> place_words("sparsity", 0.955), place_words("seed", 3), place_words("sparsity", [0.8, 0.9])
    ('95.5%', '3', '80% / 90%')
    """
    if isinstance(value, list):
        return " / ".join(place_words(key, item) for item in value)
    if key == "sparsity" and isinstance(value, float | int):
        return f"{100 * value:.6g}%"
    return MISSING if value is None else str(value)


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return MISSING if missing(value) else f"{int(value):,}"  # type: ignore[arg-type]


def duration(seconds: float | None) -> str:
    """Seconds in the two units that matter: 4.2 s, 3 min 5 s, 2 h 5 min, 3 d 4 h."""
    if missing(seconds):
        return MISSING
    seconds = max(0.0, float(seconds))  # type: ignore[arg-type]
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def age(seconds: float | None) -> str:
    """How long ago, in one unit: "5 min ago"."""
    if missing(seconds):
        return MISSING
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:  # type: ignore[operator]
            return f"{int(seconds // size)} {word} ago"  # type: ignore[operator]
    return "just now"


def markdown_text(text: Any) -> str:
    """`text` so that Markdown shows exactly its characters, on one line.

    Text from a log goes through here before it stands in a sentence: no link, image, heading or
    HTML can be made of it.
    """
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table whose cells hold nothing but text."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if missing(value):
        return MISSING
    # Less is escaped than in markdown_text: a table is also read as plain text.
    text = " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("<", "&lt;").replace("![", "!\\[").replace("](", "]\\(")
