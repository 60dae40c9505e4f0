"""The router: `streamlit run dashboard/app.py -- --runs runs`."""

import sys
from pathlib import Path

import numpy as np
import streamlit as st

# Streamlit puts this file's folder on the path; the pages import `dashboard` from its parent.
PARENT = str(Path(__file__).resolve().parent.parent)
if PARENT not in sys.path:
    sys.path.insert(0, PARENT)

PAGES = (
    ("runs", "Runs", ":material/table_rows:"),
    ("run", "Run", ":material/show_chart:"),
    ("model", "Model", ":material/grid_on:"),
    ("landscape", "Landscape", ":material/landscape:"),
    ("figures", "Figures and claims", ":material/fact_check:"),
    ("deploy", "Deploy", ":material/deployed_code:"),
)

from tfsparse.charts.picture import png  # noqa: E402 the path is set above

# An icon of our own: for a page's named icon the browser would ask a font server on the internet.
ICON = png(np.eye(16, dtype=int) | np.eye(16, k=6, dtype=int) | np.eye(16, k=-9, dtype=int),
           np.array([[255, 255, 255], [0, 114, 178]]))  # fmt: skip

st.set_page_config(page_title="tfsparse", page_icon=ICON, layout="wide")
st.navigation(
    [
        st.Page(
            f"app_pages/{name}.py", title=title, icon=icon, url_path=name, default=name == "runs"
        )
        for name, title, icon in PAGES
    ],
    position="top",
).run()
