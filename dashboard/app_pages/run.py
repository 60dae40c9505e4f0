"""One run, or several in the same charts."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import load, settings, show
from dashboard.url import PageState
from tfsparse.charts import inside
from tfsparse.charts.series import METRICS, Source, available
from tfsparse.charts.sparsity import layers_chart
from tfsparse.charts.words import count, duration, markdown_text, percent
from tfsparse.errors import UserError, one_line

FIRST = ("loss", "evaluation_accuracy", "accuracy", "learning_rate", "sparsity", "gradient_norm")
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
    newest = table.sort_values("age_seconds", kind="stable")["name"].iloc[0]
    show.not_found(state.unknown("run", names))
    state.many("run", names, default=[newest])
    chosen = st.multiselect(
        "Runs", names, key=state.key("run"), max_selections=MOST, placeholder="choose runs"
    )
    options = controls(state)
    state.publish(run=chosen, **options)
    if not chosen:
        st.info("Choose one run, or several to compare them.")
        return
    picked = table[table["name"].isin(chosen)]
    busy = bool((picked["state"] == "running").any())
    st.fragment(charts, run_every=2.0 if busy else None)(str(root), chosen, options)
    details(root, picked)


def controls(state: PageState) -> dict[str, object]:
    """How the charts are drawn."""
    state.number("smooth", 0.6, 0.0, 0.99)
    state.one("x", ("step", "epoch", "seconds"))
    state.flag("log")
    state.flag("fold")
    state.flag("more")
    columns = st.columns([2, 2, 1.4, 1.4, 1.4], vertical_alignment="bottom")
    smoothing = columns[0].slider(
        "Smoothing", 0.0, 0.99, step=0.01, key=state.key("smooth"),
        help="Weight of the past in a moving average; the raw curve stays, faint",
    )  # fmt: skip
    x = columns[1].segmented_control(
        "Horizontal axis", ["step", "epoch", "seconds"], key=state.key("x")
    )
    log = columns[2].toggle("Losses on a log scale", key=state.key("log"))
    fold = columns[3].toggle(
        "Fold replicates", key=state.key("fold"),
        help="One line per config: the mean over its seeds, with a band of one std",
    )  # fmt: skip
    more = columns[4].toggle(
        "More numbers", key=state.key("more"), help="Parts of the loss, images per second"
    )
    return {"smooth": smoothing, "x": x or "step", "log": log, "fold": fold, "more": more}


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
    shown = [name for name in FIRST if name in metrics]
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
    figure = load.training_spec(
        settings.runs_folder(),
        sources,
        metric,
        x=str(options["x"]),
        smoothing=float(options["smooth"]),  # type: ignore[arg-type]
        log_scale=bool(options["log"]) and METRICS[metric].log_scale,
        folded=bool(options["fold"]),
        width="container",
        height=240,
    )
    show.chart(figure, f"run:{metric}")


def details(root: Path, picked: pd.DataFrame) -> None:
    """Facts, layers, config, environment and command of the chosen runs."""
    st.header("Layers")
    finished = picked[picked["state"] == "finished"]
    summaries = {
        row["name"]: load.json_object(inside.inside(root, row["name"]), "summary.json")[0]
        for _, row in finished.head(8).iterrows()
    }
    methods = dict(zip(finished["name"], finished["method"].fillna("unknown"), strict=True))
    show.chart(layers_chart(summaries, methods, width="container"), "run:layers")
    for tab, (_, row) in zip(
        st.tabs([markdown_text(name) for name in picked["name"]]), picked.iterrows(), strict=True
    ):
        with tab:
            one_run(root, row)


def one_run(root: Path, row: pd.Series) -> None:
    """Everything about one run that is no curve."""
    folder = inside.inside(root, row["name"])
    if row["problem"]:
        show.problem(row["problem"])
    facts = {
        "state": show.STATES[row["state"]],
        "accuracy": percent(row["accuracy"]),
        "sparsity": percent(row["sparsity"]),
        "step": count(row["step"]),
        "took": duration(row["seconds"]),
    }
    for column, (name, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(name, value)
    titles = ("Sparsity of each layer", "Gradient flow of each layer")
    specs = load.layers_specs(root, row["name"])
    for column, title, spec in zip(st.columns(2), titles, specs, strict=True):
        with column:
            st.caption(title)
            show.chart(spec, f"run:{title}:{row['name']}")
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
