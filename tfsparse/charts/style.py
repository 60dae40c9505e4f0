"""How every chart looks: one theme, and one colour, dash and point shape per method.

The same function that draws a chart serves the dashboard, the report and the figures in docs/, so a
method keeps its colour everywhere. Colours are taken from the palettes of Okabe & Ito and of Paul
Tol, and two methods whose colours come close for a colour-blind reader differ in dash and shape.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

SOLID: tuple[int, ...] = (1, 0)
DASHED: tuple[int, ...] = (6, 3)
DOTTED: tuple[int, ...] = (2, 2)
DASH_DOT: tuple[int, ...] = (8, 3, 2, 3)

INK = "#222222"
FAINT = "#5f6368"
GRID = "#e6e8eb"
FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, DejaVu Sans, sans-serif"

GOOD = "#0072B2"
BAD = "#D55E00"
UNDECIDED = "#777777"


@dataclass(frozen=True)
class MethodStyle:
    """The look of one method: label for people, colour, dash of its line, shape of its points."""

    label: str
    colour: str
    dash: tuple[int, ...] = SOLID
    shape: str = "circle"


METHODS: dict[str, MethodStyle] = {
    "dense": MethodStyle("dense", "#222222"),
    "small_dense": MethodStyle("small dense", "#222222", DASHED, "diamond"),
    "pruned": MethodStyle("pruned", "#0072B2", SOLID, "square"),
    "iterative": MethodStyle("iterative pruning", "#332288", SOLID, "triangle-up"),
    "one_shot": MethodStyle("one-shot pruning", "#56B4E9", DASHED, "diamond"),
    "retrain": MethodStyle("retrained on the mask", "#E69F00", DASHED, "triangle-down"),
    "lottery": MethodStyle("lottery", "#009E73", SOLID, "triangle-up"),
    "scratch": MethodStyle("scratch", "#D55E00", SOLID, "cross"),
    "lottery_plus": MethodStyle("lottery+", "#009E73", DASHED, "triangle-down"),
    "scratch_plus": MethodStyle("scratch+", "#D55E00", DASHED, "triangle-left"),
    "sparse_init": MethodStyle("sparse init, dense training", "#CC79A7", SOLID, "diamond"),
    "random_sparse_init": MethodStyle("random sparse init", "#CC79A7", DASHED, "triangle-left"),
    "set": MethodStyle("SET", "#999933", SOLID, "triangle-right"),
    "set_plus": MethodStyle("SET+", "#999933", DASHED, "triangle-left"),
    "rigl": MethodStyle("RigL", "#B5179E", SOLID, "triangle-down"),
    "rigl_plus": MethodStyle("RigL+", "#B5179E", DASHED, "triangle-up"),
    "set_source": MethodStyle("SET from the pruned mask", "#999933", DOTTED, "diamond"),
    "rigl_source": MethodStyle("RigL from the pruned mask", "#B5179E", DASH_DOT, "diamond"),
    "rigl_inverted": MethodStyle("RigL inverted", "#B5179E", DOTTED, "cross"),
    "rigl_inverted_plus": MethodStyle("RigL inverted+", "#6B6B6B", DASH_DOT, "cross"),
    "snfs": MethodStyle("SNFS", "#E69F00", SOLID, "square"),
    "snip": MethodStyle("SNIP", "#882255", DASH_DOT, "diamond"),
    "grasp": MethodStyle("GraSP", "#117733", DASH_DOT, "circle"),
    "topology": MethodStyle("topology", "#44AA99", SOLID, "circle"),
    "radixnet": MethodStyle("RadiX-Net", "#44AA99", SOLID, "square"),
    "radixnet_wide": MethodStyle("RadiX-Net, more neurons", "#44AA99", DASHED, "diamond"),
    "random_topology": MethodStyle("random topology", "#DDAA33", DOTTED, "triangle-right"),
    "random_topology_wide": MethodStyle(
        "random topology, more neurons", "#DDAA33", SOLID, "triangle-up"
    ),
    "random": MethodStyle("random mask", "#DDAA33", DASHED, "circle"),
    "imp": MethodStyle("iterative pruning with rewinding", "#117733", SOLID, "triangle-right"),
    "imp_round": MethodStyle("one round of it", "#117733", DASHED, "triangle-left"),
}

# For a method the table does not know: stable colours that no known main method wears.
_SPARE_COLOURS = ("#88CCEE", "#CC6677", "#117733", "#661100", "#6699CC", "#AA4466")
_SPARE_DASHES = (SOLID, DASHED, DOTTED, DASH_DOT)
_SPARE_SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross")

# Things that are not methods: terms of the objective, straight line against curve, data splits.
SERIES: dict[str, str] = {
    "objective": "#222222",
    "cross_entropy": "#0072B2",
    "cross-entropy": "#0072B2",
    "l2": "#E69F00",
    "line": "#D55E00",
    "curve": "#0072B2",
    "train": "#56B4E9",
    "validation": "#009E73",
    "test": "#0072B2",
}

# Order of hues when several runs of one method must be told apart, most distinct first.
CYCLE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#222222")

# What stands for a line in a legend, also when layers of faint bands and points share it.
LINE_SYMBOL: dict[str, Any] = {
    "symbolType": "stroke", "symbolSize": 400, "symbolOpacity": 1, "symbolStrokeWidth": 2.5,
}  # fmt: skip

CONFIG: dict[str, Any] = {
    "background": "white",
    "font": FONT,
    "padding": 8,
    "view": {"stroke": None, "continuousWidth": 480, "continuousHeight": 280},
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 14,
        "fontWeight": 600,
        "subtitleColor": FAINT,
        "subtitleFontSize": 12,
        "offset": 10,
    },
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": "#9aa0a6",
        "tickColor": "#9aa0a6",
        "labelOverlap": True,
        "labelLimit": 220,
        "labelSeparation": 6,
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "labelLimit": 260,
        "symbolStrokeWidth": 2,
        "symbolSize": 80,
    },
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12},
    "line": {"strokeWidth": 2},
    "point": {"filled": True, "size": 50, "opacity": 1},
    "rule": {"color": FAINT},
}


def method_style(name: str) -> MethodStyle:
    """The look of the method called `name`; an unknown name gets a stable look of its own.

    "scratch+" and "rigl-inverted" are read as "scratch_plus" and "rigl_inverted", and a name that
    begins with a known one ("topology_radixnet_2x") borrows that one's colour with another dash.
    """
    key = name.strip().lower().replace("+", "_plus").replace("-", "_").replace(" ", "_")
    if key in METHODS:
        return METHODS[key]
    spin = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
    shape = _SPARE_SHAPES[spin % len(_SPARE_SHAPES)]
    known = [k for k in METHODS if key.startswith(k + "_")]
    if known:
        return MethodStyle(name, METHODS[max(known, key=len)].colour, DASH_DOT, shape)
    dash = _SPARE_DASHES[(spin >> 8) % len(_SPARE_DASHES)]
    return MethodStyle(name, _SPARE_COLOURS[(spin >> 16) % len(_SPARE_COLOURS)], dash, shape)


def in_order(methods: Iterable[str]) -> list[str]:
    """The distinct names, known methods first in the table's order, the others by name."""
    known = {name: place for place, name in enumerate(METHODS)}
    return sorted(set(methods), key=lambda name: (known.get(name, len(known)), name))


