"""A measure against a place such as the sparsity: every replicate, the means, the paper's line."""

from __future__ import annotations

from typing import Any

import altair as alt

from tfsparse.charts.study_data import StudyData
from tfsparse.charts.style import (
    LINE_SYMBOL,
    finish,
    message_chart,
    method_color,
    method_dash,
    method_style,
)


def against(
    data: StudyData,
    *,
    x: str = "sparsity",
    measure: str = "accuracy",
    panel: str | None = None,
    x_title: str | None = None,
    x_percent: bool = True,
    x_log_rest: bool = False,
    low: float | None = None,
    high: float | None = None,
    log_scale: bool = False,
    paper: bool = True,
) -> Any:
    """Means with one standard deviation, every replicate as a point, dead ones crossed out.

    Args:
        data: the study.
        x: the key of `at` along the horizontal axis.
        measure: the measure along the vertical axis.
        panel: the key of `at` that gets one panel per value.
        x_title: words at the horizontal axis.
        x_percent: write the places in percent.
        x_log_rest: put places at -log10(1 - x), so that 0.9, 0.99 and 0.999 are equally far apart.
        low: lower end of the vertical axis; what lies below is drawn at its edge, and the words
            above the chart say so.
        high: upper end, likewise.
        log_scale: a logarithmic vertical axis; bars end at a tenth of their mean at the lowest.
        paper: draw the paper's numbers as hollow diamonds.
    """
    rows = [row for row in data.table if row["measure"] == measure and row["n"]]
    rows = [row for row in rows if x in row["at"]]
    if not rows:
        return message_chart("No finished replicates yet.")
    facts = data.measures[measure]
    panels = list(dict.fromkeys(_panel(row, panel) for row in rows))
    series = list(dict.fromkeys(row["series"] for row in rows))
    charts = [
        _panel_chart(
            [row for row in rows if _panel(row, panel) == name],
            [row for row in data.reference if row["measure"] == measure and paper
             and x in row["at"] and row["series"] in series and _same_panel(row, panel, name)],
            series,
            facts,
            title=name,
            x=x,
            x_title=x_title or x,
            x_percent=x_percent,
            x_log_rest=x_log_rest,
            low=low,
            high=high,
            log_scale=log_scale,
        )
        for name in panels
    ]  # fmt: skip
    return finish(
        alt.hconcat(*charts, spacing=28) if len(charts) > 1 else charts[0],
        title=data.title,
        subtitle=[
            data.subtitle,
            _legend_words(data, measure, paper) + _edge_words(rows, low, high),
        ],
        description=f"{data.title}: {facts['label']} against {x}",
    )


def _panel(row: dict[str, Any], panel: str | None) -> str:
    return "" if panel is None else str(row["at"].get(panel, ""))


def _same_panel(row: dict[str, Any], panel: str | None, name: str) -> bool:
    return panel is None or str(row["at"].get(panel, name)) == name


def _legend_words(data: StudyData, measure: str, paper: bool) -> str:
    words = "line: mean, bar: one standard deviation, point: one replicate"
    if data.measures[measure].get("dead_below") is not None:
        words += ", cross: dead network"
    if paper and any(row["measure"] == measure for row in data.reference):
        words += ", hollow diamond: the paper"
    return words


def _edge_words(rows: list[dict[str, Any]], low: float | None, high: float | None) -> str:
    values = [value for row in rows for value in row["values"]]
    below = sum(low is not None and value < low for value in values)
    above = sum(high is not None and value > high for value in values)
    parts = [f"{below} below" if below else "", f"{above} above" if above else ""]
    words = " and ".join(part for part in parts if part)
    return f"; replicates drawn at the edge: {words} the axis" if words else ""


