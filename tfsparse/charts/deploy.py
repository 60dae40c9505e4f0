"""The deployment check for people: a table and a chart from `deploy.json`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from tfsparse import files
from tfsparse.charts.style import BAD, GOOD, UNDECIDED
from tfsparse.charts.words import MISSING, markdown_table, markdown_text, missing, percent
from tfsparse.errors import UserError

Report = Mapping[str, Any]

COLUMNS = (
    "variant", "size", "of dense", "zipped", "zipped of dense", "sparse", "LiteRT", "max abs diff",
    "accuracy", "drop", "latency", "threads", "arena", "ARM sparse", "verdict",
)  # fmt: skip
"""Of the table for people."""

_NUMBERS = (
    "bytes", "size_ratio", "zipped_bytes", "zipped_ratio", "weight_tensors", "max_difference",
    "accuracy", "accuracy_drop", "threads", "arena_bytes",
)  # fmt: skip

_STATUS = {"pass": GOOD, "fail": BAD, "unusable": UNDECIDED}


def read_deploy(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The report in a `deploy.json`.

    Raises:
        UserError: missing or malformed file, or another kind of file.
    """
    report = files.read_json(path)
    rows = report.get("variants") if isinstance(report, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path}: expected a deploy.json with a list of variants")
    return report


def deploy_table(report: Report) -> pd.DataFrame:
    """One row per variant, numbers as numbers.

    Sizes are bytes, ratios and accuracies fractions, latency milliseconds.
    """
    return pd.DataFrame([_row(row) for row in report["variants"]])


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    latency, eligible = _object(row, "latency"), _object(row, "xnnpack_sparse")
    sparse, reasons = row.get("sparse_tensors"), row.get("reasons")
    numbers = {name: _number(row.get(name)) for name in _NUMBERS}
    return {
        "variant": str(row.get("name")),
        "status": str(row.get("status")),
        **numbers,
        "median_ms": _number(latency.get("median_ms")),
        "sparse_tensors": len(sparse) if isinstance(sparse, list) else 0,
        "litert": _litert(row),
        "xnnpack_sparse": eligible.get("eligible") is True,
        "stopped_by": _stopped_by(eligible),
        "reasons": "; ".join(map(str, reasons)) if isinstance(reasons, list) else "",
    }


