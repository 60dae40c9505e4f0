"""Cached readers of run folders: a file is read again when its time or size changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from tfsparse import files
from tfsparse.charts import between, export, inside, logs, study, tables
from tfsparse.charts.accuracy import accuracy_chart
from tfsparse.charts.paths import decomposition_chart, path_chart
from tfsparse.charts.plane import plane_chart
from tfsparse.charts.series import Source
from tfsparse.charts.sparsity import layer_gradient_chart, layer_sparsity_chart
from tfsparse.charts.training import training_chart
from tfsparse.errors import UserError, one_line

Stamp = tuple[int, int]
"""Time (ns) and size of a file; (0, 0) when it is missing."""


def stamp(path: Path) -> Stamp:
    """What changes when the file does."""
    try:
        facts = os.lstat(path)
    except OSError:
        return (0, 0)
    return (facts.st_mtime_ns, facts.st_size)


@st.cache_data(ttl=1.0, max_entries=4, show_spinner=False)
def runs(root: str) -> pd.DataFrame:
    """The table of all runs, at most a second old."""
    known = _finished_rows(root)
    return tables.table_of(
        root, [_row(folder, root, known) for folder in tables.find_folders(root)]
    )


Rows = dict[Path, tuple[tuple[Stamp, Stamp], dict[str, Any]]]
"""Folder -> stamps of its two files and what it said of itself."""


# One object for all finished runs: looking up a cached function costs more than reading a row.
@st.cache_resource(max_entries=4, show_spinner=False)
def _finished_rows(root: str) -> Rows:
    return {}


def _row(folder: Path, root: str, known: Rows) -> dict[str, Any]:
    """What a folder says of itself; a finished one says the same until its files change."""
    stamps = (stamp(folder / "config.json"), stamp(folder / "summary.json"))
    if folder in known and known[folder][0] == stamps:
        return known[folder][1]
    row = tables.read_row(folder, root)
    if row["state"] == "finished":
        known[folder] = (stamps, row)
    return row


def log(folder: Path) -> logs.Log:
    """A run's whole log."""
    path = folder / "metrics.jsonl"
    return _log(str(path), stamp(path))


# The log is shared between sessions and never changed: no copy is made of ten thousand lines.
@st.cache_resource(max_entries=64, show_spinner=False)
def _log(path: str, changed_with: Stamp) -> logs.Log:
    return logs.read_log(path)


def source(root: Path, row: Any) -> Source:
    """A row of the table of runs as a curve's source."""
    folder = inside.inside(root, row["name"])
    return Source(row["name"], row["group"], row["method"] or "unknown", log(folder))


def training_spec(root: Path, sources: list[Source], metric: str, **options: Any) -> dict[str, Any]:
    """`tfsparse.charts.training.training_chart` as a specification, drawn once per log's state."""
    runs = tuple(
        (str(path), stamp(path), source.run, source.group, source.method)
        for source in sources
        for path in [root / source.run / "metrics.jsonl"]
    )
    return _training_spec(runs, metric, options)


@st.cache_data(max_entries=256, show_spinner=False)
def _training_spec(
    runs: tuple[tuple[str, Stamp, str, str, str], ...], metric: str, options: dict[str, Any]
) -> dict[str, Any]:
    sources = [
        Source(run, group, method, _log(path, changed_with))
        for path, changed_with, run, group, method in runs
    ]
    return export.to_spec(training_chart(sources, metric, **options), validate=False)


@st.cache_data(max_entries=64, show_spinner=False)
def accuracy_spec(runs: pd.DataFrame) -> dict[str, Any]:
    """`tfsparse.charts.accuracy.accuracy_chart` of rows of the table of runs."""
    return export.to_spec(accuracy_chart(runs, width="container"), validate=False)


def layers_specs(root: Path, name: str) -> list[dict[str, Any]]:
    """Sparsity and gradient flow of each layer of one run, as specifications."""
    path = inside.inside(root, name) / "metrics.jsonl"
    return _layers_specs(str(path), stamp(path))


@st.cache_data(max_entries=64, show_spinner=False)
def _layers_specs(path: str, changed_with: Stamp) -> list[dict[str, Any]]:
    log = _log(path, changed_with)
    return [
        export.to_spec(draw(log, width="container"), validate=False)
        for draw in (layer_sparsity_chart, layer_gradient_chart)
    ]


def json_object(folder: Path, name: str) -> tuple[dict[str, Any], str | None]:
    """A JSON file of a run, and what is wrong with it."""
    path = folder / name
    return _json_object(str(folder), name, stamp(path))


@st.cache_data(max_entries=512, show_spinner=False)
def _json_object(folder: str, name: str, changed_with: Stamp) -> tuple[dict[str, Any], str | None]:
    try:
        value = files.read_json(inside.own_file(Path(folder), name))
    except UserError as error:
        return {}, one_line(error).replace(f"{folder}/", "")
    if not isinstance(value, dict):
        return {}, f"{name}: expected a JSON object"
    return value, None


