"""All runs of a folder as one report: an HTML file that opens without network, or Markdown."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pandas as pd

from tfsparse import files
from tfsparse.charts import deploy, export
from tfsparse.charts.accuracy import accuracy_chart, group_table
from tfsparse.charts.between import KINDS, read_result, verdict_rows
from tfsparse.charts.inside import own_file
from tfsparse.charts.logs import read_log
from tfsparse.charts.paths import decomposition_chart, path_chart
from tfsparse.charts.plane import plane_chart
from tfsparse.charts.series import Source, available
from tfsparse.charts.sparsity import layers_chart
from tfsparse.charts.study import find_studies, read_study
from tfsparse.charts.tables import find_files, runs_table
from tfsparse.charts.training import training_chart
from tfsparse.charts.words import age, count, duration, markdown_table, missing, percent
from tfsparse.errors import UserError, one_line

CURVES = ("loss", "evaluation_accuracy", "sparsity", "gradient_norm")
MOST_GROUPS = 12
"""In one chart; more lines cannot be told apart."""
MOST_RUNS_PER_GROUP = 10
POINTS = 200
"""Per curve: a report is read, not zoomed into."""
WIDTH = 760


def html_report(root: str | os.PathLike[str], *, now: float | None = None) -> str:
    """The report as one HTML document."""
    table = runs_table(root, now=now)
    number = iter(range(10**6))
    blocks = list(_blocks(Path(root), table, lambda chart: export.chart_block(chart, next(number))))
    return export.page(f"tfsparse: {Path(root).name}", blocks)


def markdown_report(root: str | os.PathLike[str], *, now: float | None = None) -> str:
    """The tables of the report as Markdown."""
    table = runs_table(root, now=now)
    parts = [f"# Runs in {Path(root).name}\n", _counted(table) + "\n"]
    groups = group_table(table)
    if not groups.empty:
        parts += ["## Configs\n", markdown_table(_GROUP_HEADS, _group_cells(groups))]
        training = table[table["kind"] == "training"]
        parts += ["## Runs\n", markdown_table(_RUN_HEADS, _run_cells(training))]
    for folder in find_studies(root):
        study = read_study(folder, root)
        heads = ["claim", "the paper says", "paper", "ours", "n", "verdict"]
        columns = ["claim", "sentence", "paper", "ours", "n", "verdict"]
        parts += [f"## Study {study.name}\n"]
        parts += [markdown_table(heads, study.claims[columns].to_numpy(dtype=object).tolist())]
    broken = table[table["problem"].notna()]
    if not broken.empty:
        cells = broken[["name", "problem"]].to_numpy(dtype=object).tolist()
        parts += ["## Problems\n", markdown_table(["folder", "problem"], cells)]
    return "\n".join(parts)


def _blocks(root: Path, table: pd.DataFrame, draw: Callable[[Any], str]) -> Iterator[str]:
    made = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    yield f"<h1>Runs in {_text(root.name)}</h1>"
    yield f'<p class="faint">{_text(_counted(table))} Made {made}.</p>'
    training = table[table["kind"] == "training"]
    if training.empty:
        yield (
            "<p>No runs yet. Train one with <code>python -m tfsparse.train --config "
            "configs/pruned_80.json</code> and make this report again.</p>"
        )
    else:
        yield from _comparison(root, training, draw)
    yield from _studies(root, draw)
    yield from _landscapes(root, table, draw)
    yield from _deployments(root, draw)
    if not training.empty:
        yield "<h2>Runs</h2>"
        yield _table(_RUN_HEADS, _run_cells(training), numbers=_RUN_NUMBERS)
    broken = table[table["problem"].notna()]
    if not broken.empty:
        yield "<h2>Problems</h2>"
        cells = broken[["name", "problem"]].to_numpy(dtype=object).tolist()
        yield _table(["folder", "problem"], cells)


def _comparison(root: Path, training: pd.DataFrame, draw: Callable[[Any], str]) -> Iterator[str]:
    groups = group_table(training)
    yield "<h2>Configs</h2>"
    yield _table(_GROUP_HEADS, _group_cells(groups), numbers=_GROUP_NUMBERS)
    for (model, data), runs in training.groupby(["model", "data"], sort=False, dropna=False):
        yield f"<h2>{_text(model or 'unknown model')} on {_text(data or 'unknown data')}</h2>"
        if runs["accuracy"].notna().any():
            yield draw(accuracy_chart(runs, title="Accuracy against sparsity", width=WIDTH))
        chosen = list(dict.fromkeys(runs["group"]))[:MOST_GROUPS]
        sources = [
            Source(row["name"], row["group"], row["method"] or "unknown",
                   read_log(root / row["name"] / "metrics.jsonl"))
            for group in chosen
            for _, row in runs[runs["group"] == group].head(MOST_RUNS_PER_GROUP).iterrows()
        ]  # fmt: skip
        left_out = runs["group"].nunique() - len(chosen)
        if left_out:
            yield f'<p class="faint">The curves leave out {left_out} more configs.</p>'
        for metric in CURVES:
            if metric in available(sources):
                yield draw(
                    training_chart(
                        sources, metric, smoothing=0.6, folded=True, points=POINTS, width=WIDTH,
                        log_scale=metric == "loss",
                    )
                )  # fmt: skip
        yield from _layers(root, runs[runs["group"].isin(chosen)], draw)


def _layers(root: Path, runs: pd.DataFrame, draw: Callable[[Any], str]) -> Iterator[str]:
    done = runs[(runs["state"] == "finished") & (runs["sparsity"] > 0)].drop_duplicates("group")
    summaries: dict[str, Any] = {}
    for _, row in done.head(8).iterrows():
        try:
            value = files.read_json(own_file(root / row["name"], "summary.json"))
        except UserError:
            continue  # the table of problems says so
        summaries[row["group"]] = value
    if summaries:
        methods = dict(zip(done["group"], done["method"].fillna("unknown"), strict=True))
        yield draw(layers_chart(summaries, methods, title="Sparsity of each layer", width=WIDTH))


def _studies(root: Path, draw: Callable[[Any], str]) -> Iterator[str]:
    for folder in find_studies(root):
        study = read_study(folder, root)
        yield f"<h2>Study {_text(study.name)}</h2>"
        for problem in study.problems:
            yield f'<p class="problem">{_text(problem)}</p>'
        if study.figure is not None:
            yield draw(study.figure)
        if not study.claims.empty:
            heads = ["verdict", "the paper says", "paper", "ours", "n", "why"]
            columns = ["verdict", "sentence", "paper", "ours", "n", "detail"]
            yield _table(heads, study.claims[columns].to_numpy(dtype=object).tolist())


def _landscapes(root: Path, table: pd.DataFrame, draw: Callable[[Any], str]) -> Iterator[str]:
    for name in table[table["kind"].isin(KINDS)]["name"]:
        result = read_result(root / name, root)
        yield f"<h2>{_text(result.title)}</h2><p class='faint'>{_text(name)}</p>"
        for problem in result.problems:
            yield f'<p class="problem">{_text(problem)}</p>'
        if "t" in result.points:
            ends: dict[str, Any] = {"start": result.start, "end": result.end, "width": WIDTH}
            yield draw(path_chart(result.points, "objective", **ends))
            paths = result.points["path"].unique() if "path" in result.points else ["line"]
            for path in paths:
                yield draw(decomposition_chart(result.points, path=path, title=path, **ends))
        if not result.plane.empty:
            yield draw(plane_chart(result.plane, result.drawn, width=560))
        for path, verdict in result.verdicts.items():
            yield _table([path, ""], verdict_rows(verdict))


def _deployments(root: Path, draw: Callable[[Any], str]) -> Iterator[str]:
    for path in find_files(root, "deploy.json"):
        yield f"<h2>Deployment {_text(path.parent.relative_to(root).as_posix())}</h2>"
        try:
            report = deploy.read_deploy(own_file(path.parent, path.name))
            rows, chart = deploy.deploy_rows(report), draw(deploy.deploy_chart(report))
        except (UserError, TypeError, ValueError, KeyError, AttributeError) as error:
            yield f'<p class="problem">{_text(one_line(error))}</p>'
            continue
        yield _table(deploy.COLUMNS, rows)
        yield chart


_GROUP_HEADS = ["config", "method", "model", "data", "sparsity", "n", "accuracy", "std", "open"]
_GROUP_NUMBERS = {4, 5, 6, 7, 8}
_RUN_HEADS = [
    "run", "state", "method", "sparsity", "accuracy", "cross-entropy", "steps", "took", "finished"
]  # fmt: skip
_RUN_NUMBERS = {3, 4, 5, 6, 7}


def _group_cells(groups: pd.DataFrame) -> list[list[Any]]:
    return [
        [row.group, row.method, row.model, row.data, percent(row.sparsity), row.n,
         percent(row.mean), percent(row.std), row.not_finished or ""]
        for row in groups.itertuples()
    ]  # fmt: skip


def _run_cells(runs: pd.DataFrame) -> list[list[Any]]:
    return [
        [row.name, row.state, row.method, percent(row.sparsity), percent(row.accuracy),
         None if missing(row.loss) else f"{row.loss:.4f}", count(row.step),
         duration(row.seconds), age(row.age_seconds)]
        for row in runs.itertuples(index=False)
    ]  # fmt: skip


def _counted(table: pd.DataFrame) -> str:
    training = table[table["kind"] == "training"]
    counts = training["state"].value_counts()
    words = ", ".join(f"{number} {state}" for state, number in counts.items())
    return f"{len(training)} runs" + (f": {words}." if words else ".")


def _table(
    heads: Sequence[str], rows: Sequence[Sequence[Any]], *, numbers: set[int] | None = None
) -> str:
    numbers = numbers or set()

    def cell(tag: str, place: int, value: Any) -> str:
        kind = ' class="number"' if place in numbers else ""
        return f"<{tag}{kind}>{_text('-' if missing(value) else value)}</{tag}>"

    head = "".join(cell("th", place, name) for place, name in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(cell("td", place, value) for place, value in enumerate(row)) + "</tr>\n"
        for row in rows
    )
    inner = f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody>"
    return f'<div class="wide"><table>{inner}</table></div>'


def _text(value: Any) -> str:
    return html.escape(str(value))
