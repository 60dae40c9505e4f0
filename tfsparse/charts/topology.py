"""Pictures of sparse topologies: neurons in columns joined by their connections, and adjacency."""

import base64
import itertools
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from tfsparse.charts.style import FAINT, INK, finish
from tfsparse.errors import UserError
from tfsparse.sparsity.topologies import RadixNet, radix_net

_MOST_EDGES = 6000
"""Edges beyond which a drawing of lines is a grey wall; only the adjacency is shown then."""
_MOST_PIXELS = 1000
_LEGEND = "orange: the connections of the first neuron of each layer"
_EDGE, _NODE, _PICKED = "#0072B2", "#222222", "#D55E00"


def radix_chart(
    radices: Sequence[Sequence[int]] | Sequence[int], blocks: Sequence[int] | None = None
) -> alt.TopLevelMixin:
    """The RadiX-Net of (N, B) as a chart: its layers above, its adjacency matrices below.

    Args:
        radices: N, or a single radix list ([2, 2, 2] is figure 5 of Alford et al.).
        blocks: B; all ones when None.

    Raises:
        UserError: (N, B) breaks a constraint of RadiX-Nets.
    """
    nested = [radices] if all(isinstance(radix, int) for radix in radices) else radices
    net = radix_net(nested, blocks)  # type: ignore[arg-type]
    return topology_chart(net.masks(), title=_name(net), facts=_facts(net))


def topology_chart(
    masks: Sequence[np.ndarray], *, title: str = "Topology", facts: Sequence[str] = ()
) -> alt.TopLevelMixin:
    """A chain of masks [inputs, outputs] as a chart: connections above, adjacency below.

    A net with more than 6,000 connections is shown by its adjacency alone.

    Raises:
        UserError: no mask, one that is not a matrix, or widths that do not follow on each other.
    """
    masks = _chain(masks)
    edges = sum(int(np.count_nonzero(mask)) for mask in masks)
    pictures = alt.hconcat(*(_adjacency(mask, i) for i, mask in enumerate(masks, 1)), spacing=24)
    facts = list(facts)
    if edges > _MOST_EDGES:
        facts = [fact for fact in facts if fact != _LEGEND]
        facts.append(f"{edges:,} connections are too many to draw as lines")
        chart: alt.TopLevelMixin = pictures
    else:
        chart = alt.vconcat(_layers(masks), pictures, spacing=24)
    widths = [masks[0].shape[0], *(mask.shape[1] for mask in masks)]
    words = f"{title}: {'-'.join(map(str, widths))} neurons, {edges} connections"
    return finish(chart, title=title, subtitle=facts, description=words)


def adjacency_chart(mask: np.ndarray, title: str = "Adjacency") -> alt.TopLevelMixin:
    """One mask [inputs, outputs] as an image: a dark pixel is a connection."""
    (mask,) = _chain([mask])
    density = f"{np.count_nonzero(mask):,} of {mask.size:,} places are connections"
    return finish(_adjacency(mask, None), title=title, subtitle=density)


def _layers(masks: Sequence[np.ndarray]) -> alt.LayerChart:
    widths = [masks[0].shape[0], *(mask.shape[1] for mask in masks)]
    tall = max(widths)
    nodes = [
        {"layer": i, "place": _place(n, width, tall), "neuron": n}
        for i, width in enumerate(widths)
        for n in range(width)
    ]
    edges = [
        {
            "layer": i,
            "next": i + 1,
            "place": _place(int(a), mask.shape[0], tall),
            "end": _place(int(b), mask.shape[1], tall),
            "from": int(a),
            "to": int(b),
            "first": bool(a == 0),
        }
        for i, mask in enumerate(masks)
        for a, b in np.argwhere(mask)
    ]
    # Input 0 of each layer is picked out: its fan shows the rule that the others repeat.
    edges.sort(key=lambda edge: edge["first"])
    many = len(edges) > 400
    labels = " : ".join(f"datum.value == {i} ? '{width} neurons'" for i, width in enumerate(widths))
    x = alt.X(
        "layer:Q",
        title=None,
        axis=alt.Axis(
            values=list(range(len(widths))), labelExpr=f"{labels} : ''", grid=False,
            domain=False, ticks=False, orient="top", labelOverlap=False,
        ),
        scale=alt.Scale(domain=[0, len(masks)], nice=False),
    )  # fmt: skip
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.5, tall - 0.5], reverse=True))
    lines = (
        alt.Chart(alt.Data(values=edges))
        .mark_rule()
        .encode(
            x=x,
            y=y,
            x2="next:Q",
            y2="end:Q",
            color=alt.condition("datum.first", alt.value(_PICKED), alt.value(_EDGE)),
            opacity=alt.condition("datum.first", alt.value(1.0), alt.value(0.15 if many else 0.55)),
            strokeWidth=alt.condition(
                "datum.first", alt.value(1.8), alt.value(0.6 if many else 1.0)
            ),
            tooltip=[
                alt.Tooltip("layer:Q", title="layer"),
                alt.Tooltip("from:Q", title="from neuron"),
                alt.Tooltip("to:Q", title="to neuron"),
            ],
        )
    )
    dots = (
        alt.Chart(alt.Data(values=nodes))
        .mark_point(filled=True, color=_NODE, opacity=1, size=float(np.clip(3000 / tall, 3, 90)))
        .encode(x=x, y=y, tooltip=[alt.Tooltip("layer:Q"), alt.Tooltip("neuron:Q")])
    )
    height = int(np.clip(tall * 26, 120, 480))
    width = int(np.clip(170 * len(masks), 300, 900))
    return alt.layer(lines, dots).properties(width=width, height=height)


