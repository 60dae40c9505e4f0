"""Finished runs against each other: accuracy against sparsity, and one row per config."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from tfsparse.charts.style import (
    METHODS,
    accuracy_y,
    finish,
    in_order,
    message_chart,
    method_color,
    method_dash,
    method_shape,
    sparsity_x,
)

GROUP_COLUMNS = [
    "group", "method", "model", "data", "sparsity", "n", "mean", "std", "low", "high",
    "not_finished",
]  # fmt: skip

LEGEND = (
    "Mean of a config's seeds, bar: one standard deviation, faint: one run; "
    "methods of one sparsity side by side"
)


def trained(table: pd.DataFrame) -> pd.Series:
    """Which rows of the table of runs are finished, took a step and have both numbers."""
    numbers = table["accuracy"].notna() & table["sparsity"].notna()
    return (table["state"] == "finished") & (table["step"] > 0) & numbers


def group_table(table: pd.DataFrame) -> pd.DataFrame:
    """Replicates folded: one row per group of the table of runs.

    `mean` and `std` (n - 1; missing for one run) are of the test accuracy of the `n` finished runs,
    `low` and `high` their smallest and largest, `not_finished` counts the others.
    """
    rows = []
    keys = ["group", "method", "model", "data"]
    training = table[table["kind"] == "training"]
    for values, runs in training.groupby(keys, sort=False, dropna=False):
        done = runs[(runs["state"] == "finished") & runs["accuracy"].notna()]
        accuracy = done["accuracy"]
        row = dict(zip(keys, values, strict=True))
        rows.append(
            row
            | {
                "sparsity": done["sparsity"].mean(),
                "n": len(done),
                "mean": accuracy.mean(),
                "std": accuracy.std(),
                "low": accuracy.min(),
                "high": accuracy.max(),
                "not_finished": len(runs) - len(done),
            }
        )
    result = pd.DataFrame(rows, columns=GROUP_COLUMNS)
    for name in keys:
        result[name] = result[name].astype(object).where(result[name].notna(), None)
    return result


def accuracy_chart(
    table: pd.DataFrame, *, width: int | str = 560, height: int = 320, title: str | None = None
) -> Any:
    """Test accuracy against overall sparsity: every trained run, and each config's mean.

    Args:
        table: the table of runs; one model on one data set, or the chart compares what differs.
    """
    done = table[trained(table)]
    done = done[["name", "group", "method", "sparsity", "accuracy"]].assign(
        method=done["method"].fillna("unknown")
    )
    if done.empty:
        return message_chart("No finished run with an accuracy and a sparsity yet.")
    means = _means(done)
    methods = list(done["method"])
    legend = alt.Legend(title=None, orient="right", labelExpr=_labels())
    colour = method_color(methods, legend=legend)
    dash = method_dash(methods, legend=legend)
    shape = method_shape(methods, legend=legend)
    places, domain = _places(means, in_order(methods))
    means = means.merge(places)
    done = done.drop(columns="sparsity").merge(means[["group", "method", "sparsity", "place"]])
    between = means.groupby(["method", "place"], as_index=False)["mean"].mean()
    axis = alt.Axis(format=".4~%", grid=False)
    if means["sparsity"].nunique() == 1:
        axis["values"] = list(means["sparsity"][:1])
    x = sparsity_x("place", scale=alt.Scale(domain=domain, nice=False), axis=axis)
    base = alt.Chart(means)
    lines = (
        alt.Chart(between)
        .mark_line()
        .encode(x=x, y=accuracy_y("mean", "test accuracy (%)"), color=colour, strokeDash=dash)
    )
    bars = base.mark_rule(strokeWidth=1.5).encode(
        x=x, y=accuracy_y("low", "test accuracy (%)"), y2="high:Q", color=colour
    )
    dots = base.mark_point(size=70).encode(
        x=x,
        y=accuracy_y("mean", "test accuracy (%)"),
        color=colour,
        shape=shape,
        tooltip=[
            alt.Tooltip(field="group", type="nominal"),
            alt.Tooltip(field="sparsity", type="quantitative", format=".4~%"),
            alt.Tooltip(field="mean", type="quantitative", format=".2%"),
            alt.Tooltip(field="std", type="quantitative", format=".2%"),
            alt.Tooltip(field="n", type="quantitative", title="runs"),
        ],
    )
    runs = (
        alt.Chart(done)
        .mark_point(size=20, opacity=0.4)
        .encode(
            x=x,
            y=accuracy_y("accuracy", "test accuracy (%)"),
            color=colour,
            tooltip=[
                alt.Tooltip(field="name", type="nominal"),
                alt.Tooltip(field="sparsity", type="quantitative", format=".4~%"),
                alt.Tooltip(field="accuracy", type="quantitative", format=".2%"),
            ],
        )
    )
    chart = alt.layer(lines, bars, runs, dots).properties(width=width, height=height)
    return finish(
        chart,
        title=title,
        subtitle=LEGEND if title else None,
        description="test accuracy against sparsity, one line per method",
    )


def _means(done: pd.DataFrame) -> pd.DataFrame:
    """One row per config; its replicates share their sparsity up to rounding."""
    groups = done.groupby(["group", "method"])
    means = groups["accuracy"].agg(["mean", "std", "size"]).rename(columns={"size": "n"})
    means = means.assign(sparsity=groups["sparsity"].mean().round(4)).reset_index()
    spread = means["std"].fillna(0.0)
    # No accuracy lies outside [0, 1], whatever a standard deviation says of dead replicates.
    low, high = (means["mean"] - spread).clip(lower=0), (means["mean"] + spread).clip(upper=1)
    return means.assign(std=spread, low=low, high=high)


def _places(means: pd.DataFrame, methods: list[str]) -> tuple[pd.DataFrame, list[float]]:
    """method, sparsity and its place on the axis, where methods share a sparsity side by side.

    Returns:
        The table, and the ends of the axis.
    """
    places = means[["method", "sparsity"]].drop_duplicates()
    places = places.sort_values("method", key=lambda names: names.map(methods.index))
    same = places.groupby("sparsity")["method"]
    shift = same.cumcount() - (same.transform("size") - 1) / 2
    found = np.sort(places["sparsity"].unique())
    # In parts of the axis, which has no width of its own when all runs share their sparsity.
    span, apart, edge = 0.02, 0.05, 0.5
    if len(found) > 1:
        span, edge = found[-1] - found[0], 0.02
        room = np.diff(found).min() / span / same.size().max()
        apart = min(0.012, max(0.003, room / 2))
    places = places.assign(place=places["sparsity"] + apart * span * shift)
    return places, [places["place"].min() - edge * span, places["place"].max() + edge * span]


def _labels() -> str:
    """Legend words of the known methods, as an expression; names from logs never enter it."""
    import json

    words = json.dumps({name: look.label for name, look in METHODS.items()})
    return f"{words}[datum.label] || datum.label"
