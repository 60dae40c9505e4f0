"""All runs in one table, live."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard import ahead, load, overview, settings, show
from dashboard.url import PageState
from tfsparse.charts.words import duration, markdown_text, percent

SHOWN_LIVE = 8
FILTERS = ("method", "model", "data", "state")


def main() -> None:
    """Draw the page."""
    root = settings.runs_folder()
    st.title("Runs")
    table = load.runs(str(root))
    training = table[table["kind"] == "training"]
    if training.empty:
        show.nothing_yet(root, "runs", show.EXAMPLE)
        show.problems(table)
        return
    wanted = filters(training)
    # While something trains the table follows it closely; otherwise it looks for new runs.
    busy = bool((training["state"] == "running").any())
    pace = 2.0 if busy else 10.0
    st.fragment(live, run_every=pace)(str(root), wanted)
    if overview.due():
        st.fragment(compared, run_every=pace)(str(root), wanted)
        ahead.begin(root, table)


def filters(table: pd.DataFrame) -> dict[str, object]:
    """The row of filters; what they say is in the URL."""
    state = PageState("runs")
    columns = st.columns(5)
    wanted: dict[str, object] = {}
    state.text("find")
    wanted["find"] = columns[0].text_input(
        "Name contains", key=state.key("find"), placeholder="pruned_80", max_chars=200
    )
    for column, name, label in zip(
        columns[1:], FILTERS, ("Method", "Model", "Data", "State"), strict=True
    ):
        options = sorted(table[name].dropna().unique())
        state.many(name, options)
        wanted[name] = column.multiselect(
            label, options, key=state.key(name), placeholder=f"every {label.lower()}"
        )
    state.publish(**wanted)
    return wanted


def live(root: str, wanted: dict[str, object]) -> None:
    """The part that follows the runs."""
    table = load.runs(root)
    table = table[table["kind"] == "training"]
    chosen = matching(table, wanted)
    counts = table["state"].value_counts()
    words = ", ".join(f"{counts[state]} {state}" for state in show.STATES if state in counts)
    st.caption(f"{len(chosen)} of {len(table)} runs shown: {words}")
    running = chosen[chosen["state"] == "running"]
    if not running.empty:
        progress(running)
    if chosen.empty:
        st.info("No run matches these filters; remove one of them.")
        return
    picked = rows(chosen)
    left, right = st.columns([1, 4], vertical_alignment="center")
    compare = left.button("Open selected", disabled=picked.empty, type="primary")
    right.caption("Tick rows at the left edge to compare them; click a heading to sort.")
    if compare:
        st.session_state["memory:run"] = {"run": list(picked["name"])}
        st.session_state.pop("run:run", None)
        st.switch_page("app_pages/run.py")
    show.problems(chosen)
    if set(table["state"]) - {"finished", "running"}:
        st.caption(show.LEGEND)


def compared(root: str, wanted: dict[str, object]) -> None:
    """The chart of the runs that are shown."""
    table = load.runs(root)
    overview.draw(matching(table[table["kind"] == "training"], wanted))


def matching(table: pd.DataFrame, wanted: dict[str, object]) -> pd.DataFrame:
    """The rows that pass the filters."""
    text = str(wanted["find"] or "").lower()
    if text:
        table = table[table["name"].str.lower().str.contains(text, regex=False)]
    for name in FILTERS:
        if wanted[name]:
            table = table[table[name].isin(wanted[name])]
    return table


def rows(table: pd.DataFrame) -> pd.DataFrame:
    """The table on the page; returns the rows that are ticked."""
    table = table.sort_values("age_seconds", kind="stable").reset_index(drop=True)
    now = pd.Timestamp.now(tz="UTC")
    shown = pd.DataFrame(
        {
            "run": table["name"],
            "state": table["state"].map(show.STATES),
            "method": table["method"],
            "model": table["model"],
            "data": table["data"],
            "sparsity": table["sparsity"],
            "accuracy": table["accuracy"],
            "progress": table["step"] / table["total_steps"],
            "rate": table["images_per_second"],
            "left": table["seconds_left"],
            "duration": table["seconds"],
            "changed": now - pd.to_timedelta(table["age_seconds"], unit="s"),
        }
    )
    if shown["left"].isna().all():  # nothing is running
        shown = shown.drop(columns="left")
    column = st.column_config
    event = st.dataframe(
        shown,
        key="runs:table",
        hide_index=True,
        on_select="rerun",
        selection_mode="multi-row",
        height=min(38 + 35 * len(shown), 640),
        column_config={
            "run": column.TextColumn("Run", width=240, pinned=True),
            "state": column.TextColumn("State", width="small"),
            "method": column.TextColumn("Method", width=140),
            "model": column.TextColumn("Model"),
            "data": column.TextColumn("Data", width="small"),
            "sparsity": column.NumberColumn(
                "Sparsity", format="percent", help="Removed part of all maskable weights"
            ),
            "accuracy": column.NumberColumn(
                "Accuracy", format="percent",
                help="On the test set when finished, else the newest evaluation",
            ),
            "progress": column.ProgressColumn("Progress", format="percent", width="small"),
            "rate": column.NumberColumn("Images/s", format="%.0f"),
            "left": column.NumberColumn("Left (s)", format="%.0f"),
            "duration": column.NumberColumn("Took (s)", format="%.0f"),
            "changed": column.DatetimeColumn("Changed", format="distance"),
        },
    )  # fmt: skip
    picked = [place for place in event.selection.rows if place < len(table)]
    return table.iloc[picked]


def progress(running: pd.DataFrame) -> None:
    """Step, rate and time left of every run in progress, and their loss."""
    for _, row in running.head(SHOWN_LIVE).iterrows():
        done = row["step"] / row["total_steps"] if row["total_steps"] else 0.0
        words = f"{row['name']}: step {row['step'] or 0:,.0f}"
        if row["total_steps"] == row["total_steps"]:
            words += f" of {row['total_steps']:,.0f}"
        if row["images_per_second"] == row["images_per_second"]:
            words += f", {row['images_per_second']:,.0f} images/s"
        if row["seconds_left"] == row["seconds_left"]:
            words += f", {duration(row['seconds_left'])} left"
        if row["accuracy"] == row["accuracy"]:
            words += f", accuracy {percent(row['accuracy'])}"
        st.progress(min(1.0, done) if done == done else 0.0, text=markdown_text(words))
    root = settings.runs_folder()
    sources = [load.source(root, row) for _, row in running.head(SHOWN_LIVE).iterrows()]
    spec = load.training_spec(root, sources, "loss", width="container", height=200)
    show.chart(spec, "runs:live")


main()