def method_label(name: str) -> str:
    """The words for a method in a legend ("rigl_inverted" -> "RigL inverted")."""
    return method_style(name).label


def method_color(methods: Iterable[str], field: str = "method", **options: Any) -> alt.Color:
    """Colour encoding of a column that holds method names, with the fixed colours."""
    names = in_order(methods)
    colours = [method_style(name).colour for name in names]
    return _encode(alt.Color, field, names, colours, options)


def method_dash(methods: Iterable[str], field: str = "method", **options: Any) -> alt.StrokeDash:
    """Dash encoding that goes with `method_color` (Vega-Lite joins both into one legend)."""
    names = in_order(methods)
    dashes = [list(method_style(name).dash) for name in names]
    return _encode(alt.StrokeDash, field, names, dashes, options)


def method_shape(methods: Iterable[str], field: str = "method", **options: Any) -> alt.Shape:
    """Point shape encoding that goes with `method_color`."""
    names = in_order(methods)
    shapes = [method_style(name).shape for name in names]
    return _encode(alt.Shape, field, names, shapes, options)


def series_color(names: Sequence[str], field: str, **options: Any) -> alt.Color:
    """Colour encoding for columns that are no methods: known series by name, others in turn."""
    spare = [colour for colour in CYCLE if colour not in {SERIES.get(name) for name in names}]
    colours, used = [], 0
    for name in names:
        if name in SERIES:
            colours.append(SERIES[name])
        else:
            colours.append(spare[used % len(spare)])
            used += 1
    return _encode(alt.Color, field, list(names), colours, options)


