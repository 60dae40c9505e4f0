"""The figures of paths between solutions over many runs: one panel per kind of path."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import altair as alt
import pandas as pd

from tfsparse import files
from tfsparse.charts.paths import LABELS
from tfsparse.charts.study_data import StudyData
from tfsparse.charts.style import FAINT, LINE_SYMBOL, finish, message_chart, series_color
from tfsparse.charts.words import place_words
from tfsparse.errors import UserError

PATHS = ("interpolation", "curve")


def paths(
    data: StudyData,
    *,
    panels: Sequence[Mapping[str, str]] = (),
    terms: Sequence[str] = ("objective",),
    colour: str = "sparsity",
    log_scale: bool = False,
    low: float | None = None,
    high: float | None = None,
    panel_width: int = 250,
) -> Any:
    """Losses along paths: every replicate, and means with a band of one standard deviation.

    Args:
        data: the study.
        panels: one panel each, left to right: `series`; for curves also `path`, "curve" or the
            "line" between the same ends; `title`. Default: one per series.
        terms: one row of panels each: objective, cross_entropy, l2 or accuracy.
        colour: the key of `at` told apart by colour.
        log_scale: of the vertical axes of losses.
        low: lower end of the vertical axis of losses; what lies beyond is cut.
        high: upper end.
        panel_width: pixels.
    """
    pieces = [piece for piece in data.pieces if piece["kind"] in PATHS]
    chosen = panels or [{"series": s} for s in dict.fromkeys(p["series"] for p in pieces)]
    tables = [_panel_tables(data, pieces, panel) for panel in chosen]
    groups = list(dict.fromkeys(name for table in tables for name in table))
    if not groups:
        return message_chart("No finished paths yet.")
    rows = []
    for term in terms:
        logarithmic = log_scale and term != "accuracy"
        bands = [_bands(table, term, logarithmic) for table in tables]
        ticks = log_ticks([row["mean"] for band in bands for row in band]) if logarithmic else None
        charts = [
            _panel(
                data, pieces, panel, band, _each(table, term, logarithmic), term, groups, colour,
                ticks, None if term in ("accuracy", "l2") else (low, high), panel_width,
                first=not place,
            )
            for place, (panel, table, band) in enumerate(zip(chosen, tables, bands, strict=True))
        ]  # fmt: skip
        rows.append(alt.hconcat(*charts, spacing=16).resolve_scale(y="shared"))
    words = "mean over replicates, band: one standard deviation, thin: each; dashed: the two ends"
    return finish(
        alt.vconcat(*rows, spacing=24) if len(rows) > 1 else rows[0],
        title=data.title,
        subtitle=[data.subtitle, words],
        description=f"{data.title}: {', '.join(LABELS[term] for term in terms)} along paths",
    )


def _panel_tables(
    data: StudyData, pieces: Sequence[Mapping[str, Any]], panel: Mapping[str, str]
) -> dict[str, list[pd.DataFrame]]:
    """The tables of a panel's finished pieces by group; `at` of one piece is one group."""
    unknown = set(panel) - {"series", "path", "title"}
    if unknown or "series" not in panel:
        raise UserError(f"figure.args.panels: expected series, path and title, received {panel}")
    found: dict[str, list[pd.DataFrame]] = {}
    for piece in pieces:
        file = data.folder(piece) / "points.csv"
        if piece["series"] != panel["series"] or not file.is_file():
            continue
        table = pd.read_csv(io.StringIO(files.read_text(file)))
        if "path" in table.columns:
            table = table[table["path"] == panel.get("path", "curve")]
        name = ", ".join(place_words(*item) for item in piece["at"].items()) or piece["series"]
        found.setdefault(name, []).append(table)
    return found


