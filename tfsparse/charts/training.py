"""What happened while runs trained: one number of the log against step, epoch or time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import altair as alt
import pandas as pd

from tfsparse.charts.series import (
    METRICS,
    POINTS_PER_CURVE,
    X_AXES,
    Source,
    curve_table,
    fold,
    thin_table,
)
from tfsparse.charts.style import LINE_SYMBOL, MethodStyle, finish, group_looks, message_chart

DRAWN = ["run", "x", "value"]
SOUND: dict[str, Any] = {"invalid": None}
"""The tables hold numbers only: the browser need not look at each of them again."""

TARGETS = 60
"""Places of a long curve at which the cursor finds exact numbers."""


def training_chart(
    sources: Iterable[Source],
    metric: str = "loss",
    *,
    x: str = "step",
    smoothing: float = 0.0,
    log_scale: bool = False,
    folded: bool = False,
    width: int | str = 560,
    height: int = 280,
    title: str | None = None,
    points: int = POINTS_PER_CURVE,
    legend: bool = True,
) -> Any:
    """One metric of one or many runs.

    Args:
        sources: the runs.
        metric: a key of `tfsparse.charts.series.METRICS`.
        x: step, epoch or seconds.
        smoothing: weight in [0, 1); above 0 the raw curve stays visible, faint.
        log_scale: logarithmic y axis (values <= 0 are left out).
        folded: one line per group, the mean of its runs, with a band of one standard deviation.
        width: pixels, or "container".
        points: at most about so many per curve.
        legend: False where the reader is told elsewhere which run it is.
    """
    sources = list(sources)
    table = curve_table(sources, metric, x=x, smoothing=smoothing)
    chosen = METRICS[metric]
    if log_scale:
        table = table[table["value"] > 0]
    if table.empty:
        return message_chart(f"No {chosen.label} in these logs yet.")
    key = "group" if folded else "run"
    pairs = list(table[[key, "method"]].drop_duplicates().itertuples(index=False, name=None))
    look = _look(group_looks(pairs), key, legend)
    zero = metric == "sparsity"
    scale = alt.Scale(type="log", nice=False) if log_scale else alt.Scale(zero=zero)
    axis = alt.Axis(format=".3~%") if chosen.percent else _number_axis(metric)
    place = alt.X(
        field="x", type="quantitative", title=X_AXES[x], axis=alt.Axis(format=",f", grid=False),
        scale=alt.Scale(nice=False),
    )  # fmt: skip
    if folded:
        layers = _folded(
            table, points, look, place, X_AXES[x], chosen.label, scale, axis,
            log_scale, chosen.percent,
        )  # fmt: skip
    else:
        raw = None
        if smoothing > 0 and chosen.smooth:
            raw = curve_table(sources, metric, x=x)
            raw = raw[raw["value"] > 0] if log_scale else raw
        layers = _single(table, raw, points, look, place, X_AXES[x], chosen.label, scale, axis)
    chart = alt.layer(*layers).properties(width=width, height=height)
    description = (
        f"{chosen.label} against {X_AXES[x]}, {len(pairs)} "
        f"{'groups, mean and band of one standard deviation' if folded else 'runs'}"
    )
    return finish(chart, title=title, description=description)


def _number_axis(metric: str) -> alt.Axis:
    return alt.Axis(format="~s") if metric == "images_per_second" else alt.Axis(format="~g")


Look = tuple[alt.Color, alt.StrokeDash]


def _look(looks: dict[str, MethodStyle], key: str, shown: bool) -> Look:
    names = list(looks)
    words: dict[str, Any] = {"title": None, "orient": "bottom", "columns": 2, "labelLimit": 320}
    legend = alt.Legend(**words, **LINE_SYMBOL) if shown else None
    colours = alt.Scale(domain=names, range=[looks[name].colour for name in names])
    dashes = alt.Scale(domain=names, range=[list(looks[name].dash) for name in names])
    return (
        alt.Color(field=key, type="nominal", scale=colours, sort=names, legend=legend),
        alt.StrokeDash(field=key, type="nominal", scale=dashes, sort=names, legend=legend),
    )


def _single(
    table: pd.DataFrame, raw: pd.DataFrame | None, most: int, look: Look,
    place: alt.X, place_title: str, label: str, scale: alt.Scale, axis: alt.Axis,
) -> list[Any]:  # fmt: skip
    colour, dash = look
    y = alt.Y(field="value", type="quantitative", title=label, scale=scale, axis=axis)
    tips = [
        alt.Tooltip(field="run", type="nominal"),
        alt.Tooltip(field="x", type="quantitative", title=place_title, format=","),
        alt.Tooltip(field="value", type="quantitative", title=label, format=".5~g"),
    ]
    layers = []
    if raw is not None:
        faint = alt.Chart(thin_table(raw, most)[DRAWN]).mark_line(
            opacity=0.25, strokeWidth=1, **SOUND
        )
        layers.append(faint.encode(x=place, y=y, color=colour, detail="run:N"))
    thinned = thin_table(table, most)[DRAWN]
    layers.append(
        alt.Chart(thinned).mark_line(**SOUND).encode(x=place, y=y, color=colour, strokeDash=dash)
    )
    layers.append(_points(thinned, "run").encode(x=place, y=y, color=colour, tooltip=tips))
    return layers


def _folded(
    table: pd.DataFrame, most: int, look: Look, place: alt.X, place_title: str,
    label: str, scale: alt.Scale, axis: alt.Axis, log_scale: bool, percent: bool,
) -> list[Any]:  # fmt: skip
    colour, dash = look
    means = fold(table, most)
    if percent:
        means[["low", "high"]] = means[["low", "high"]].clip(0, 1)
    if log_scale:  # a band below 0 has no place on a logarithmic axis
        means["low"] = means["low"].clip(lower=means["mean"] / 10)
    y = alt.Y(field="mean", type="quantitative", title=label, scale=scale, axis=axis)
    low = alt.Y(field="low", type="quantitative", title=label, scale=scale, axis=axis)
    tips = [
        alt.Tooltip(field="group", type="nominal"),
        alt.Tooltip(field="x", type="quantitative", title=place_title, format=","),
        alt.Tooltip(field="mean", type="quantitative", format=".5~g"),
        alt.Tooltip(field="std", type="quantitative", format=".3~g"),
        alt.Tooltip(field="n", type="quantitative", title="runs"),
    ]
    base = alt.Chart(means)
    band = base.mark_area(opacity=0.18).encode(x=place, y=low, y2="high", color=colour)
    line = base.mark_line(**SOUND).encode(x=place, y=y, color=colour, strokeDash=dash)
    points = _points(means, "group").encode(x=place, y=y, color=colour, tooltip=tips)
    return [band, line, points]


def _points(table: pd.DataFrame, key: str) -> alt.Chart:
    """What the cursor finds: all points of short curves, unseen ones along long curves.

    A browser slows down with every mark, seen or not, so long curves carry a point per few pixels.
    """
    longest = int(table.groupby(key).size().max())
    if longest <= 30:
        return alt.Chart(table).mark_point(size=24, **SOUND)
    every = -(-longest // TARGETS)
    some = table.groupby(key).cumcount() % every == 0
    return alt.Chart(table[some]).mark_point(size=90, opacity=0, aria=False, **SOUND)
