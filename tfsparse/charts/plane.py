"""The loss on the plane through three solutions, with the curves between them drawn in."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from tfsparse.charts.paths import LABELS
from tfsparse.charts.style import SERIES, finish, message_chart

_CORNER = "corner: "


def plane_chart(
    grid: pd.DataFrame,
    paths: pd.DataFrame,
    term: str = "objective",
    *,
    log_scale: bool = True,
    width: int = 520,
    title: str | None = None,
) -> Any:
    """Loss or accuracy as colour; lines, curves and the three solutions on top.

    Args:
        grid: the table of plane.csv: x, y (Euclidean distances in weight space) and the terms.
        paths: the table of plane_paths.csv: path ("corner: name", "curve: name", "line: name"),
            t, x, y; it may be empty.
        term: a key of LABELS.
        log_scale: colours follow the logarithm of a loss.
        width: pixels; the height follows from the plane's shape.
    """
    needed = {"x", "y", term}
    if not needed <= set(grid.columns):
        return message_chart(f"No {LABELS[term]} on this plane.")
    cells = grid[["x", "y", term]].apply(pd.to_numeric, errors="coerce").dropna()
    logarithmic = log_scale and term != "accuracy"
    if logarithmic:
        cells = cells[cells[term] > 0]
    if cells.empty:
        return message_chart(f"No {LABELS[term]} on this plane.")
    cells, extent = _cells(cells)
    height = int(np.clip(width * extent[1] / extent[0], 160, 720))
    percent = term == "accuracy"
    number = ".2%" if percent else ".4~g"
    colour = alt.Color(
        field=term,
        type="quantitative",
        title=LABELS[term],
        # Dark is good: a low loss, a high accuracy.
        scale=alt.Scale(type="log", scheme="viridis")
        if logarithmic
        else alt.Scale(scheme="viridis", reverse=percent, zero=False),
        legend=alt.Legend(format=".3~%" if percent else ".3~g", gradientLength=min(height, 240)),
    )
    heat = (
        alt.Chart(cells)
        .mark_rect()
        .encode(
            x=_place(alt.X, "left"), x2="right:Q", y=_place(alt.Y, "low"), y2="high:Q",
            color=colour,
            tooltip=[
                alt.Tooltip(field="x", type="quantitative", format=".4~g"),
                alt.Tooltip(field="y", type="quantitative", format=".4~g"),
                alt.Tooltip(field=term, type="quantitative", title=LABELS[term], format=number),
            ],
        )
    )  # fmt: skip
    layers = [heat, *_drawn(paths)]
    chart = alt.layer(*layers).properties(width=width, height=height)
    return finish(chart, title=title, description=f"{LABELS[term]} on a plane of weight space")


def _cells(grid: pd.DataFrame) -> tuple[pd.DataFrame, tuple[float, float]]:
    """The grid's places as rectangles that touch, and the whole's width and height."""
    sides = {}
    for axis in ("x", "y"):
        places = np.unique(grid[axis].round(12))
        sides[axis] = float(np.median(np.diff(places))) if len(places) > 1 else 1.0
    half_x, half_y = sides["x"] / 2, sides["y"] / 2
    cells = grid.assign(
        left=grid["x"] - half_x, right=grid["x"] + half_x,
        low=grid["y"] - half_y, high=grid["y"] + half_y,
    )  # fmt: skip
    extent = cells["right"].max() - cells["left"].min(), cells["high"].max() - cells["low"].min()
    return cells, (float(extent[0]), float(extent[1]))


def _place(channel: type[Any], field: str) -> Any:
    """A horizontal or vertical place in the plane."""
    return channel(
        field=field, type="quantitative", title="distance in weight space",
        scale=alt.Scale(zero=False, nice=False), axis=alt.Axis(grid=False),
    )  # fmt: skip


def _drawn(paths: pd.DataFrame) -> list[Any]:
    """The paths as lines with a white rim, the corners as labelled points."""
    if not {"path", "x", "y"} <= set(paths.columns):
        return []
    paths = paths.assign(path=paths["path"].astype(str))
    is_corner = paths["path"].str.startswith(_CORNER)
    x, y = _place(alt.X, "x"), _place(alt.Y, "y")
    layers: list[Any] = []
    for kind, dash in (("line", (6, 3)), ("curve", (1, 0))):
        rows = paths[~is_corner & paths["path"].str.startswith(f"{kind}: ")]
        if rows.empty:
            continue
        base = alt.Chart(rows).encode(
            x=x, y=y, order=alt.Order(field="t", type="quantitative"), detail="path:N",
            tooltip=[alt.Tooltip(field="path", type="nominal"),
                     alt.Tooltip(field="t", type="quantitative", format=".3~g")],
        )  # fmt: skip
        layers.append(base.mark_line(color="white", strokeWidth=5, opacity=0.8))
        layers.append(base.mark_line(color=SERIES[kind], strokeWidth=2.5, strokeDash=list(dash)))
    corners = paths[is_corner].assign(name=lambda part: part["path"].str.removeprefix(_CORNER))
    if not corners.empty:
        base = alt.Chart(corners).encode(x=x, y=y)
        layers.append(base.mark_point(filled=True, size=90, color="white", stroke="#222222"))
        text = alt.Text(field="name", type="nominal")
        words = {"dy": -13, "fontWeight": 600}
        layers.append(
            base.mark_text(stroke="white", strokeWidth=4, strokeJoin="round", **words).encode(
                text=text
            )
        )
        layers.append(base.mark_text(color="#222222", **words).encode(text=text))
    return layers
