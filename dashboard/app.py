"""The dashboard: `streamlit run dashboard/app.py -- --runs runs`."""

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import streamlit as st

# Streamlit puts this file's folder on the path; the pages import `dashboard` from its parent.
PARENT = str(Path(__file__).resolve().parent.parent)
if PARENT not in sys.path:
    sys.path.insert(0, PARENT)

SWITCH_INTERVAL = 0.0005  # seconds


@asynccontextmanager
async def ready(_: Any) -> AsyncIterator[None]:
    """Import what the pages need before the first visitor comes, who would wait a second for it.

    Threads that draw hand over sooner than Python's 5 ms: a page's messages wait at every turn.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    for name in ("dashboard.load", "PIL.Image"):
        importlib.import_module(name)
    yield


app = st.App("router.py", lifespan=ready)
