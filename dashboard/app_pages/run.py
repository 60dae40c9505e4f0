"""One run, or several in the same charts: its curves, its layers, its record."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import ahead, load, settings, show
from dashboard.url import PageState
from tfsparse.charts import inside
from tfsparse.charts.series import X_AXES, Source, available
from tfsparse.charts.sparsity import layers_chart
from tfsparse.charts.words import count, duration, markdown_text, percent
from tfsparse.errors import UserError, one_line

VIEWS = ("curves", "layers", "record")
MOST = 40


def main() -> None:
    """Draw the page."""
    root = settings.runs_folder()
    st.title("Run")
    table = load.runs(str(root))
    table = table[table["kind"] == "training"]
    if table.empty:
        show.nothing_yet(root, "runs", show.EXAMPLE)
        return
    state = PageState("run")
    names = list(table["name"])
    show.not_found(state.unknown("run", names))
    state.many("run", names, default=[ahead.newest(table)])
    left, right = st.columns([4, 1.4], vertical_alignment="bottom")
    chosen = left.multiselect(
        "Runs", names, key=state.key("run"), max_selections=MOST, placeholder="choose runs"
    )
    view = state.one("view", VIEWS)
    right.segmented_control("View", VIEWS, key=state.key("view"), format_func=str.capitalize)
    options = controls(state, shown=view == "curves")
    state.publish(run=chosen, view=view, **options)
    if not chosen:
        st.info("Choose one run, or several to compare them.")
        return
    picked = table[table["name"].isin(chosen)]
    for name, wrong in zip(picked["name"], picked["problem"], strict=True):
        if wrong:
            show.problem(f"{name}: {wrong}")
    if view == "curves":
        busy = bool((picked["state"] == "running").any())
        st.fragment(charts, run_every=2.0 if busy else None)(str(root), chosen, options)
        return
    if view == "layers":
        compared_layers(root, picked)
    # Only the open tab's part is made: a browser draws hidden charts, too, and takes its time.
    tabs = st.tabs([markdown_text(name) for name in picked["name"]], on_change="rerun")
    for tab, (_, row) in zip(tabs, picked.iterrows(), strict=True):
        if tab.open:
            with tab:
                (layers if view == "layers" else record)(root, row)


def controls(state: PageState, *, shown: bool) -> dict[str, object]:
    """How the curves are drawn."""
    options: dict[str, object] = {
        "smooth": state.number("smooth", ahead.DEFAULTS["smooth"], 0.0, 0.99),
        "x": state.one("x", tuple(X_AXES)),
        "log": state.flag("log"),
        "fold": state.flag("fold"),
        "more": state.flag("more"),
    }
    if not shown:
        return options
    columns = st.columns([2, 2, 1.4, 1.4, 1.4], vertical_alignment="bottom")
    columns[0].slider(
        "Smoothing", 0.0, 0.99, step=0.01, key=state.key("smooth"),
        help="Weight of the past in a moving average; the raw curve stays, faint",
    )  # fmt: skip
    columns[1].segmented_control("Horizontal axis", list(X_AXES), key=state.key("x"))
    columns[2].toggle("Losses on a log scale", key=state.key("log"))
    columns[3].toggle(
        "Fold replicates", key=state.key("fold"),
        help="One line per config: the mean over its seeds, with a band of one std",
    )  # fmt: skip
    columns[4].toggle(
        "More numbers", key=state.key("more"), help="Parts of the loss, images per second"
    )
    return options


def charts(root: str, chosen: list[str], options: dict[str, object]) -> None:
    """Every number of the logs, two charts in a row."""
    table = load.runs(root)
    sources: list[Source] = []
    for _, row in table[table["name"].isin(chosen)].iterrows():
        if row["state"] == "running":
            left = duration(row["seconds_left"])
            words = f"{row['name']}: step {count(row['step'])}, time left {left}"
            st.caption(markdown_text(words))
        try:
            found = load.source(Path(root), row)
        except UserError as error:
            show.problem(one_line(error))
            continue
        sources.append(found)
        if found.log.problem:
            show.problem(f"{row['name']}: {found.log.problem}")
    metrics = available(sources)
    if not metrics:
        st.info("These logs hold no numbers yet.")
        return
    shown = [name for name in ahead.SHOWN if name in metrics]
    rest = [name for name in metrics if name not in shown]
    columns = st.columns(2)
    for place, name in enumerate(shown):
        with columns[place % 2]:
            one_chart(sources, name, options)
    if rest and options["more"]:
        columns = st.columns(2)
        for place, name in enumerate(rest):
            with columns[place % 2]:
                one_chart(sources, name, options)


def one_chart(sources: list[Source], metric: str, options: dict[str, object]) -> None:
    """The chart of one metric."""
    figure = ahead.curve(settings.runs_folder(), sources, metric, options)
    show.chart(figure, f"run:{metric}")


def compared_layers(root: Path, picked: pd.DataFrame) -> None:
    """The final sparsity of each layer of the finished ones among the chosen runs."""
    finished = picked[picked["state"] == "finished"]
    summaries = {
        row["name"]: load.json_object(inside.inside(root, row["name"]), "summary.json")[0]
        for _, row in finished.head(8).iterrows()
    }
    methods = dict(zip(finished["name"], finished["method"].fillna("unknown"), strict=True))
    show.chart(layers_chart(summaries, methods, width="container"), "run:layers")


def layers(root: Path, row: pd.Series) -> None:
    """Sparsity and gradient flow of each layer of one run against step."""
    titles = ("Sparsity of each layer", "Gradient flow of each layer")
    specs = load.layers_specs(root, row["name"])
    for column, title, spec in zip(st.columns(2), titles, specs, strict=True):
        with column:
            st.caption(title)
            show.chart(spec, f"run:{title}:{row['name']}")


def record(root: Path, row: pd.Series) -> None:
    """Everything about one run that is no curve: results, command, config, environment."""
    folder = inside.inside(root, row["name"])
    facts = {
        "state": show.STATES[row["state"]],
        "accuracy": percent(row["accuracy"]),
        "sparsity": percent(row["sparsity"]),
        "step": count(row["step"]),
        "took": duration(row["seconds"]),
    }
    for column, (name, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(name, value)
    command = load.text(folder, "command.txt")
    if command:
        st.caption("Command; the same one resumes a stopped run")
        st.code(command.strip(), language="bash", wrap_lines=True)
    left, right = st.columns(2)
    for column, name, title in (
        (left, "config.json", "Config"),
        (right, "environment.json", "Environment"),
    ):
        value, wrong = load.json_object(folder, name)
        with column:
            st.caption(title)
            if wrong:
                show.problem(wrong)
            else:
                st.json(value, expanded=1)


main()