def _encode(
    channel: Any, field: str, domain: list[str], values: list[Any], options: dict[str, Any]
) -> Any:
    labels = {name: METHODS[name].label for name in domain if name in METHODS}
    if labels and "legend" not in options:
        # Only labels of this file's own table enter the expression, never text from a log.
        words = json.dumps(labels)
        options["legend"] = alt.Legend(labelExpr=f"{words}[datum.label] || datum.label")
    options = {"title": field.replace("_", " "), **options}
    # Vega reads ".", "[" and ":" in a field's shorthand as syntax, so the type is given apart.
    scale = alt.Scale(domain=domain, range=values)
    return channel(field=field, type="nominal", scale=scale, sort=domain, **options)


def group_looks(groups: Sequence[tuple[str, str]]) -> dict[str, MethodStyle]:
    """Looks for labelled groups of runs: the first of a method wears that method's own look.

    Args:
        groups: pairs (label, method), in the order of the legend.

    Further groups of the same method keep its hue, darker or lighter in turn, with other dashes.
    """
    looks: dict[str, MethodStyle] = {}
    seen: dict[str, int] = {}
    for label, method in groups:
        if label in looks:
            continue
        own = method_style(method)
        place = seen[own.colour] = seen.get(own.colour, -1) + 1
        if place == 0 or (own.dash != SOLID and place < 2):
            looks[label] = own
            continue
        amount = (0.45, -0.4, 0.65, -0.6)[(place - 1) % 4]
        dash = (DASHED, DOTTED, DASH_DOT)[(place - 1) % 3]
        looks[label] = MethodStyle(own.label, shade(own.colour, amount), dash, own.shape)
    return looks


def shade(colour: str, amount: float) -> str:
    """`colour` ("#rrggbb") mixed with white (amount > 0) or black (amount < 0), |amount| <= 1."""
    goal = 255 if amount > 0 else 0
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    mixed = (round(part + (goal - part) * abs(amount)) for part in parts)
    return "#" + "".join(f"{part:02x}" for part in mixed)


def sparsity_x(field: str = "sparsity", **options: Any) -> alt.X:
    """X axis for a fraction in [0, 1), written as percent."""
    axis = alt.Axis(format=".3~%", grid=False)
    return alt.X(
        field=field, type="quantitative", **{"title": "sparsity (%)", "axis": axis, **options}
    )


def sparsity_y(field: str = "sparsity", **options: Any) -> alt.Y:
    """Y axis for a fraction in [0, 1), written as percent."""
    axis = alt.Axis(format=".3~%")
    return alt.Y(
        field=field, type="quantitative", **{"title": "sparsity (%)", "axis": axis, **options}
    )


def accuracy_y(field: str = "accuracy", title: str = "accuracy (%)", **options: Any) -> alt.Y:
    """Y axis for an accuracy given as a fraction, written as percent, not forced to start at 0."""
    axis, scale = alt.Axis(format=".3~%"), alt.Scale(zero=False)
    kind = {"title": title, "axis": axis, "scale": scale, **options}
    return alt.Y(field=field, type="quantitative", **kind)


def step_x(field: str = "step", **options: Any) -> alt.X:
    """X axis for training steps, written with thousands separators."""
    axis = alt.Axis(format=",f", grid=False)
    return alt.X(field=field, type="quantitative", **{"title": "step", "axis": axis, **options})


def finish(
    chart: Any,
    *,
    title: str | None = None,
    subtitle: str | list[str] | None = None,
    description: str | None = None,
) -> Any:
    """The chart with the theme, a title and a description for screen readers; call it last.

    A finished chart is top level: combine charts first, then finish the whole.
    """
    chart = chart.copy(deep=False)
    if title is not None:
        words = {"text": title} if subtitle is None else {"text": title, "subtitle": subtitle}
        chart.title = alt.TitleParams(**words)
    chart.description = description or title or "chart"
    chart.config = alt.Config(**CONFIG)
    return chart


def message_chart(text: str) -> Any:
    """A chart that only says `text`: what to show when there is nothing to draw."""
    words = alt.Chart(alt.Data(values=[{"text": text}])).mark_text(
        color=FAINT, fontSize=13, align="left", baseline="middle"
    )
    return finish(
        words.encode(text=alt.Text(field="text", type="nominal"), x=alt.value(0)).properties(
            width=420, height=40
        ),
        description=text,
    )
