"""Every study: its figure, its numbers, its claims with the paper's number, ours and a verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import load, settings, show
from dashboard.url import PageState
from tfsparse.charts import export
from tfsparse.charts.study import Study, numbers_table
from tfsparse.charts.words import MISSING, count, markdown_text

COMMAND = "python -m tfsparse.reproduce --config configs/reproduce/<study>.json"
MARKS = {"holds": "✓ holds", "does not hold": "✗ does not hold", "not decided": "? not decided"}


def main() -> None:
    """Draw the page."""
    st.title("Figures and claims")
    roots = {"runs": settings.runs_folder(), "recorded": settings.results_folder()}
    names = {
        f"{where}/{name}": (root, name)
        for where, root in roots.items()
        for name in load.studies(str(root))
    }
    if not names:
        show.nothing_yet(roots["runs"], "studies", COMMAND)
        return
    state = PageState("figures")
    show.not_found(state.unknown("study", names))
    state.one("study", list(names))
    chosen = st.selectbox("Study", list(names), key=state.key("study"))
    state.publish(study=chosen)
    root, name = names[chosen]
    show_study(load.one_study(Path(root), name))


def show_study(study: Study) -> None:
    """One study from top to bottom."""
    if study.figure is None:  # which carries its own heading
        st.header(markdown_text(study.title))
    if not study.complete:
        st.info("This study is not finished: the figure shows the pieces that are.")
    for text in study.problems:
        show.problem(text)
    if study.figure is not None:
        show.chart(study.figure, "figures:chart")
    downloads(study)
    if not study.claims.empty:
        claims(study.claims)
    if not study.table.empty:
        numbers(study)


def numbers(study: Study) -> None:
    """The table; the CSV above it has every column and digit."""
    st.subheader("Numbers")
    table = numbers_table(study)
    column = st.column_config.NumberColumn
    form = dict.fromkeys(("mean", "std", "min", "max", "paper"), "%.4g") | {"sparsity": "percent"}
    config = {
        name: column(format=words)
        for name, words in form.items()
        if name in table and pd.api.types.is_numeric_dtype(table[name])
    }
    st.dataframe(table, hide_index=True, key="figures:table", column_config=config)


def claims(table: pd.DataFrame) -> None:
    """The claims, with the tally of their verdicts."""
    st.subheader("Claims")
    counts = table["verdict"].value_counts()
    st.caption(", ".join(f"{counts[name]} {name}" for name in MARKS if name in counts))
    # A table that wraps its text, which a grid of cells would cut off. It reads Markdown.
    shown = pd.DataFrame(
        {
            "Verdict": table["verdict"].map(MARKS),
            "The paper says": table["sentence"].map(markdown_text),
            "Paper": table["paper"].replace("", MISSING).map(markdown_text),
            "Ours": table["ours"].replace("", MISSING).map(markdown_text),
            "n": table["n"].map(count),
            "Why": table["detail"].map(markdown_text),
        }
    )
    st.table(shown, hide_index=True)


def downloads(study: Study) -> None:
    """The figure and the table as files."""
    name = study.folder.name
    columns = st.columns([1, 1, 1, 1.3, 8])
    if not study.table.empty:
        columns[0].download_button(
            "CSV", export.to_csv(study.table), f"{name}.csv", "text/csv", key="figures:csv"
        )
    if study.figure is None:
        return
    spec = json.dumps(study.figure)
    for column, kind, mime in ((1, "png", "image/png"), (2, "svg", "image/svg+xml")):
        try:
            data = load.picture(kind, spec)
        except ValueError as error:  # vl-convert's word for a specification it cannot draw
            show.problem(f"{kind}: this figure cannot be drawn ({error})"[:300])
            continue
        columns[column].download_button(
            kind.upper(), data, f"{name}.{kind}", mime, key=f"figures:{kind}"
        )
    columns[3].download_button(
        "Vega-Lite", spec, f"{name}.vl.json", "application/json", key="figures:vl"
    )


main()
