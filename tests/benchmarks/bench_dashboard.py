"""How long the dashboard takes to draw its pages over many runs with long logs.

200 finished runs of 10,000 log lines each, one study, one curve, one deployment check. From the
address being opened in a tab to the table drawn, then each page from its link being clicked to its
last chart drawn; four times for each repeat: in a new browser, which has to fetch and compile
Streamlit's own scripts, with a new server; in a second tab of both, for which the browser keeps
what it compiled; in a third after the server was started anew; and in a fourth, as somebody meets
it who works with the dashboard daily. Between two clicks
the visitor reads for `READS` seconds. The aim: under 2 s and under 1 s. Beside it the least that
Streamlit takes on this machine now: a page of a heading and a table of 200 rows. Run it by

    python -m tests.benchmarks.bench_dashboard
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fabricated

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
# Page -> how many charts it shows.
PAGES = {"Run": 6, "Model": 2, "Landscape": 4, "Figures and claims": 1, "Deploy": 1, "Runs": 1}
READS = 3.0  # seconds
BARE = """
import pandas as pd
import streamlit as st

st.title("Runs")
st.dataframe(pd.DataFrame({"run": range(200)}))
"""

# The page of that heading is there, nothing is being computed, and its charts or table have marks.
DRAWN = """([title, charts]) => {
  const heading = document.querySelector('h1');
  if (!heading || heading.textContent.trim() !== title) return false;
  if (document.querySelector('[data-testid=stStatusWidget], [data-stale=true]')) return false;
  if (!charts) return !!document.querySelector('[data-testid=stDataFrame] canvas');
  const marks = '.role-mark path, .role-mark image';
  return [...document.querySelectorAll('[data-testid=stVegaLiteChart]')].filter(
    (chart) => chart.querySelector(marks)).length >= charts;
}"""


def make_runs(root: Path, runs: int, lines: int) -> None:
    """Something for every page."""
    fabricated.make_many(root, runs, lines)
    fabricated.make_run(root, "a_whole_run", steps=lines * 20, weights=True)  # stands first
    fabricated.make_study(root)
    fabricated.make_interpolation(root, "between/curve", kind="curve")
    fabricated.make_deploy(root)


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@contextmanager
def served(app: Path, root: Path, port: int) -> Iterator[str]:
    """The address of a server of `app` over `root` that has answered nobody yet."""
    command = [
        sys.executable, "-m", "streamlit", "run", str(app), "--server.port", str(port),
        "--server.headless", "true", "--server.address", "localhost",
        "--browser.gatherUsageStats", "false",
        "--", "--runs", str(root), "--results", str(root / "none"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        time.sleep(1.0)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def opened(playwright, profile: Path) -> Iterator:
    """A browser with the cache that `profile` holds; what it fetches is kept there."""
    context = playwright.chromium.launch_persistent_context(
        str(profile),
        executable_path=shutil.which("chromium"),
        args=FLAGS,
        viewport={"width": 1400, "height": 1000},
    )
    try:
        yield context
    finally:
        context.close()


def visit(context, address: str, pages: dict[str, int]) -> Iterator[tuple[str, float]]:
    """Open the first page in a new tab, then click through `pages`."""
    page = context.new_page()
    page.set_default_timeout(60_000)
    started = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(DRAWN, arg=["Runs", 0])
    yield "first page", time.perf_counter() - started
    for title, charts in pages.items():
        page.wait_for_timeout(1000 * READS)
        started = time.perf_counter()
        page.get_by_role("link", name=title, exact=True).click()
        page.wait_for_function(DRAWN, arg=[title, charts])
        yield title, time.perf_counter() - started
    page.close()


def measure(runs: int, lines: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of each step, one number per repeat."""
    from playwright.sync_api import sync_playwright

    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        root, bare = Path(folder) / "runs", Path(folder) / "bare.py"
        make_runs(root, runs, lines)
        bare.write_text(BARE)
        for repeat in range(repeats):
            for app, pages, prefix in ((bare, {}, "bare, "), (APP, PAGES, "")):
                port = free_port()
                with opened(playwright, Path(folder) / f"profile_{port}_{repeat}") as browser:
                    for visits in (("new browser", "second tab"), ("new server", "daily use")):
                        with served(app, root, port) as address:
                            for kind in visits:
                                for title, seconds in visit(browser, address, pages):
                                    found.setdefault(f"{kind}, {prefix}{title}", []).append(seconds)
    return found


def report(found: dict[str, list[float]]) -> str:
    """A line per page: median, least and most seconds."""
    lines = [f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"]
    for name, values in found.items():
        low, high = min(values), max(values)
        lines.append(f"{name:44} {statistics.median(values):.2f} s ({low:.2f} to {high:.2f})")
    return "\n".join(lines)


def test_the_dashboard_is_measured():
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which("chromium") is None:
        pytest.skip("no Chromium; apt-get install chromium")
    found = measure(runs=20, lines=1000, repeats=1)
    print(report(found))
    assert len(found) == 4 * (1 + len(PAGES)) + 4


def main() -> None:
    """Measure as the arguments say and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(report(measure(options.runs, options.lines, options.repeats)))


if __name__ == "__main__":
    main()
