"""What the pages Run and Landscape show first, drawn while a visitor still reads the table.

A log of ten thousand lines and its six charts take a second to read and draw; a page that finds
them made opens in the time the browser needs.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import load
from tfsparse.charts.between import KINDS
from tfsparse.charts.paths import TERMS
from tfsparse.charts.series import METRICS, X_AXES, Source, available
from tfsparse.errors import UserError

SHOWN = ("loss", "evaluation_accuracy", "accuracy", "learning_rate", "sparsity", "gradient_norm")
"""The metrics that the page Run shows unasked."""

DEFAULTS: dict[str, Any] = {"smooth": 0.6, "x": next(iter(X_AXES)), "log": False, "fold": False}
"""How it draws them."""


def newest(training: pd.DataFrame) -> str:
    """The run that the page Run opens with."""
    return str(training.sort_values("age_seconds", kind="stable")["name"].iloc[0])


def curve(
    root: Path, sources: list[Source], metric: str, options: dict[str, Any]
) -> dict[str, Any]:
    """One chart of the page Run as a specification, with its options as in `DEFAULTS`."""
    return load.training_spec(
        root,
        sources,
        metric,
        x=str(options["x"]),
        smoothing=float(options["smooth"]),
        log_scale=bool(options["log"]) and METRICS[metric].log_scale,
        folded=bool(options["fold"]),
        width="container",
        height=240,
        legend=len(sources) > 1,
    )


def begin(root: Path, table: pd.DataFrame) -> threading.Thread | None:
    """Draw in the background what the pages would show now; None where that was begun before."""
    begun = _begun(str(root))
    with begun.lock:
        names = [name for name in _firsts(table) if name is not None]
        stamps = tuple(load.stamp(root / name / "summary.json") for name in names)
        if begun.last == (names, stamps):
            return None
        begun.last = (names, stamps)
    thread = threading.Thread(target=draw, args=(root, table), daemon=True)
    thread.start()
    return thread


def draw(root: Path, table: pd.DataFrame) -> None:
    """Fill the caches of `dashboard.load`; what cannot be read is left for the page to report."""
    run, result = _firsts(table)
    try:
        if run is not None:
            row = table[table["name"] == run].iloc[0]
            sources = [load.source(root, row)]
            metrics = available(sources)
            for metric in (name for name in SHOWN if name in metrics):
                curve(root, sources, metric, DEFAULTS)
        if result is not None:
            load.result(root, result)
            load.result_specs(root, result, TERMS[0], log_scale=False)
    except UserError:
        pass


def _firsts(table: pd.DataFrame) -> tuple[str | None, str | None]:
    """The run of the page Run, unless it is still running, and the result of Landscape."""
    training = table[table["kind"] == "training"]
    run = None if training.empty else newest(training)
    if run is not None and (table.loc[table["name"] == run, "state"] == "running").any():
        run = None  # its charts change before anybody looks
    results = table.loc[table["kind"].isin(KINDS), "name"]
    return run, None if results.empty else str(results.iloc[0])


class _Begun:
    """What was last begun for one folder of runs."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last: object = None


@st.cache_resource(max_entries=4, show_spinner=False)
def _begun(root: str) -> _Begun:
    return _Begun()
