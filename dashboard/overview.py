"""Below the table of runs: how accurate the finished ones are at their sparsities."""

from __future__ import annotations

import time

import pandas as pd
import streamlit as st

from dashboard import load, show
from tfsparse.charts.accuracy import LEGEND, trained
from tfsparse.charts.words import markdown_text

DELAY = 0.8
"""Seconds in which a visitor's browser fetches the table before anything else is made.

The browser counts them, from when it has the first part of the page.

A browser new to the page needs about a second for the library that draws charts. Once it has it,
the other pages, which begin with charts, open in half the time.
"""

DRAWN = ["name", "group", "method", "state", "step", "sparsity", "accuracy"]
"""What the chart is made of: the same chart is not drawn again because its runs grew older."""


def due() -> bool:
    """Whether this visitor's browser has had its time; before that, the page comes back by itself.

    Anything but the table belongs behind this question.
    """
    opened = st.session_state.setdefault("runs:opened", time.monotonic())
    if time.monotonic() - opened >= DELAY:
        return True
    st.fragment(_come_back, run_every=DELAY)(opened)
    return False


def _come_back(opened: float) -> None:
    if time.monotonic() - opened >= DELAY:
        st.rerun()


def draw(runs: pd.DataFrame) -> None:
    """Accuracy against sparsity of one model on one data set, those of the newest finished run.

    Args:
        runs: rows of the table of runs; without numbers among them nothing is drawn.
    """
    done = runs[trained(runs)].sort_values("age_seconds", kind="stable")
    if done.empty:
        return
    of = done["model"].fillna("unknown model") + " on " + done["data"].fillna("unknown data")
    st.subheader(markdown_text(f"Accuracy against sparsity: {of.iloc[0]}"))
    words = f"{LEGEND}."
    others = of.nunique() - 1
    if others:
        what = "the other" if others == 1 else f"the {others} others"
        words += f" Filter by model and data to see {what}."
    st.caption(words)
    shown = done.loc[of == of.iloc[0], DRAWN].sort_values("name")
    show.chart(load.accuracy_spec(shown), "runs:accuracy")