def text(folder: Path, name: str) -> str | None:
    """A small text file of a run, or None."""
    try:
        return files.read_text(inside.own_file(folder, name))[:20_000]
    except UserError:
        return None


def arrays(folder: Path, name: str) -> tuple[dict[str, np.ndarray], str | None]:
    """The arrays of an `.npz` file of a run, not to be changed, and what is wrong with it."""
    path = folder / name
    return _arrays(str(folder), name, stamp(path))


@st.cache_resource(max_entries=6, show_spinner=False)
def _arrays(
    folder: str, name: str, changed_with: Stamp
) -> tuple[dict[str, np.ndarray], str | None]:
    try:
        return files.read_npz(inside.own_file(Path(folder), name)), None
    except UserError as error:
        return {}, one_line(error).replace(f"{folder}/", "")


@st.cache_data(ttl=5.0, max_entries=4, show_spinner=False)
def studies(root: str) -> list[str]:
    """The names of the studies below `root`, at most five seconds old."""
    return [folder.relative_to(root).as_posix() for folder in study.find_studies(root)]


def one_study(root: Path, name: str) -> study.Study:
    """One study's results."""
    folder = inside.inside(root, name)
    names = ("figure.vl.json", "table.csv", "claims.json", "summary.json", "study.json")
    return _study(str(folder), str(root), tuple(stamp(folder / name) for name in names))


@st.cache_data(max_entries=32, show_spinner=False)
def _study(folder: str, root: str, changed_with: tuple[Stamp, ...]) -> study.Study:
    return study.read_study(folder, root)


def result(root: Path, name: str) -> between.Result:
    """A result between solutions."""
    folder = inside.inside(root, name)
    stamps = tuple(stamp(folder / name) for name in between.FILES)
    return _result(str(folder), str(root), stamps)


@st.cache_data(max_entries=512, show_spinner=False)
def _result(folder: str, root: str, changed_with: tuple[Stamp, ...]) -> between.Result:
    return between.read_result(folder, root)


def result_specs(root: Path, name: str, term: str, *, log_scale: bool) -> dict[str, Any]:
    """The charts of a result as specifications, drawn once per state of its files.

    Keys: `path` and `plane`, each only where there is something to draw, and `parts`: path ->
    the decomposition of its loss.
    """
    folder = inside.inside(root, name)
    stamps = tuple(stamp(folder / name) for name in between.FILES)
    return _result_specs(str(folder), str(root), stamps, term, log_scale)


@st.cache_data(max_entries=256, show_spinner=False)
def _result_specs(
    folder: str, root: str, changed_with: tuple[Stamp, ...], term: str, log_scale: bool
) -> dict[str, Any]:
    result = _result(folder, root, changed_with)
    points, ends = result.points, {"start": result.start, "end": result.end}
    specs: dict[str, Any] = {"parts": {}}
    if not result.plane.empty:
        chart = plane_chart(result.plane, result.drawn, term, log_scale=True, width=540)
        specs["plane"] = export.to_spec(chart, validate=False)
    if points.empty or result.kind == "analysis":
        return specs
    log_scale = log_scale and term != "accuracy"
    chart = path_chart(points, term, log_scale=log_scale, width="container", **ends)
    specs["path"] = export.to_spec(chart, validate=False)
    for path in map(str, dict.fromkeys(points["path"]) if "path" in points else ["line"]):
        chart = decomposition_chart(points, path=path, width="container", title=path, **ends)
        specs["parts"][path] = export.to_spec(chart, validate=False)
    return specs


def figure(folder: Path) -> tuple[dict[str, Any], str | None]:
    """The figure a command left in its folder, if any, and what is wrong with it."""
    if not (folder / "figure.vl.json").exists():
        return {}, None
    spec, wrong = json_object(folder, "figure.vl.json")
    if study.fetches(spec):
        return {}, "figure.vl.json: refers to data outside itself and is not drawn"
    return spec, wrong


def saved_model(folder: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """The weights of a run's SavedModel, and what is wrong with it; imports TensorFlow."""
    path = folder / "saved_model"
    index = path / "variables" / "variables.index"
    return _saved_model(str(folder), stamp(index))


@st.cache_resource(max_entries=4, show_spinner="Reading the SavedModel's variables")
def _saved_model(folder: str, changed_with: Stamp) -> tuple[dict[str, np.ndarray], str | None]:
    from dashboard.saved_model import read_variables

    try:
        path = inside.own_file(Path(folder), "saved_model")
        inside.own_file(path, "variables")
        return read_variables(path), None
    except UserError as error:
        return {}, one_line(error)


@st.cache_data(max_entries=64, show_spinner=False)
def picture(kind: str, spec: str) -> bytes:
    """A Vega-Lite specification as png or svg."""
    chart = json.loads(spec)
    return export.to_png(chart) if kind == "png" else export.to_svg(chart).encode()


@st.cache_data(ttl=5.0, max_entries=4, show_spinner=False)
def deploy_files(root: str) -> list[str]:
    """The `deploy.json` files below `root`, at most five seconds old."""
    found = tables.find_files(root, "deploy.json")
    return [path.relative_to(root).as_posix() for path in found]
