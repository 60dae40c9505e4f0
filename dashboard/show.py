"""Pieces of a page: charts, problems, what to type when there is nothing yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from tfsparse.charts import export
from tfsparse.charts.words import markdown_text

EXAMPLE = "python -m tfsparse.train --config configs/pruned_80.json"

STATES = {
    "finished": "✓ finished",
    "running": "● running",
    "stale": "◌ stale",
    "failed": "✗ failed",
    "stopped": "■ stopped",
    "broken": "⚠ broken",
}

LEGEND = (
    "Stale: still locked by its process, but without a log line for ten minutes. Stopped: ended "
    "before its last step (the same command carries on). Broken: a file cannot be read."
)


def chart(figure: Any, key: str) -> None:
    """A chart of `tfsparse.charts`, or its specification, with its own theme."""
    spec = export.to_spec(figure, validate=False)
    stretch = spec.get("width") == "container"
    if not stretch:  # Streamlit would squeeze title and axes into the width of the plot
        spec = {"autosize": {"type": "pad"}, **spec}
    st.vega_lite_chart(spec, theme=None, width="stretch" if stretch else "content", key=key)


def problem(text: str) -> None:
    """What is wrong, as plain text."""
    st.warning(markdown_text(text), icon=":material/warning:")


def problems(table: pd.DataFrame) -> None:
    """The folders of the table that could not be read whole, with the reason."""
    broken = table[table["problem"].notna()]
    if broken.empty:
        return
    words = "1 folder has a problem" if len(broken) == 1 else f"{len(broken)} folders have problems"
    with st.expander(words, expanded=len(broken) <= 3, icon=":material/warning:"):
        for name, text in zip(broken["name"][:50], broken["problem"][:50], strict=True):
            st.text(f"{name}: {text}")
        if len(broken) > 50:
            st.text(f"and {len(broken) - 50} more")


def nothing_yet(root: Path, what: str, command: str) -> None:
    """Say that there is nothing to show and what to type."""
    missing = not root.is_dir()
    where = f"the folder {root} does not exist yet" if missing else f"none in {root}"
    st.info(f"{markdown_text(f'No {what} yet: {where}.')} Type this in a terminal:")
    st.code(command, language="bash")


def not_found(names: list[str]) -> None:
    """Say which names of the URL lead nowhere."""
    for name in names[:5]:
        problem(f"The link names {name[:100]!r}, which is not in the runs folder.")
