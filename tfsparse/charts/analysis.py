"""Charts of analyses: gradient norms, changes by updates, spectra, maps of solutions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from tfsparse import files
from tfsparse.charts.logs import read_log
from tfsparse.charts.study_data import StudyData
from tfsparse.charts.style import (
    FAINT,
    GOOD,
    LINE_SYMBOL,
    finish,
    in_order,
    message_chart,
    method_color,
    method_dash,
    method_label,
    method_shape,
    step_x,
)

POINTS = 300


def gradient_norm(data: StudyData, *, log_scale: bool = True, leave_out: Sequence[str] = ()) -> Any:
    """The gradient norm over training: mean over replicates, band of one standard deviation.

    Args:
        data: the study.
        log_scale: of the vertical axis.
        leave_out: series that are not drawn.
    """
    return _over_steps(data, "gradient_flow", "norm", "gradient norm", log_scale, 1, leave_out)


def norm_change(data: StudyData, *, window: int = 5, leave_out: Sequence[str] = ()) -> Any:
    """The change of the gradient norm by each mask update, after minus before.

    Args:
        data: the study.
        window: updates over which the lines are averaged.
        leave_out: series that are not drawn.
    """
    label = "change of the gradient norm"
    return _over_steps(data, "mask_update", "norm_change", label, False, window, leave_out)


def _over_steps(
    data: StudyData,
    kind: str,
    field: str,
    label: str,
    log_scale: bool,
    window: int,
    leave_out: Sequence[str],
) -> Any:
    found: dict[str, dict[float, list[float]]] = {}
    for piece in data.pieces:
        path = data.folder(piece) / "metrics.jsonl"
        drawn = piece["kind"] == "train" and piece["series"] not in leave_out
        if not (drawn and path.is_file()):
            continue
        table = read_log(path).table(kind)
        if field not in table:
            continue
        table = table.dropna(subset=[field])
        smooth = table[field].rolling(window, min_periods=1, center=True).mean()
        places = found.setdefault(piece["series"], {})
        for step, value in zip(table["step"], smooth, strict=True):
            places.setdefault(float(step), []).append(float(value))
    rows = [
        row for series, places in found.items() for row in _band(series, places, label, log_scale)
    ]
    if not rows:
        return message_chart(f"No {label} logged yet.")
    series = in_order(found)
    legend = alt.Legend(title=None, labelExpr=labels_of(series), **LINE_SYMBOL)
    scale = alt.Scale(type="log", nice=False) if log_scale else alt.Scale(zero=True)
    words = "mean over replicates, band: one standard deviation"
    if window > 1:
        words += f", averaged over {window} updates"

    def y(name: str) -> alt.Y:
        return alt.Y(field=name, type="quantitative", title=label, scale=scale,
                     axis=alt.Axis(format=".4~g"))  # fmt: skip

    base = alt.Chart(alt.Data(values=rows))
    colour = method_color(series, "series", legend=legend)
    band = base.mark_area(opacity=0.1).encode(x=step_x(), y=y("low"), y2="high:Q", color=colour)
    line = base.mark_line(strokeWidth=1.8).encode(
        x=step_x(), y=y("mean"), color=colour,
        strokeDash=method_dash(series, "series", legend=legend),
        tooltip=[
            alt.Tooltip(field="name", type="nominal", title="series"),
            alt.Tooltip(field="step", type="quantitative", format=","),
            alt.Tooltip(field="mean", type="quantitative", format=".4~g"),
            alt.Tooltip(field="n", type="quantitative", title="replicates"),
        ],
    )  # fmt: skip
    layers: list[Any] = [band, line]
    if not log_scale:
        zero = alt.Chart(alt.Data(values=[{"mean": 0}]))
        layers.insert(0, zero.mark_rule(color=FAINT, strokeDash=[3, 3]).encode(y=y("mean")))
    return finish(
        alt.layer(*layers).properties(width=560, height=300),
        title=data.title,
        subtitle=[data.subtitle, words],
        description=f"{data.title}: {label} against training steps, {len(series)} series",
    )


def _band(
    series: str, places: Mapping[float, list[float]], label: str, log_scale: bool
) -> list[dict[str, Any]]:
    """Mean and band of one series at no more steps than a chart is wide."""
    steps = sorted(places)
    chosen = steps[:: max(1, len(steps) // POINTS)]
    rows = []
    for step in chosen:
        values = places[step]
        mean = float(np.mean(values))
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        low = mean - spread
        if log_scale:
            if mean <= 0:  # a dead network has no place on a logarithmic axis
                continue
            low = max(low, mean / 10)
        rows.append({"series": series, "name": method_label(series), "step": step, "mean": mean,
                     "low": low, "high": mean + spread, "n": len(values)})  # fmt: skip
    return rows


def spectrum(data: StudyData, *, bins: int = 60) -> Any:
    """Eigenvalues before and after a mask update: one panel per series, all replicates together.

    Args:
        data: the study.
        bins: over the range of all eigenvalues.
    """
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    for piece in data.pieces:
        path = data.folder(piece) / "eigenvalues.npz"
        if piece["kind"] != "analysis" or not path.is_file():
            continue
        for name, values in files.read_npz(path).items():
            moment, _, what = name.rpartition("_")
            if what == "values":
                found.setdefault(piece["series"], {}).setdefault(moment, []).append(values)
    if not found:
        return message_chart("No spectra recorded yet.")
    every = np.concatenate([v for moments in found.values() for group in moments.values()
                            for v in group])  # fmt: skip
    # The bulk lies close to 0 and a few eigenvalues far out: bins of equal width in asinh.
    width = max(float(np.quantile(np.abs(every), 0.9)), 1e-12)
    edges = width * np.sinh(
        np.linspace(np.arcsinh(every.min() / width), np.arcsinh(every.max() / width), bins + 1)
    )
    panels = [_spectrum_panel(series, found[series], edges, width) for series in in_order(found)]
    return finish(
        alt.hconcat(*panels, spacing=24) if len(panels) > 1 else panels[0],
        title=data.title,
        subtitle=[data.subtitle, "mean share of eigenvalues per bin; both axes are stretched"],
        description=f"{data.title}: histograms of eigenvalues",
    )


def _spectrum_panel(
    series: str, moments: Mapping[str, Sequence[np.ndarray]], edges: np.ndarray, width: float
) -> Any:
    rows = []
    for moment, group in moments.items():
        shares = np.mean([np.histogram(values, edges)[0] / len(values) for values in group], axis=0)
        for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
            for place in (low, high):
                rows.append({"moment": moment, "place": float(place), "share": float(share)})
    ticks = [sign * width * 10**power for sign in (-1, 1) for power in range(5)] + [0.0]
    inside = sorted(t for t in (float(f"{t:.1g}") for t in ticks) if edges[0] <= t <= edges[-1])
    names = list(moments)
    colours = {"before": "#999999", "after": GOOD}
    return (
        alt.Chart(alt.Data(values=rows), title=method_label(series))
        .mark_line(strokeWidth=1.6)
        .encode(
            x=alt.X(field="place", type="quantitative", title="eigenvalue",
                    scale=alt.Scale(type="symlog", constant=width, nice=False),
                    axis=alt.Axis(values=inside, format=".4~g", grid=False)),
            y=alt.Y(field="share", type="quantitative", title="share of eigenvalues",
                    scale=alt.Scale(type="symlog", constant=0.001, domain=[0, 1]),
                    axis=alt.Axis(values=[0, 0.001, 0.01, 0.1, 1], format=".1~%")),
            color=alt.Color(
                field="moment", type="nominal", title=None,
                scale=alt.Scale(domain=names,
                                range=[colours.get(name, GOOD) for name in names]),
                legend=alt.Legend(**LINE_SYMBOL) if len(names) > 1 else None,
            ),
            tooltip=[
                alt.Tooltip(field="moment", type="nominal"),
                alt.Tooltip(field="place", type="quantitative", format=".3~g"),
                alt.Tooltip(field="share", type="quantitative", format=".3~%"),
            ],
        )
        .properties(width=230, height=230)
    )  # fmt: skip


def solution_map(data: StudyData, *, series: str = "map") -> Any:
    """Starts and ends of runs around a solution, by classical multidimensional scaling.

    Args:
        data: the study.
        series: of the piece whose map is drawn.
    """
    rows: list[dict[str, Any]] = []
    for piece in data.pieces:
        path = data.folder(piece) / "map.csv"
        if piece["series"] == series and path.is_file():
            rows = [
                {**row, "x": float(row["x"]), "y": float(row["y"])}
                for row in csv.DictReader(io.StringIO(files.read_text(path)))
            ]
    if not rows:
        return message_chart("No map recorded yet.")
    return finish(
        map_chart(rows),
        title=data.title,
        subtitle=[data.subtitle, "distances in the plane come close to L2 distances of weights; "
                  "hollow: start, filled: end"],
        description=f"{data.title}: a map of {len(rows)} weight vectors",
    )  # fmt: skip


def map_chart(rows: Sequence[Mapping[str, Any]], *, size: int = 380) -> Any:
    """The scatter of a map's rows (method, seed, at, role, x, y) with lines from start to end."""
    points = [
        {**row, "name": method_label(str(row["method"])), "end": row["at"] == "end"} for row in rows
    ]
    methods = in_order(str(row["method"]) for row in rows)
    legend = alt.Legend(title=None, labelExpr=labels_of(methods), symbolOpacity=1)
    # Both axes have one scale, or distances could not be compared.
    x, y = ([float(row[axis]) for row in rows] for axis in ("x", "y"))
    half = max(max(x) - min(x), max(y) - min(y), 1e-9) * 0.55
    encodings = {}
    for axis, values, kind in (("x", x, alt.X), ("y", y, alt.Y)):
        middle = (max(values) + min(values)) / 2
        encodings[axis] = kind(
            field=axis, type="quantitative", title=None,
            scale=alt.Scale(domain=[middle - half, middle + half], nice=False),
            axis=alt.Axis(format=".4~g"),
        )  # fmt: skip
    colour = method_color(methods, "method", legend=legend)
    shape = method_shape(methods, "method", legend=legend)
    tips = [alt.Tooltip(field=key, type="nominal") for key in ("name", "seed", "at")]
    runs = [point for point in points if point["role"] != "solution"]
    lines = (
        alt.Chart(alt.Data(values=runs))
        .mark_line(strokeWidth=0.8, opacity=0.35)
        .encode(**encodings, color=colour, detail=[alt.Detail(field="seed", type="nominal"),
                                                   alt.Detail(field="method", type="nominal")])
    )  # fmt: skip
    layers: list[Any] = [lines]
    for end in (False, True):
        chosen = alt.Data(values=[point for point in points if point["end"] is end])
        mark = alt.Chart(chosen).mark_point(size=90, filled=end, strokeWidth=1.6, opacity=0.85)
        layers.append(mark.encode(**encodings, color=colour, shape=shape, tooltip=tips))
    return alt.layer(*layers).properties(width=size, height=size)


def labels_of(names: Sequence[str]) -> str:
    """A legend's label expression that shows each name as people write it.

    The words come from this package's own table or are the study's names, quoted as JSON.
    """
    words = {name: method_label(name) for name in names}
    return f"{json.dumps(words)}[datum.label] || datum.label"