def _panel(
    data: StudyData,
    pieces: Sequence[Mapping[str, Any]],
    panel: Mapping[str, str],
    rows: list[dict[str, Any]],
    each: list[dict[str, Any]],
    term: str,
    groups: Sequence[str],
    colour: str,
    ticks: list[float] | None,
    extent: tuple[float | None, float | None] | None,
    width: int,
    *,
    first: bool,
) -> Any:
    percent, logarithmic = term == "accuracy", ticks is not None
    limits: dict[str, Any] = {"zero": not (percent or logarithmic), "nice": False}
    if logarithmic:
        limits["padding"] = 3  # half a stroke's room: no 0 closes such an axis
    if extent and any(end is not None for end in extent):
        means = [row["mean"] for row in rows] or [0.0, 1.0]
        low, high = extent
        limits["domain"] = [
            (min(means) if logarithmic else min(0.0, *means)) if low is None else low,
            max(means) if high is None else high,
        ]
    scale = alt.Scale(type="log" if logarithmic else "linear", **limits)
    marks: dict[str, Any] = {"values": ticks, "labelOverlap": False} if ticks else {}
    axis = alt.Axis(
        format=".3~%" if percent else ".3~g", title=LABELS[term] if first else None, **marks
    )

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", scale=scale, axis=axis)

    zero, one = _ends(data, pieces, panel["series"])
    words = [f"0: {zero}", f"1: {one}"] if zero and one else "t"
    x = alt.X(field="t", type="quantitative", title=words, axis=alt.Axis(grid=False, format="~g"),
              scale=alt.Scale(nice=False))  # fmt: skip
    told_apart = any(piece["at"] for piece in pieces)  # else the panels' titles say it all
    legend = alt.Legend(title=colour, **LINE_SYMBOL) if told_apart else None
    paint = series_color(groups, "group", legend=legend)
    base = alt.Chart(alt.Data(values=rows))
    tips = [
        alt.Tooltip(field="group", type="nominal", title=colour),
        alt.Tooltip(field="t", type="quantitative", format=".4~g"),
        alt.Tooltip(field="mean", type="quantitative", title=LABELS[term],
                    format=".3%" if percent else ".4~g"),
        alt.Tooltip(field="n", type="quantitative", title="replicates"),
    ]  # fmt: skip
    ends = alt.Chart(alt.Data(values=[{"t": 0.0}, {"t": 1.0}]))
    layers = [
        ends.mark_rule(strokeDash=[3, 3], color=FAINT).encode(x=x),
        base.mark_area(opacity=0.15, clip=True).encode(x=x, y=y("low"), y2="high:Q", color=paint),
        alt.Chart(alt.Data(values=each)).mark_line(strokeWidth=0.7, opacity=0.5, clip=True).encode(
            x=x, y=y("value"), color=paint, detail="replicate:N"),
        base.mark_line(strokeWidth=1.8, clip=True).encode(x=x, y=y("mean"), color=paint,
                                                          tooltip=tips),
    ]  # fmt: skip
    title = panel.get("title", panel["series"].replace("_", " "))
    heading = alt.TitleParams(title, frame="group")  # above the plot, whatever its axis shows
    return alt.layer(*layers).properties(width=width, height=200, title=heading)


def _bands(
    table: Mapping[str, list[pd.DataFrame]], term: str, logarithmic: bool
) -> list[dict[str, Any]]:
    """The rows of a panel; on a logarithmic axis only what is above 0."""
    rows = [row for name, tables in table.items() for row in _band(name, tables, term)]
    if not logarithmic:
        return rows
    return [{**row, "low": max(row["low"], row["mean"] / 10)} for row in rows if row["mean"] > 0]


def _each(
    table: Mapping[str, list[pd.DataFrame]], term: str, logarithmic: bool
) -> list[dict[str, Any]]:
    """The replicates of a panel, for groups of more than one."""
    return [
        {"group": name, "replicate": number, "t": float(t), "value": float(value)}
        for name, tables in table.items()
        if len(tables) > 1
        for number, one in enumerate(tables)
        for t, value in zip(one["t"], pd.to_numeric(one[term], errors="coerce"), strict=True)
        if math.isfinite(value) and (value > 0 or not logarithmic)
    ]


def log_ticks(values: Sequence[float], most: int = 7) -> list[float]:
    """Round numbers within `values`, for a logarithmic axis; none where Vega's own serve.

    Vega labels whole multiples of a power of ten, of which an axis from 0.1 to 0.19 has one.

    >>> log_ticks([0.045, 0.17]), log_ticks([0.045, 2.2])
    ([0.05, 0.07, 0.1, 0.15], [0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
    """
    if not values:
        return []
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for round_ones in ((10,), (10, 30), (10, 20, 50), (10, 15, 20, 30, 50, 70), range(10, 100, 2)):
        ticks = [float(f"{one}e{power - 1}") for power in powers for one in round_ones]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) > most:
            break
        found = inside
    return found


def _band(group: str, tables: Sequence[pd.DataFrame], term: str) -> list[dict[str, Any]]:
    """Mean, and one standard deviation to both sides, at every t of one group.

    No loss lies below 0 and no accuracy outside [0, 1], whatever the deviation says.
    """
    most = 1.0 if term == "accuracy" else math.inf
    found: dict[float, list[float]] = {}
    for table in tables:
        for t, value in zip(table["t"], pd.to_numeric(table[term], errors="coerce"), strict=True):
            if math.isfinite(value):
                found.setdefault(float(t), []).append(float(value))
    rows = []
    for t in sorted(found):
        values = found[t]
        mean, spread = fmean(values), stdev(values) if len(values) > 1 else 0.0
        rows.append({"group": group, "t": t, "mean": mean, "low": max(mean - spread, 0.0),
                     "high": min(mean + spread, most), "n": len(values)})  # fmt: skip
    return rows


def _ends(data: StudyData, pieces: Sequence[Mapping[str, Any]], series: str) -> tuple[str, str]:
    """What t = 0 and t = 1 are in a series, from the summary of one of its pieces."""
    for piece in pieces:
        path: Path = data.folder(piece) / "summary.json"
        if piece["series"] == series and path.is_file():
            summary = files.read_json(path)
            return tuple(  # type: ignore[return-value]
                str(summary[summary[key]]["label"]) for key in ("t0_is", "t1_is")
            )
    return "", ""