def _object(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = row.get(key)
    return value if isinstance(value, Mapping) else {}


def _number(value: Any) -> float | None:
    """The number in a cell, or None: the file may have been written by anyone."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300:
        return float(value)
    return None


def _litert(row: Mapping[str, Any]) -> str:
    """How the interpreter takes the file, in two words."""
    default, plain = _object(row, "default_delegate"), _object(row, "without_delegate")
    if default.get("accepted"):
        return "accepts" if plain.get("accepted") else "default only"
    if plain.get("accepted"):
        return "no delegate"
    if default.get("crashed") or plain.get("crashed"):
        return "crashes"
    return "refuses" if default else "unreadable"


def _stopped_by(eligible: Mapping[str, Any]) -> str | None:
    parts = (eligible.get("layer"), eligible.get("reason"))
    return ": ".join(str(part) for part in parts if part) or None


def deploy_rows(report: Report) -> list[tuple[str, ...]]:
    """The cells of `COLUMNS` for each variant, as text."""
    return [_cells(row) for row in _records(report)]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    stored = row["weight_tensors"]
    known = not missing(stored)
    return (
        row["variant"],
        _bytes(row["bytes"]),
        _ratio(row["size_ratio"]),
        _bytes(row["zipped_bytes"]),
        _ratio(row["zipped_ratio"]),
        f"{row['sparse_tensors']}/{int(stored)}" if known else MISSING,
        row["litert"],
        MISSING if missing(row["max_difference"]) else f"{row['max_difference']:.1e}",
        percent(row["accuracy"]),
        MISSING if missing(row["accuracy_drop"]) else f"{100 * row['accuracy_drop']:+.2f}",
        MISSING if missing(row["median_ms"]) else f"{row['median_ms']:.3g} ms",
        MISSING if missing(row["threads"]) else str(int(row["threads"])),
        _bytes(row["arena_bytes"]),
        "yes" if row["xnnpack_sparse"] else "no",
        row["status"],
    )


def deploy_text(report: Report) -> str:
    """The table, what fails and why, and what the figures say about a phone."""
    rows = [COLUMNS, *deploy_rows(report)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    against = _object(report, "against")
    lines += ["", f"against    {against.get('path')}: {against.get('inputs')}, {against.get('n')}"]
    lines[-1] += f" images, accuracy {percent(against.get('accuracy'))}"
    lines.append(f"dense is   {_object(report, 'dense').get('is')}")
    for row in _records(report):
        if row["reasons"]:
            lines.append(f"{row['status']:9}  {row['variant']}: {row['reasons']}")
    lines += [f"ARM sparse {text}" for text in _obstacles(report)]
    return "\n".join([*lines, str(report.get("statement") or "")])


def _obstacles(report: Report) -> list[str]:
    """Why XNNPACK would not run a file sparsely; files with the same reason together."""
    names: dict[str, list[str]] = {}
    for row in _records(report):
        if not missing(row["stopped_by"]):
            names.setdefault(row["stopped_by"], []).append(row["variant"])
    return [f"{', '.join(found)}: {reason}" for reason, found in names.items()]


def deploy_markdown(report: Report) -> str:
    """The table and the notes below it, as Markdown."""
    table = markdown_table(COLUMNS, deploy_rows(report))
    failing = [row for row in _records(report) if row["reasons"]]
    notes = [f"- {markdown_text(row['variant'] + ': ' + row['reasons'])}" for row in failing]
    notes += [f"- ARM sparse: {markdown_text(text)}" for text in _obstacles(report)]
    return "\n".join([table, "", *notes])


def _records(report: Report) -> list[dict[str, Any]]:
    return deploy_table(report).to_dict("records")


def deploy_chart(report: Report, *, width: int = 200) -> alt.HConcatChart:
    """Size, accuracy and latency of each variant, side by side on common rows."""
    table = deploy_table(report)
    order = list(table["variant"])
    table["kB"] = pd.to_numeric(table["bytes"], errors="coerce") / 1000
    color = alt.Color(
        field="status",
        type="nominal",
        title="verdict",
        scale=alt.Scale(domain=list(_STATUS), range=list(_STATUS.values())),
    )

    def panel(field: str, title: str, *, first: bool = False, bar: bool = False) -> alt.Chart:
        axis = alt.Axis(title=None) if first else alt.Axis(labels=False, ticks=False, title=None)
        base = alt.Chart(table[table[field].notna()], width=width, height=24 * max(1, len(order)))
        marks = base.mark_bar(height=12) if bar else base.mark_point(size=90)
        form = ".3~%" if field == "accuracy" else ",~f"
        return marks.encode(
            y=alt.Y(
                field="variant",
                type="nominal",
                sort=order,
                scale=alt.Scale(domain=order),
                axis=axis,
            ),
            x=alt.X(
                field=field,
                type="quantitative",
                title=title,
                scale=alt.Scale(zero=field != "accuracy"),
                axis=alt.Axis(format=form),
            ),
            color=color,
            tooltip=[
                alt.Tooltip(field=name)
                for name in (
                    "variant",
                    "status",
                    "bytes",
                    "size_ratio",
                    "accuracy",
                    "median_ms",
                    "litert",
                )
            ],
        )

    return alt.hconcat(
        panel("kB", "size (kB)", first=True, bar=True),
        panel("accuracy", "test accuracy (%)"),
        panel("median_ms", "median latency here (ms)"),
        spacing=16,
    )


def _bytes(value: float | None) -> str:
    if missing(value):
        return MISSING
    number = float(value)  # type: ignore[arg-type]
    return f"{number / 1e6:.2f} MB" if number >= 1e6 else f"{number / 1e3:.1f} kB"


def _ratio(value: float | None) -> str:
    return MISSING if missing(value) else f"{float(value):.3f}"  # type: ignore[arg-type]
