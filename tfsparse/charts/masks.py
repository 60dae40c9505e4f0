"""Masks as pictures, weights as histograms, and what a mask leaves of each neuron."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from tfsparse.charts.picture import data_url, png
from tfsparse.charts.style import SERIES, finish, message_chart

KEPT, REMOVED = "#0072B2", "#f1f3f4"
LARGEST_SIDE = 4096
"""Beyond this many rows or columns, entries are pooled: a browser cannot show more pixels."""


def kernel_matrix(kernel: np.ndarray) -> np.ndarray:
    """A kernel as a matrix: inputs (kernel height x width x channels in) down, outputs across."""
    kernel = np.asarray(kernel)
    return kernel.reshape(-1, kernel.shape[-1]) if kernel.ndim else kernel.reshape(1, 1)


def masked_entries(
    weights: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Layer name -> its mask; where no mask is given, the kernel's nonzero places."""
    kernels = layer_kernels(weights)
    return {
        name: np.asarray(masks[name]) != 0
        if name in masks and np.shape(masks[name]) == kernel.shape
        else kernel != 0
        for name, kernel in kernels.items()
    }


def layer_kernels(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Layer name -> kernel, of weights keyed "<layer>/<weight>"."""
    return {
        key.removesuffix("/kernel"): np.asarray(value)
        for key, value in weights.items()
        if key.endswith("/kernel") and np.ndim(value) >= 2
    }


def mask_chart(mask: np.ndarray, *, name: str = "", width: int = 560, height: int = 560) -> Any:
    """The mask as one picture with pan (drag) and zoom (wheel); double click goes back.

    A dark pixel is a kept connection. The picture is an image inside the chart, not a mark per
    entry, so that a 784 x 300 mask moves smoothly.
    """
    matrix = kernel_matrix(np.asarray(mask) != 0)
    if matrix.size == 0:
        return message_chart("This layer has no weights.")
    inputs, outputs = matrix.shape
    # Pixels over outputs and inputs keep the matrix's shape, within reason.
    height = int(np.clip(width * inputs / outputs, 80, height))
    width = int(np.clip(height * outputs / inputs, 280, width))
    palette = np.array([_rgb(REMOVED), _rgb(KEPT)], np.uint8)
    pooled = _pool(matrix)
    if pooled.dtype != bool:  # shares of kept entries: shades between the two colours
        mix = np.linspace(0, 1, 256)[:, None]
        palette = (palette[0] * (1 - mix) + palette[1] * mix).astype(np.uint8)
        pooled = np.rint(pooled * 255).astype(np.uint8)
    url = data_url(png(pooled, palette))
    row = {"url": url, "left": 0, "right": outputs, "top": 0, "bottom": inputs}
    across = alt.X(
        field="left", type="quantitative", title="output neuron or channel",
        scale=alt.Scale(domain=[0, outputs], nice=False), axis=alt.Axis(grid=False, tickMinStep=1),
    )  # fmt: skip
    down = alt.Y(
        field="top", type="quantitative", title="input",
        scale=alt.Scale(domain=[0, inputs], nice=False, reverse=True),
        axis=alt.Axis(grid=False, tickMinStep=1),
    )  # fmt: skip
    move = alt.selection_interval(bind="scales", name="view")
    picture = (
        alt.Chart(alt.Data(values=[row]))
        .mark_image(aspect=False, clip=True, smooth=False)
        .encode(
            x=across,
            x2="right:Q",
            y=down,
            y2="bottom:Q",
            url=alt.Url(field="url", type="nominal"),
            # The dashboard gives every mark a tooltip otherwise; here it would show the URL.
            tooltip=alt.value(None),
        )
        .add_params(move)
        .properties(width=width, height=height)
    )
    sparsity = 1 - matrix.mean()
    title = f"{name}: " if name else ""
    words = f"{inputs} x {outputs}, {sparsity:.2%} removed"
    return finish(
        picture,
        title=f"{title}{words}",
        subtitle=["dark: kept", "drag: move, wheel: zoom, double click: back"],
        description=f"mask {title}{words}",
    )


def weight_histogram(
    kernel: np.ndarray, kept: np.ndarray | None = None, *, name: str = "", bins: int = 60,
    width: int | str = 560,
) -> Any:  # fmt: skip
    """Histogram of a kernel's kept weights; removed ones are counted in the subtitle, not drawn."""
    values = np.asarray(kernel, float)
    keep = values != 0 if kept is None else np.asarray(kept) != 0
    chosen = values[keep & np.isfinite(values)]
    if chosen.size == 0:
        return message_chart(f"{name or 'This layer'} keeps no weight.")
    table = histogram_table(chosen, bins)
    bars = (
        alt.Chart(table)
        .mark_bar(color=SERIES["test"], binSpacing=0)
        .encode(
            x=alt.X(
                field="low",
                type="quantitative",
                title="weight",
                bin="binned",
                axis=alt.Axis(tickCount=9, grid=False),
            ),
            x2="high:Q",
            y=alt.Y(field="count", type="quantitative", title="number of weights"),
            tooltip=[
                alt.Tooltip(field="low", type="quantitative", title="from", format=".3~g"),
                alt.Tooltip(field="high", type="quantitative", title="to", format=".3~g"),
                alt.Tooltip(field="count", type="quantitative", format=","),
            ],
        )
        .properties(width=width, height=220)
    )
    facts = f"{chosen.size:,} kept of {values.size:,}, std {chosen.std():.3g}"
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        facts += f", {bad} not finite"
    return finish(
        bars, title=f"{name}: weights" if name else "weights", subtitle=facts,
        description=f"histogram of the weights of {name or 'a layer'}: {facts}",
    )  # fmt: skip


def histogram_table(values: np.ndarray, bins: int = 60) -> pd.DataFrame:
    """low, high, count of equal bins over the range of `values`."""
    counts, edges = np.histogram(np.asarray(values, float).ravel(), bins=bins)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})


def neuron_table(kept: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Per layer: inputs, outputs, and neurons that no longer take part.

    Columns: layer, inputs, outputs, without_input (outputs that keep no incoming weight), unused
    (inputs that keep no outgoing weight), size, kept, sparsity (a fraction).
    """
    rows = []
    for name, mask in kept.items():
        matrix = kernel_matrix(np.asarray(mask) != 0)
        last_inputs = np.asarray(mask).shape[-2] if np.ndim(mask) >= 2 else 1
        per_input = np.any(matrix.reshape(-1, last_inputs, matrix.shape[1]), axis=(0, 2))
        size, ones = int(matrix.size), int(np.count_nonzero(matrix))
        rows.append(
            {
                "layer": name,
                "inputs": int(last_inputs),
                "outputs": int(matrix.shape[1]),
                "without_input": int(np.count_nonzero(~matrix.any(axis=0))),
                "unused": int(np.count_nonzero(~per_input)),
                "size": size,
                "kept": ones,
                "sparsity": 1 - ones / size if size else 0.0,
            }
        )
    columns = ["layer", "inputs", "outputs", "without_input", "unused", "size", "kept", "sparsity"]
    return pd.DataFrame(rows, columns=columns)


def _pool(matrix: np.ndarray) -> np.ndarray:
    """`matrix`, or the shares of kept entries in blocks when a side is longer than LARGEST_SIDE."""
    rows, columns = (max(1, -(-side // LARGEST_SIDE)) for side in matrix.shape)
    if rows == columns == 1:
        return matrix
    padded = np.pad(
        matrix.astype(float), [(0, -matrix.shape[0] % rows), (0, -matrix.shape[1] % columns)]
    )
    blocks = padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    return blocks.mean(axis=(1, 3))


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
