"""Between two solutions: lines, Bezier curves, the parts of the loss, planes, verdicts."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import load, settings, show
from dashboard.url import PageState
from tfsparse.charts import export
from tfsparse.charts.between import KINDS, Result, verdict_rows
from tfsparse.charts.paths import LABELS, TERMS

ANY = "any solution"
COMMAND = (
    "python -m tfsparse.interpolate --config configs/interpolate_scratch.json"
    " --set name={name} start.run={start} end.run={end}"
)
EXAMPLE = COMMAND.format(
    name="scratch_to_pruned", start="runs/scratch_80/seed_0", end="runs/pruned_80/seed_0"
)


def main() -> None:
    """Draw the page."""
    root = settings.runs_folder()
    st.title("Landscape")
    table = load.runs(str(root))
    names = list(table[table["kind"].isin(KINDS)]["name"])
    if not names:
        show.nothing_yet(root, "lines, curves or planes", EXAMPLE)
        return
    results = {name: load.result(root, name) for name in names}
    state = PageState("landscape")
    show.not_found(state.unknown("result", names))
    fitting = choose_ends(state, results)
    if not fitting:
        st.info("Nothing was evaluated between these two. Type this in a terminal:")
        start, end = st.session_state[state.key("start")], st.session_state[state.key("end")]
        command = COMMAND.format(
            name="a_line", start=shlex.quote(str(root / start)), end=shlex.quote(str(root / end))
        )
        st.code(command, language="bash", wrap_lines=True)
        return
    state.one("result", fitting)
    left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
    chosen = left.selectbox(
        "Result", fitting, key=state.key("result"), format_func=lambda name: results[name].title
    )
    state.one("term", TERMS)
    term = middle.selectbox("Shown", TERMS, key=state.key("term"), format_func=LABELS.__getitem__)
    state.flag("log")
    log = right.toggle("Log scale", key=state.key("log"))
    state.publish(
        start=st.session_state[state.key("start")],
        end=st.session_state[state.key("end")],
        result=chosen,
        term=term,
        log=log,
    )
    specs = load.result_specs(root, chosen, term, log_scale=log)
    show_result(results[chosen], term, specs)


def choose_ends(state: PageState, results: dict[str, Result]) -> list[str]:
    """The pickers of the two solutions; the names of the results between them."""
    columns = st.columns(2)
    starts = [ANY, *sorted({run_name(result.start_run) for result in results.values()} - {""})]
    ends = [ANY, *sorted({run_name(result.end_run) for result in results.values()} - {""})]
    state.one("start", starts)
    state.one("end", ends)
    start = columns[0].selectbox("From", starts, key=state.key("start"))
    end = columns[1].selectbox("To", ends, key=state.key("end"))
    return [
        name
        for name, result in results.items()
        if start in (ANY, run_name(result.start_run)) and end in (ANY, run_name(result.end_run))
    ]


def run_name(path: str) -> str:
    """The last two parts of a run's folder: config and seed."""
    return "/".join(PurePath(path).parts[-2:])


def show_result(result: Result, term: str, specs: dict[str, Any]) -> None:
    """One result: chart, decomposition, verdicts beside them."""
    for text in result.problems:
        show.problem(text)
    if result.kind == "analysis":
        analysis(result)
        return
    left, right = st.columns([3, 2])
    with left:
        for name in ("path", "plane"):
            if name in specs:
                show.chart(specs[name], f"landscape:{name}:{term}")
        picture(result)
    with right:
        for path, verdict in result.verdicts.items():
            st.subheader(path.capitalize())
            rows = pd.DataFrame(verdict_rows(verdict, term), columns=["verdict", "value"])
            st.dataframe(rows, hide_index=True, key=f"landscape:verdict:{path}")
    if not specs["parts"]:
        return
    st.subheader("Parts of the loss")
    parts = specs["parts"].items()
    for column, (path, spec) in zip(st.columns(len(parts)), parts, strict=True):
        with column:
            show.chart(spec, f"landscape:parts:{path}")
    with st.expander("Numbers"):
        st.dataframe(result.points, hide_index=True, key="landscape:points")
    name = Path(result.name).name
    st.download_button(
        "CSV", export.to_csv(result.points), f"{name}.csv", "text/csv", key="landscape:csv"
    )


def analysis(result: Result) -> None:
    """What an analysis found: its figure, its table, its summary."""
    picture(result)
    if not result.points.empty:
        st.dataframe(result.points, hide_index=True, key="landscape:points")
    st.json(result.summary, expanded=1)


def picture(result: Result) -> None:
    """The figure the command left in its folder: planes and analyses have one of their own."""
    spec, wrong = load.figure(result.folder)
    if wrong:
        show.problem(wrong)
    if spec:
        show.chart(spec, "landscape:figure")


main()
