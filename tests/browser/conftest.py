"""A served dashboard and a headless Chromium, or a reason why there is none."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import fabricated

APP = Path(__file__).resolve().parents[2] / "dashboard" / "app.py"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """Chromium with an empty profile, driven by Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    # The system's own Chromium where there is one, else the one `playwright install` fetched.
    own = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
    profile = str(tmp_path_factory.mktemp("profile"))
    with api.sync_playwright() as playwright:
        try:
            context = playwright.chromium.launch_persistent_context(
                profile, executable_path=own, args=FLAGS, viewport={"width": 1400, "height": 1000},
                timeout=60_000,
            )  # fmt: skip
        except api.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}; apt-get install chromium")
        context.set_default_timeout(30_000)
        yield context
        context.close()


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Finished runs, a study, results between solutions, a deployment check."""
    root = tmp_path_factory.mktemp("runs")
    for method in ("dense", "pruned", "scratch"):
        for seed in (0, 1):
            fabricated.make_run(root, f"{method}_80", method=method, seed=seed, steps=600)
    fabricated.make_study(root)
    fabricated.make_interpolation(root, "between/curve", kind="curve")
    fabricated.make_deploy(root)
    return root


@pytest.fixture(scope="session")
def server(runs, tmp_path_factory):
    """The address of the dashboard over `runs`, started as `make dashboard` does."""
    pytest.importorskip("streamlit", reason="the dashboard needs the extra [dashboard]")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    command = [
        sys.executable, "-m", "streamlit", "run", str(APP), "--server.port", str(port),
        "--server.headless", "true", "--", "--runs", str(runs), "--results", str(runs / "none"),
    ]  # fmt: skip
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, cwd=log.parent,
            env={**os.environ, "HOME": str(log.parent)},
        )  # fmt: skip
    address = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail(f"the dashboard did not start: {log.read_text()[-2000:]}")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where screenshots go: the folder named by TFSPARSE_SCREENSHOTS, or a temporary one."""
    named = os.environ.get("TFSPARSE_SCREENSHOTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
