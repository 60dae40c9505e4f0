"""A study's measures side by side: one panel per measure, one line per series."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from tfsparse.charts.study_data import StudyData
from tfsparse.charts.style import finish, message_chart, method_color, method_label


def by_series(data: StudyData, *, measures: Sequence[str] | None = None, columns: int = 3) -> Any:
    """One panel per measure, one line per series: mean, one standard deviation, replicates.

    A measure with dead replicates, which stretch its axis, is shown once more without them.

    Args:
        data: the study.
        measures: which, in their order; default: all.
        columns: panels beside each other.
    """
    names = list(measures or data.measures)
    rows = [row for row in data.table if row["n"] and row["measure"] in names]
    if not rows:
        return message_chart("No finished replicates yet.")
    series = list(dict.fromkeys(row["series"] for row in rows))
    panels = []
    for name in names:
        own, facts = [row for row in rows if row["measure"] == name], data.measures[name]
        if own:
            panels.append(_dots(own, series, facts))
        living = [_living(row, facts) for row in own if row["dead"] < row["n"]]
        if living and any(row["dead"] for row in own):
            title = f"{facts['label']}, without dead replicates"
            panels.append(_dots(living, series, {**facts, "label": title}))
    chart = alt.concat(*panels, columns=columns, spacing=20) if len(panels) > 1 else panels[0]
    return finish(
        chart,
        title=data.title,
        subtitle=[data.subtitle, "dot: mean, bar: one standard deviation, tick: one replicate"],
        description=f"{data.title}: {', '.join(names)} of {len(series)} series",
    )


def _living(row: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a series without its dead replicates."""
    values = [v for v in row["values"] if not row["dead"] or v >= facts["dead_below"]]
    std = statistics.stdev(values) if len(values) > 1 else None
    return {**row, "values": values, "n": len(values), "mean": statistics.mean(values), "std": std}


def _dots(
    rows: Sequence[Mapping[str, Any]], series: Sequence[str], facts: Mapping[str, Any]
) -> Any:
    means, ticks = [], []
    # No accuracy lies outside [0, 1], whatever a standard deviation says of dead replicates.
    least = 0.0 if facts.get("dead_below") is not None else -math.inf
    most = 1.0 if facts.get("percent") else math.inf
    for row in rows:
        spread, name = row["std"] or 0.0, method_label(row["series"])
        means.append({"series": row["series"], "name": name, "mean": row["mean"], "n": row["n"],
                      "std": row["std"], "from": max(row["mean"] - spread, least),
                      "to": min(row["mean"] + spread, most),
                      })  # fmt: skip
        ticks += [{"series": row["series"], "name": name, "mean": value} for value in row["values"]]
    percent = facts.get("percent")
    axis = alt.Axis(format=".4~%" if percent else ".4~g", tickCount=5)
    order = [method_label(name) for name in series]
    title, scale = facts["label"], alt.Scale(zero=False)

    def x(field: str) -> alt.X:
        return alt.X(field=field, type="quantitative", title=title, axis=axis, scale=scale)

    lines = alt.Scale(domain=order)  # a series without a number keeps its line
    y = alt.Y(field="name", type="nominal", scale=lines, title=None, axis=alt.Axis(grid=True))
    colour = method_color(series, "series", legend=None)
    number = ".2%" if percent else ".4~g"
    base = alt.Chart(alt.Data(values=means))
    return alt.layer(
        alt.Chart(alt.Data(values=ticks)).mark_tick(opacity=0.5, height=10).encode(
            x=x("mean"), y=y, color=colour),
        base.mark_rule(strokeWidth=1.5).encode(
            x=x("from"), x2="to:Q", y=y, color=colour),
        base.mark_point(size=60, filled=True, opacity=1).encode(
            x=x("mean"), y=y, color=colour,
            tooltip=[alt.Tooltip(field="name", type="nominal", title="series"),
                     alt.Tooltip(field="mean", type="quantitative", format=number),
                     alt.Tooltip(field="std", type="quantitative", format=number),
                     alt.Tooltip(field="n", type="quantitative", title="replicates")]),
    ).properties(width=260, height=24 * len(order))  # fmt: skip