def _place(neuron: int, width: int, tall: int) -> float:
    """Narrow layers stand in the middle of the widest, at its spacing."""
    return neuron + (tall - width) / 2


def _adjacency(mask: np.ndarray, number: int | None) -> alt.Chart:
    """The mask as one picture: an image element stays small where rectangles would be many."""
    inputs, outputs = mask.shape
    side = 220
    scale = min(side / inputs, side / outputs)
    # A thin matrix is stretched to a strip that can still be seen.
    height, width = max(24, round(inputs * scale)), max(24, round(outputs * scale))
    row = {"url": _png(mask), "x": outputs / 2, "y": inputs / 2}
    which = "" if number is None else f"layer {number}: "
    density = np.count_nonzero(mask) / mask.size
    axis: dict[str, Any] = {"grid": False, "tickMinStep": 1, "format": "d", "domain": False}
    return (
        alt.Chart(alt.Data(values=[row]))
        .mark_image(width=width, height=height, aspect=False)
        .encode(
            x=alt.X(
                "x:Q",
                title="outputs",
                axis=alt.Axis(values=[0, outputs], orient="top", **axis),
                scale=_scale(outputs),
            ),
            y=alt.Y(
                "y:Q",
                title="inputs",
                axis=alt.Axis(values=[0, inputs], **axis),
                scale=_scale(inputs, reverse=True),
            ),
            url="url:N",
        )
        .properties(
            width=width,
            height=height,
            title=alt.TitleParams(
                f"{which}{inputs} x {outputs}, density {density:.4g}",
                fontSize=11,
                fontWeight="normal",
                color=INK,
            ),
            view=alt.ViewConfig(stroke=FAINT),
        )
    )


def _scale(length: int, *, reverse: bool = False) -> alt.Scale:
    return alt.Scale(domain=[0, length], nice=False, zero=False, reverse=reverse)


def _png(mask: np.ndarray) -> str:
    """The mask as a PNG data URL, dark where a connection is; large ones show local densities."""
    shade = 255 - np.round(255 * _shrunk(mask)).astype(np.uint8)
    # Small masks are enlarged here: a browser would blur the pixels when it does so itself.
    factor = max(1, 440 // max(shade.shape))
    shade = np.repeat(np.repeat(shade, factor, 0), factor, 1)
    height, width = shade.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), shade], 1)  # filter byte: none
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _shrunk(mask: np.ndarray) -> np.ndarray:
    """The mask as fractions, averaged over squares until no side exceeds 1,000."""
    step = -(-max(mask.shape) // _MOST_PIXELS)
    ones = (mask != 0).astype(np.float64)
    if step == 1:
        return ones
    sums = np.add.reduceat(ones, np.arange(0, mask.shape[0], step), 0)
    sums = np.add.reduceat(sums, np.arange(0, mask.shape[1], step), 1)
    sides = [np.diff([*range(0, n, step), n]) for n in mask.shape]
    means = sums / np.outer(*sides)
    return means / max(means.max(), 1e-9)


def _chain(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    chain = [np.asarray(mask) for mask in masks]
    if not chain:
        raise UserError("topology: expected at least 1 mask to draw, received none")
    for mask in chain:
        if mask.ndim != 2 or not mask.size:
            raise UserError(f"topology: expected masks [inputs, outputs], received {mask.shape}")
    for left, right in itertools.pairwise(chain):
        if left.shape[1] != right.shape[0]:
            raise UserError(
                f"topology: expected {left.shape[1]} inputs after a layer of as many outputs, "
                f"received {right.shape[0]}"
            )
    return chain


def _name(net: RadixNet) -> str:
    lists = ", ".join("(" + ",".join(map(str, system)) + ")" for system in net.radices)
    blocks = "" if set(net.blocks) == {1} else f", B = ({','.join(map(str, net.blocks))})"
    return f"RadiX-Net N = ({lists}){blocks}"


def _facts(net: RadixNet) -> list[str]:
    sparsity = ", ".join(f"{layer.sparsity:.4g}" for layer in net.layers)
    paths = "1 path joins" if net.paths == 1 else f"{net.paths:,} paths join"
    return [
        f"widths {'-'.join(map(str, net.widths))}, {net.connections:,} connections",
        f"sparsity by layer {sparsity}; {paths} any input to any output",
        _LEGEND,
    ]