def _panel_chart(
    rows: list[dict[str, Any]],
    reference: list[dict[str, Any]],
    series: list[str],
    facts: Any,
    *,
    title: str,
    x: str,
    x_title: str,
    x_percent: bool,
    x_log_rest: bool,
    low: float | None,
    high: float | None,
    log_scale: bool,
) -> Any:
    floor = facts.get("dead_below")
    means, points, papers = [], [], []
    for row in rows:
        spread = row["std"] or 0.0
        least = row["mean"] / 10 if log_scale else row["mean"] - spread
        place = row["at"][x]
        means.append(
            {"x": place, "series": row["series"], "mean": row["mean"], "n": row["n"],
             "std": row["std"], "dead": row["dead"], "failed": row["failed"],
             "from": max(least, row["mean"] - spread), "to": row["mean"] + spread}
        )  # fmt: skip
        points += [
            {"x": place, "series": row["series"], "value": value,
             "dead": floor is not None and value < floor}
            for value in row["values"]
        ]  # fmt: skip
    for row in reference:
        papers.append({"x": row["at"][x], "series": row["series"], "value": row["value"],
                       "source": row["source"]})  # fmt: skip
    for item in (*means, *points, *papers):
        item["place"] = _rest(item["x"]) if x_log_rest else item["x"]
    axis_x = _x_axis(means, x_title, x_percent, x_log_rest)
    clamp = low is not None or high is not None
    scale = alt.Scale(type="log" if log_scale else "linear", zero=False, clamp=clamp)
    if low is not None or high is not None:
        values = [item["value"] for item in (*points, *papers)]
        scale.domain = [min(values) if low is None else low, max(values) if high is None else high]
    axis_y = alt.Axis(format=".4~%") if facts.get("percent") else alt.Axis()

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", title=facts["label"], scale=scale,
                     axis=axis_y)  # fmt: skip

    legend = alt.Legend(title=None, labelExpr=_label_words(series), **LINE_SYMBOL)
    colour = method_color(series, "series", legend=legend)
    dash = method_dash(series, "series", legend=legend)
    number = ".2%" if facts.get("percent") else ".4g"
    tips = [
        alt.Tooltip(field="series", type="nominal"),
        alt.Tooltip(field="x", type="quantitative", title=x),
    ]
    layers = [
        alt.Chart(alt.Data(values=means)).mark_line().encode(x=axis_x, y=y("mean"), color=colour,
                                                            strokeDash=dash),
        alt.Chart(alt.Data(values=means)).mark_rule(strokeWidth=1.5, opacity=0.8, clip=True).encode(
            x=axis_x, y=y("from"), y2="to:Q", color=colour),
        alt.Chart(alt.Data(values=[p for p in points if not p["dead"]])).mark_point(
            size=18, opacity=0.55, filled=True).encode(
            x=axis_x, y=y("value"), color=colour,
            tooltip=[*tips, alt.Tooltip(field="value", type="quantitative", format=number)]),
        alt.Chart(alt.Data(values=[p for p in points if p["dead"]])).mark_point(
            size=70, shape="cross", angle=45, filled=True, opacity=0.9).encode(
            x=axis_x, y=y("value"), color=colour,
            tooltip=[*tips, alt.Tooltip(field="value", type="quantitative", format=number)]),
        alt.Chart(alt.Data(values=means)).mark_point(size=55, filled=True).encode(
            x=axis_x, y=y("mean"), color=colour,
            tooltip=[*tips, alt.Tooltip(field="mean", type="quantitative", format=number),
                     alt.Tooltip(field="std", type="quantitative", format=number),
                     alt.Tooltip(field="n", type="quantitative"),
                     alt.Tooltip(field="dead", type="quantitative"),
                     alt.Tooltip(field="failed", type="quantitative")]),
    ]  # fmt: skip
    if papers:
        layers.append(
            alt.Chart(alt.Data(values=papers))
            .mark_point(shape="diamond", filled=False, size=70, strokeWidth=1.6)
            .encode(
                x=axis_x, y=y("value"), color=colour,
                tooltip=[*tips, alt.Tooltip(field="value", type="quantitative", format=number,
                                            title="paper"),
                         alt.Tooltip(field="source", type="nominal")],
            )
        )  # fmt: skip
    chart = alt.layer(*layers).properties(width=420, height=300)
    return chart.properties(title=title) if title else chart


def _rest(place: float) -> float:
    """-log10 of what is left: 0.9 -> 1, 0.99 -> 2."""
    import math

    return -math.log10(max(1e-12, 1 - place))


def _x_axis(means: list[dict[str, Any]], title: str, percent: bool, rest: bool) -> alt.X:
    places = sorted({item["place"]: item["x"] for item in means}.items())
    if all(isinstance(x, str) for _, x in places):
        return alt.X(field="place", type="nominal", title=title, sort=[p for p, _ in places])
    words = [f"{100 * x:.6g}%" if percent else f"{x:g}" for _, x in places]
    # Labels stand at the places that were run, whatever the scale.
    table = "{" + ", ".join(f"'{index}': '{word}'" for index, word in enumerate(words)) + "}"
    values = [place for place, _ in places]
    expression = f"{table}[indexof({values}, datum.value)] || ''"
    axis = alt.Axis(values=values, labelExpr=expression, grid=False, labelAngle=0)
    return alt.X(field="place", type="quantitative", title=title, axis=axis,
                 scale=alt.Scale(zero=False, padding=12))  # fmt: skip


def _label_words(series: list[str]) -> str:
    import json

    words = {name: _words(name) for name in series}
    return f"{json.dumps(words)}[datum.label] || datum.label"


def _words(name: str) -> str:
    label = method_style(name).label
    return label.replace("_", " ")
