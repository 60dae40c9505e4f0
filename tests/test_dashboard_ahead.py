"""What the dashboard draws ahead is just what its pages then show, and is drawn once."""

import json
import sys
from datetime import datetime, timezone
from pathlib import Path

import fabricated
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs the extra [dashboard]")

from streamlit.testing.v1 import AppTest

from dashboard import ahead, load

PAGES = Path(ahead.__file__).parent / "app_pages"


@pytest.fixture
def root(tmp_path):
    fabricated.make_run(tmp_path, "pruned_80", steps=600)
    fabricated.make_interpolation(tmp_path, "between/curve", kind="curve")
    return tmp_path


def opened(root, page, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["app", "--runs", str(root)])
    return AppTest.from_file(str(PAGES / f"{page}.py"), default_timeout=60).run()


def must_not_draw(*_, **__):
    raise AssertionError("drawn by the page itself")


@pytest.mark.parametrize(("page", "charts"), [("run", 6), ("landscape", 4)])
def test_the_pages_find_their_first_charts_made(root, monkeypatch, page, charts):
    ahead.draw(root, load.runs(str(root)))
    for name in ("training_chart", "path_chart", "decomposition_chart", "plane_chart"):
        monkeypatch.setattr(load, name, must_not_draw)
    app = opened(root, page, monkeypatch)
    assert not app.exception
    assert len(app.get("vega_lite_chart")) == charts


def test_without_it_the_pages_draw_them(root, monkeypatch):
    monkeypatch.setattr(load, "training_chart", must_not_draw)
    assert opened(root, "run", monkeypatch).exception


def test_it_begins_once_per_newest_run(root):
    first = ahead.begin(root, load.runs(str(root)))
    first.join()
    assert ahead.begin(root, load.runs(str(root))) is None
    later = fabricated.make_run(root, "scratch_80", method="scratch", steps=600)
    summary = json.loads((later / "summary.json").read_text())
    now = datetime.now(timezone.utc).isoformat()
    (later / "summary.json").write_text(json.dumps({**summary, "finished_at": now}))
    load.runs.clear()
    table = load.runs(str(root))
    assert ahead.newest(table[table["kind"] == "training"]) == "scratch_80/seed_0"
    second = ahead.begin(root, table)
    second.join()
    assert not first.is_alive() and not second.is_alive()


def test_a_running_run_is_left_alone(tmp_path, monkeypatch):
    folder = fabricated.make_run(tmp_path, "pruned_80", steps=600, state="stopped")
    with fabricated.held(folder):
        table = load.runs(str(tmp_path))
    assert list(table["state"]) == ["running"]
    monkeypatch.setattr(load, "training_chart", must_not_draw)
    ahead.draw(tmp_path, table)


def test_broken_folders_are_left_to_the_pages(tmp_path):
    fabricated.make_broken(tmp_path)
    line = fabricated.make_interpolation(tmp_path)
    (line / "points.csv").write_bytes(b"\xff")
    ahead.draw(tmp_path, load.runs(str(tmp_path)))


def test_nothing_to_draw(tmp_path):
    table = load.runs(str(tmp_path))
    assert table.empty
    ahead.draw(tmp_path, table)
