"""How sparse each layer is, at the end and over training, and where the gradient flows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from tfsparse.charts.logs import Log, number
from tfsparse.charts.style import (
    LINE_SYMBOL,
    finish,
    group_looks,
    message_chart,
    series_color,
    sparsity_y,
    step_x,
)
from tfsparse.charts.tables import dig

MOST_STEPS = 200


def layer_table(summary: Mapping[str, Any]) -> pd.DataFrame:
    """layer, shape (text), size, kept, sparsity (fraction) of a finished run's summary.

    Layers whose entries are broken are left out.
    """
    rows = []
    layers = summary.get("layers")
    for name, facts in layers.items() if isinstance(layers, dict) else ():
        size, kept = number(dig(facts, "size")), number(dig(facts, "nonzero"))
        if size is None or kept is None or size <= 0:
            continue
        shape = facts.get("shape")
        text = " x ".join(map(str, shape)) if isinstance(shape, list) else ""
        rows.append((str(name), text, int(size), int(kept), 1 - kept / size))
    return pd.DataFrame(rows, columns=["layer", "shape", "size", "kept", "sparsity"])


def layers_chart(
    summaries: Mapping[str, Mapping[str, Any]],
    methods: Mapping[str, str],
    *,
    width: int | str = 560,
    title: str | None = None,
) -> Any:
    """Final sparsity per layer, one group of bars per layer, one bar per run.

    Args:
        summaries: label of the run -> its summary.
        methods: label of the run -> its method, for the colours.
    """
    parts = []
    for label, summary in summaries.items():
        table = layer_table(summary)
        table.insert(0, "run", label)
        parts.append(table)
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if table.empty:
        return message_chart("No finished run with a list of layers.")
    order = list(dict.fromkeys(table["layer"]))
    looks = group_looks([(label, methods.get(label, "")) for label in summaries])
    names = list(looks)
    colour = alt.Color(
        field="run",
        type="nominal",
        sort=names,
        scale=alt.Scale(domain=names, range=[looks[name].colour for name in names]),
        legend=alt.Legend(title=None, orient="bottom", columns=2, labelLimit=320)
        if len(names) > 1
        else None,
    )
    axis = alt.Axis(labelAngle=-40 if len(order) > 6 else 0)
    bars = (
        alt.Chart(table)
        .mark_bar()
        .encode(
            x=alt.X(field="layer", type="nominal", sort=order, title="layer", axis=axis),
            xOffset=alt.XOffset(field="run", type="nominal", sort=names),
            y=sparsity_y(scale=alt.Scale(domain=[0, 1])),
            color=colour,
            tooltip=[
                alt.Tooltip(field="run", type="nominal"),
                alt.Tooltip(field="layer", type="nominal"),
                alt.Tooltip(field="shape", type="nominal"),
                alt.Tooltip(field="sparsity", type="quantitative", format=".4~%"),
                alt.Tooltip(field="kept", type="quantitative", title="weights kept", format=","),
                alt.Tooltip(field="size", type="quantitative", title="of", format=","),
            ],
        )
        .properties(width=width, height=240)
    )
    return finish(bars, title=title, description="final sparsity of each layer")


def layer_sparsity_chart(log: Log, *, width: int | str = 560, title: str | None = None) -> Any:
    """Sparsity of each layer against step, from the log's mask updates."""
    return _layer_lines(
        log.layer_table("mask_update"),
        sparsity_y("value", scale=alt.Scale(zero=True)),
        "No mask update in this log: the mask, if any, never changed.",
        width, title, "sparsity of each layer against step", ".4~%", "sparsity",
    )  # fmt: skip


def layer_gradient_chart(log: Log, *, width: int | str = 560, title: str | None = None) -> Any:
    """Squared gradient norm of each layer against step (logarithmic)."""
    table = log.layer_table("gradient_flow")
    table = table[table["value"] > 0]
    y = alt.Y(
        field="value", type="quantitative", title="squared gradient norm",
        scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~e"),
    )  # fmt: skip
    return _layer_lines(
        table, y,
        "No gradient flow in this log; set train.gradient_flow_every to measure it.",
        width, title, "squared gradient norm of each layer against step", ".4~g", "squared norm",
    )  # fmt: skip


def _layer_lines(
    table: pd.DataFrame, y: alt.Y, nothing: str, width: int | str,
    title: str | None, description: str, number_format: str, word: str,
) -> Any:  # fmt: skip
    if table.empty:
        return message_chart(nothing)
    names = list(dict.fromkeys(table["layer"]))
    steps = table["step"].unique()
    if len(steps) > MOST_STEPS:  # these lines have no noise whose spikes would be lost
        table = table[table["step"].isin(steps[:: -(-len(steps) // MOST_STEPS)])]
    legend = alt.Legend(title=None, orient="bottom", columns=4, **LINE_SYMBOL)
    base = alt.Chart(table).encode(
        x=step_x(scale=alt.Scale(nice=False)),
        y=y,
        color=series_color(names, "layer", legend=legend),
    )
    shown = table["step"].unique()
    some = table[table["step"].isin(shown[:: -(-len(shown) // 40)])]
    points = (
        base.mark_point(size=90, opacity=0)
        .properties(data=some)
        .encode(
            tooltip=[
                alt.Tooltip(field="layer", type="nominal"),
                alt.Tooltip(field="step", type="quantitative", format=","),
                alt.Tooltip(field="value", type="quantitative", title=word, format=number_format),
            ]
        )
    )
    chart = alt.layer(base.mark_line(), points).properties(width=width, height=240)
    return finish(chart, title=title, description=description)
