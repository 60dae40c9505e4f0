"""The loss on a path between two solutions, with exact numbers under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from tfsparse.charts.style import FAINT, LINE_SYMBOL, finish, message_chart, series_color

TERMS = ("objective", "cross_entropy", "l2", "accuracy")
LABELS = {
    "objective": "objective (nats)",
    "cross_entropy": "cross-entropy (nats)",
    "l2": "L2 term (nats)",
    "accuracy": "accuracy (%)",
}


def term_table(points: pd.DataFrame, terms: Sequence[str]) -> pd.DataFrame:
    """The chosen columns of points.csv as rows: path, t, term, value, low, high (one se)."""
    parts = []
    paths = points["path"] if "path" in points.columns else "line"
    for term in terms:
        if term not in points.columns or "t" not in points.columns:
            continue
        value = pd.to_numeric(points[term], errors="coerce")
        error = points[f"{term}_se"] if f"{term}_se" in points.columns else 0.0
        error = pd.to_numeric(pd.Series(error, index=points.index), errors="coerce").fillna(0.0)
        t = pd.to_numeric(points["t"], errors="coerce")
        parts.append(
            pd.DataFrame({"path": paths, "t": t, "term": term, "value": value,
                          "low": value - error, "high": value + error})
        )  # fmt: skip
    columns = ["path", "t", "term", "value", "low", "high"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return table.dropna(subset=["t", "value"])


def path_chart(
    points: pd.DataFrame,
    term: str = "objective",
    *,
    start: str = "",
    end: str = "",
    log_scale: bool = False,
    width: int | str = 560,
    height: int = 300,
    title: str | None = None,
) -> Any:
    """One term along the line and, where there is one, the curve.

    Args:
        points: the table of points.csv.
        term: one of TERMS.
        start: what t = 0 is.
        end: what t = 1 is.
        log_scale: logarithmic y axis.
    """
    table = term_table(points, [term])
    if log_scale:
        table = table[table["value"] > 0].assign(low=lambda part: part["low"].clip(lower=1e-12))
    if table.empty:
        return message_chart(f"No {LABELS[term]} on this path.")
    return _chart(table, "path", LABELS[term], start, end, log_scale, term == "accuracy", width,
                  height, title)  # fmt: skip


def decomposition_chart(
    points: pd.DataFrame, *, path: str = "line", start: str = "", end: str = "",
    log_scale: bool = True, width: int | str = 560, height: int = 300, title: str | None = None,
) -> Any:  # fmt: skip
    """Objective, cross-entropy and L2 term of one path in one chart."""
    table = term_table(points, ["objective", "cross_entropy", "l2"])
    table = table[table["path"] == path]
    if log_scale:
        table = table[table["value"] > 0].assign(low=lambda part: part["low"].clip(lower=1e-12))
    if table.empty:
        return message_chart(f"No loss on the {path}.")
    return _chart(table, "term", "loss (nats)", start, end, log_scale, False, width, height, title)


def _chart(
    table: pd.DataFrame, key: str, label: str, start: str, end: str, log_scale: bool,
    percent: bool, width: int | str, height: int, title: str | None,
) -> Any:  # fmt: skip
    names = list(dict.fromkeys(table[key]))
    scale = alt.Scale(type="log", nice=False) if log_scale else alt.Scale(zero=False)
    axis = alt.Axis(format=".3~%" if percent else "~g")
    words = "t" + (f"   (0 = {start}, 1 = {end})" if start and end else "")
    x = alt.X(field="t", type="quantitative", title=words, axis=alt.Axis(grid=False, tickCount=8))

    def y(field: str) -> alt.Y:
        return alt.Y(field=field, type="quantitative", title=label, scale=scale, axis=axis)

    legend = alt.Legend(title=None, orient="bottom", **LINE_SYMBOL)
    colour = series_color(names, key, legend=legend if len(names) > 1 else None)
    base = alt.Chart(table).encode(x=x, color=colour)
    near = alt.selection_point(
        nearest=True, on="pointerover", clear="pointerout", fields=["t"], empty=False, name="near"
    )
    # One invisible row per t carries the tooltip with every number there.
    wide = table.pivot_table(index="t", columns=key, values="value").reset_index()
    wide.columns = [str(name) for name in wide.columns]
    form = ".4%" if percent else ".6~g"
    tips = [alt.Tooltip(field="t", type="quantitative", format=".4~g")] + [
        alt.Tooltip(field=name, type="quantitative", format=form) for name in names
    ]
    rule = (
        alt.Chart(wide)
        .mark_rule(color=FAINT)
        .encode(
            x=x,
            opacity=alt.condition(near, alt.value(0.7), alt.value(0)),
            tooltip=tips,
        )
        .add_params(near)
    )
    ends = alt.Chart(pd.DataFrame({"t": [0.0, 1.0]})).mark_rule(strokeDash=[3, 3], color=FAINT)
    layers = [
        ends.encode(x=x),
        base.mark_area(opacity=0.2).encode(y=y("low"), y2="high:Q"),
        base.mark_line().encode(y=y("value")),
        base.mark_point(size=18).encode(y=y("value")),
        rule,
    ]
    chart = alt.layer(*layers).properties(width=width, height=height)
    return finish(chart, title=title, description=f"{label} against t, {', '.join(names)}")
