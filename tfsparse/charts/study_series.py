"""A study's measures side by side: one panel per measure, one line per series."""

from __future__ import annotations

import math
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
        if any(row["dead"] for row in own) and _alive(own, facts):
            panels.append(_dots(own, series, facts, only_alive=True))
    chart = alt.concat(*panels, columns=columns, spacing=20) if len(panels) > 1 else panels[0]
    return finish(
        chart,
        title=data.title,
        subtitle=[data.subtitle, "dot: mean, bar: one standard deviation, tick: one replicate"],
        description=f"{data.title}: {', '.join(names)} of {len(series)} series",
    )


def _alive(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> list[float]:
    return [value for row in rows for value in row["values"] if value >= facts["dead_below"]]


def _dots(
    rows: Sequence[Mapping[str, Any]],
    series: Sequence[str],
    facts: Mapping[str, Any],
    *,
    only_alive: bool = False,
) -> Any:
    """A panel; `only_alive` cuts it to the living replicates, and means of others fall out."""
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
    if only_alive:
        alive = _alive(rows, facts)
        edge = 0.04 * (max(alive) - min(alive)) or 0.01
        title += ", without dead replicates"
        scale = alt.Scale(domain=[min(alive) - edge, max(alive) + edge], nice=False)

    def x(field: str) -> alt.X:
        return alt.X(field=field, type="quantitative", title=title, axis=axis, scale=scale)

    y = alt.Y(field="name", type="nominal", sort=order, title=None, axis=alt.Axis(grid=True))
    colour = method_color(series, "series", legend=None)
    number = ".2%" if percent else ".4~g"
    base = alt.Chart(alt.Data(values=means))
    return alt.layer(
        alt.Chart(alt.Data(values=ticks)).mark_tick(opacity=0.5, height=10, clip=only_alive).encode(
            x=x("mean"), y=y, color=colour),
        base.mark_rule(strokeWidth=1.5, clip=only_alive).encode(
            x=x("from"), x2="to:Q", y=y, color=colour),
        base.mark_point(size=60, filled=True, opacity=1, clip=only_alive).encode(
            x=x("mean"), y=y, color=colour,
            tooltip=[alt.Tooltip(field="name", type="nominal", title="series"),
                     alt.Tooltip(field="mean", type="quantitative", format=number),
                     alt.Tooltip(field="std", type="quantitative", format=number),
                     alt.Tooltip(field="n", type="quantitative", title="replicates")]),
    ).properties(width=260, height=24 * len(order))  # fmt: skip
