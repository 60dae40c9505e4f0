"""The weights of one run: histograms, mask pictures, dead neurons, what is left to compute."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import load, settings, show
from dashboard.url import PageState
from tfsparse.charts import inside
from tfsparse.charts.masks import (
    layer_kernels,
    mask_chart,
    masked_entries,
    neuron_table,
    weight_histogram,
)
from tfsparse.charts.tables import dig
from tfsparse.charts.words import MISSING, count, percent

SOURCES = {
    "final": "final.npz",
    "initial": "initial.npz",
    "savedmodel": "SavedModel (imports TensorFlow)",
}


def main() -> None:
    """Draw the page."""
    root = settings.runs_folder()
    st.title("Model")
    table = load.runs(str(root))
    table = table[table["kind"] == "training"]
    if table.empty:
        show.nothing_yet(root, "runs", show.EXAMPLE)
        return
    state = PageState("model")
    names = list(table.sort_values("age_seconds", kind="stable")["name"])
    show.not_found(state.unknown("run", names))
    finished = table[table["state"] == "finished"]["name"]
    state.one("run", names, default=next((name for name in names if name in set(finished)), None))
    columns = st.columns([3, 2, 2])
    name = columns[0].selectbox("Run", names, key=state.key("run"))
    state.one("from", list(SOURCES))
    chosen = columns[1].selectbox(
        "Weights", list(SOURCES), key=state.key("from"), format_func=SOURCES.__getitem__
    )
    folder = inside.inside(root, name)
    weights, masks = read(folder, chosen)
    layers = list(layer_kernels(weights))
    state.one("layer", layers)
    if layers:
        layer = columns[2].selectbox("Layer", layers, key=state.key("layer"))
        state.publish(run=name, **{"from": chosen}, layer=layer)
        show_model(folder, weights, masks, layer)
        return
    state.publish(run=name, **{"from": chosen})
    st.info("No kernels to show: choose another run or other weights.")


def read(folder: Path, chosen: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Weights and masks; what is wrong with their files is shown."""
    if chosen == "savedmodel":
        weights, wrong = load.saved_model(folder)
    else:
        weights, wrong = load.arrays(folder, SOURCES[chosen])
    if wrong:
        show.problem(wrong)
    masks: dict[str, np.ndarray] = {}
    if chosen != "initial" and (folder / "masks.npz").exists():
        masks, wrong = load.arrays(folder, "masks.npz")
        if wrong:
            show.problem(f"{wrong}; places that hold 0 are taken for removed")
    return weights, masks


def show_model(
    folder: Path, weights: dict[str, np.ndarray], masks: dict[str, np.ndarray], layer: str
) -> None:
    """Facts of the whole model, then the chosen layer."""
    kept = masked_entries(weights, masks)
    table = computing(neuron_table(kept), folder)
    size, ones = int(table["size"].sum()), int(table["kept"].sum())
    others = sum(value.size for key, value in weights.items() if key.endswith(("/bias", "/gamma")))
    facts = {
        "kernel weights": count(size),
        "kept": count(ones),
        "sparsity": percent(1 - ones / size) if size else MISSING,
        "other parameters": count(others),
        "FLOPs per image": flops(table["flops"]),
        "FLOPs if dense": flops(table["dense_flops"]),
    }
    for column, (name, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(name, value)
    st.dataframe(table_for_people(table), hide_index=True, key="model:layers")
    st.caption(
        "Without input: outputs that keep no incoming weight and so are constant. Unused: inputs "
        "that keep no outgoing weight. FLOPs: a multiplication and an addition per kept weight and "
        "place of the image at which the kernel is applied, what an ideal sparse runtime needs."
    )
    left, right = st.columns(2)
    with left:
        show.chart(mask_chart(kept[layer], name=layer), f"model:mask:{layer}")
    with right:
        kernel = layer_kernels(weights)[layer]
        show.chart(
            weight_histogram(kernel, kept[layer], name=layer, width="container"),
            f"model:weights:{layer}",
        )


def computing(table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The table with operations per image, kept and dense, where the summary knows the places."""
    summary, _ = load.json_object(folder, "summary.json")
    places = [dig(summary, "layers", name, "positions") for name in table["layer"]]
    known = pd.Series(
        [place if isinstance(place, int) else np.nan for place in places], dtype="float64"
    )
    return table.assign(flops=2 * table["kept"] * known, dense_flops=2 * table["size"] * known)


def flops(column: pd.Series) -> str:
    """A column's sum; nothing where a layer's part is unknown."""
    return MISSING if column.isna().any() else f"{column.sum():,.0f}"


def table_for_people(table: pd.DataFrame) -> pd.DataFrame:
    """The table with headings in words."""
    shown = table.assign(sparsity=table["sparsity"].map(percent))
    for name in ("size", "kept", "flops", "dense_flops"):
        shown[name] = shown[name].map(count)
    return shown.rename(
        columns={
            "without_input": "without input",
            "size": "weights",
            "flops": "FLOPs",
            "dense_flops": "FLOPs if dense",
        }
    )


main()
