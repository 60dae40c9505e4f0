"""The router: the pages and their order. It runs whenever a page is drawn."""

import numpy as np
import streamlit as st

from tfsparse.charts.picture import png

PAGES = (
    ("runs", "Runs", ":material/table_rows:"),
    ("run", "Run", ":material/show_chart:"),
    ("model", "Model", ":material/grid_on:"),
    ("landscape", "Landscape", ":material/landscape:"),
    ("figures", "Figures and claims", ":material/fact_check:"),
    ("deploy", "Deploy", ":material/deployed_code:"),
)

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
