"""Every page with runs, without runs and with broken ones."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import fabricated
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs the extra [dashboard]")

from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from dashboard import overview

APP = Path(__file__).resolve().parent.parent / "dashboard" / "router.py"
PAGES = ("runs", "run", "model", "landscape", "figures", "deploy")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    root = tmp_path_factory.mktemp("good")
    for method in ("dense", "pruned", "scratch"):
        for seed in (0, 1):
            fabricated.make_run(root, f"{method}_80", method=method, seed=seed, steps=600)
    fabricated.make_study(root)
    fabricated.make_interpolation(root, "between/line")
    fabricated.make_interpolation(root, "between/curve", kind="curve")
    fabricated.make_deploy(root)
    return root


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    root = tmp_path_factory.mktemp("broken")
    fabricated.make_broken(root)
    study = fabricated.make_study(root)
    (study / "claims.json").write_text("{")
    line = fabricated.make_interpolation(root)
    (line / "points.csv").write_bytes(b"\xff")
    (root / "deploy.json").write_text('{"variants": [3]}')
    return root


@pytest.fixture
def open_page(monkeypatch):
    """Open a page of the app over a runs folder."""

    def opened(root, page="runs", **query):
        recorded = str(root / "no recorded results")
        monkeypatch.setattr(sys, "argv", ["app", "--runs", str(root), "--results", recorded])
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.run()
        app.switch_page(f"app_pages/{page}.py")
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return opened


def texts(app, *kinds):
    kinds = kinds or ("info", "warning", "text", "caption", "markdown")
    return "\n".join(str(item.value) for kind in kinds for item in getattr(app, kind))


def url(app):
    """The query of the page's URL; AppTest gives a value alone or a list, as it pleases."""
    query = {key: app.query_params[key] for key in app.query_params}
    return {key: value if isinstance(value, list) else [value] for key, value in query.items()}


def charts(app):
    """The specifications of the page's charts as text, with the data Streamlit sends apart."""
    found = []
    for item in app.get("vega_lite_chart"):
        parts = [item.proto.data, *(part.data for part in item.proto.datasets)]
        tables = [convert_arrow_bytes_to_pandas_df(part.data) for part in parts if part.data]
        found.append(item.proto.spec + "".join(table.to_csv() for table in tables))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_page_with_runs(open_page, good, page):
    app = open_page(good, page)
    assert not app.exception
    assert len(app.title) == 1
    if page != "deploy":  # which says why a file cannot be used
        assert not app.warning, texts(app, "warning")


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("exists", [True, False])
def test_page_without_runs(open_page, tmp_path, page, exists):
    root = tmp_path if exists else tmp_path / "not_there"
    app = open_page(root, page)
    assert not app.exception
    (code,) = app.code
    assert code.value.startswith("python -m tfsparse.")
    assert "Type this in a terminal" in app.info[0].value


@pytest.mark.parametrize("page", PAGES)
def test_page_with_broken_runs(open_page, broken, page):
    app = open_page(broken, page)
    assert not app.exception
    if page in ("landscape", "figures", "deploy"):
        assert app.warning


def test_runs_shows_states_and_problems(open_page, broken):
    app = open_page(broken)
    table = app.dataframe[0].value.set_index("run")
    assert table.loc["failed_run/seed_0", "state"] == "✗ failed"
    assert table.loc["half_log/seed_0", "state"] == "■ stopped"
    assert table.loc["corrupt_config/seed_0", "state"] == "⚠ broken"
    assert table.loc["sound/seed_0", "state"] == "✓ finished"
    shown = texts(app, "text")
    assert "malformed JSON at line 1" in shown
    # Text of a log is text: it never reaches an element that renders Markdown or HTML.
    assert "<script>" in shown and "<script>" not in texts(app, "markdown", "warning", "caption")


def test_runs_filters_and_puts_them_into_the_url(open_page, good):
    app = open_page(good, "runs", find="DENSE")
    assert app.dataframe[0].value["run"].tolist() == ["dense_80/seed_0", "dense_80/seed_1"]
    app.text_input[0].set_value("").run()
    app.multiselect[0].set_value(["scratch"]).run()
    assert len(app.dataframe[0].value) == 2
    assert url(app) == {"method": ["scratch"]}
    app.text_input[0].set_value("nothing like it").run()
    assert "No run matches" in app.info[0].value


def test_runs_follows_a_running_run(open_page, tmp_path):
    folder = fabricated.make_run(tmp_path, "slow", steps=2000, state="stopped")
    with fabricated.held(folder):
        app = open_page(tmp_path)
        row = app.dataframe[0].value.iloc[0]
        assert row["state"] == "● running" and row["left"] == pytest.approx(3.0)
        assert row["progress"] == 0.5 and len(charts(app)) == 1
        with open(folder / "metrics.jsonl", "a") as log:
            log.write(json.dumps({"kind": "train", "step": 1500, "loss": 0.5, "seconds": 4.5,
                                  "images_per_second": 1.0, "epoch": 1}) + "\n")  # fmt: skip
        time.sleep(1.1)  # the table is cached for a second
        assert app.run().dataframe[0].value.iloc[0]["progress"] == 0.75
        assert "1500" in charts(app)[0]


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(overview, "DELAY", 0.0)


def test_runs_waits_with_the_chart_until_the_table_is_there(open_page, good):
    app = open_page(good)
    app.session_state["runs:opened"] = time.monotonic()
    assert not charts(app.run()) and not app.subheader
    app.session_state["runs:opened"] -= 2 * overview.DELAY
    (chart,) = charts(app.run())
    heading = app.subheader[0].value.replace("\\", "")
    assert heading == "Accuracy against sparsity: lenet_300_100 on digits"
    assert chart.count("pruned_80/seed_") == 2 and "mean" in chart
    app.multiselect[0].set_value(["scratch"]).run()
    assert "pruned_80/" not in charts(app)[0] and "scratch_80/" in charts(app)[0]


def test_runs_draws_one_model_on_one_data_set(open_page, tmp_path, at_once):
    for name, data, day in (("one", "mnist", 3), ("two", "digits", 4), ("three", "digits", 5)):
        folder = fabricated.make_run(tmp_path, name, steps=200, weights=False)
        summary = json.loads((folder / "summary.json").read_text())
        summary |= {"data": data, "finished_at": f"2026-01-0{day}T00:00:00+00:00"}
        (folder / "summary.json").write_text(json.dumps(summary))
    app = open_page(tmp_path)
    assert app.subheader[0].value.endswith("on digits")
    assert "see the other" in texts(app, "caption")
    assert "two/" in charts(app)[0] and "one/" not in charts(app)[0]
    app = open_page(tmp_path, data="mnist")
    assert app.subheader[0].value.endswith("on mnist") and "one/" in charts(app)[0]
    assert "other" not in texts(app, "caption")


def test_runs_without_numbers_have_no_chart(open_page, tmp_path, at_once):
    fabricated.make_run(tmp_path, "slow", steps=200, state="stopped")
    app = open_page(tmp_path)
    assert not app.exception and not charts(app) and not app.subheader


def test_run_compares_and_folds(open_page, good):
    names = ["pruned_80/seed_0", "pruned_80/seed_1", "dense_80/seed_0"]
    app = open_page(good, "run", run=names, smooth="0", x="epoch")
    assert app.slider[0].value == 0 and sorted(app.multiselect[0].value) == sorted(names)
    drawn = charts(app)
    assert len(drawn) == 6 and "pruned_80/seed_1" in drawn[0]
    assert '"epoch"' in drawn[0]
    app.toggle[1].set_value(True).run()
    folded = charts(app)[0]
    assert "pruned_80/seed_1" not in folded and "std" in folded
    assert url(app)["fold"] == ["1"] and url(app)["run"] == names


def test_run_shows_layers_and_record_of_the_open_tab(open_page, good):
    names = ["pruned_80/seed_1", "dense_80/seed_0"]
    app = open_page(good, "run", run=names, view="layers", smooth="0.3")
    assert [tab.label for tab in app.tabs] == ["dense\\_80/seed\\_0", "pruned\\_80/seed\\_1"]
    compared, _, flow = charts(app)  # of both runs; then of the first alone
    assert "pruned_80/seed_1" in compared and "gradient" in flow.lower()
    assert url(app)["smooth"] == ["0.3"] and not app.slider
    app = open_page(good, "run", run=names[0], view="record")
    assert not charts(app)
    assert any("tfsparse.train" in item.value for item in app.code)
    assert {item.label: item.value for item in app.metric}["sparsity"] == "79.70%"


def test_run_says_what_is_wrong_with_a_log(open_page, broken):
    app = open_page(
        broken, "run", run=["half_log/seed_0", "no_log/seed_0", "corrupt_config/seed_0"]
    )
    assert not app.exception and charts(app)
    shown = texts(app, "warning").replace("\\", "")
    assert "half-written" in shown and "missing" in shown and "malformed JSON" in shown


def test_run_shows_1000_runs_to_choose_from(open_page, tmp_path):
    fabricated.make_many(tmp_path, 1000, 20)
    began = time.perf_counter()
    app = open_page(tmp_path)
    assert len(app.dataframe[0].value) == 1000 and not app.exception
    app.switch_page("app_pages/run.py").run()
    assert len(app.multiselect[0].options) == 1000
    assert time.perf_counter() - began < 15


def test_model_counts_by_the_mask(open_page, good):
    app = open_page(good, "model", run="pruned_80/seed_1", layer="logits")
    table = app.dataframe[0].value.set_index("layer")
    assert table.loc["dense1", "without input"] == 1 and table.loc["dense1", "weights"] == "235,200"
    facts = {item.label: item.value for item in app.metric}
    assert facts["kernel weights"] == "266,200" and facts["FLOPs if dense"] == "532,400"
    kept = int(facts["kept"].replace(",", ""))
    assert facts["FLOPs per image"] == f"{2 * kept:,}"
    mask, histogram = charts(app)
    assert "data:image/png" in mask and "logits" in histogram


def test_model_with_cut_weights(open_page, broken):
    app = open_page(broken, "model", run="cut_weights/seed_0")
    assert not app.exception and "final" in texts(app, "warning")
    app = open_page(broken, "model", run="cut_weights/seed_0", **{"from": "initial"})
    assert not app.exception and len(charts(app)) == 2


def test_landscape_shows_exact_numbers_and_verdict(open_page, good):
    app = open_page(good, "landscape", result="between/curve", term="cross_entropy")
    verdict = app.dataframe[0].value.set_index("verdict")["value"]
    assert verdict["a barrier lies between"] == "yes"
    drawn = charts(app)[0]
    assert "0 = scratch, 1 = pruned" in drawn and '"tooltip"' in drawn
    # The paths, the plane, and the parts of the loss of line and curve.
    assert len(charts(app)) == 4 and "corner: pruned" in charts(app)[1]
    app = open_page(good, "landscape", start="scratch_80/seed_0")
    assert app.selectbox[0].value == "scratch_80/seed_0"


def test_figures_show_claims_with_verdicts(open_page, good):
    app = open_page(good, "figures")
    claims = app.table[0].value
    assert claims["Verdict"].tolist() == ["✓ holds", "✗ does not hold", "? not decided"]
    assert claims["Paper"].tolist() == [r"0\.98", "none given", r"\-"]
    assert claims["n"].tolist() == ["3", "3", "3"]
    assert "<b>" not in claims["The paper says"][0]  # this table reads Markdown
    assert len(app.get("download_button")) == 4


def test_deploy_shows_what_is_refused_and_why(open_page, good):
    app = open_page(good, "deploy")
    table = app.dataframe[0].value.set_index("variant")
    assert table.loc["sparse", "size"] == "79.0 kB" and table.loc["sparse", "verdict"] == "pass"
    assert "int8\\_sparse" in texts(app, "warning") and "<b>" not in texts(app, "warning")
    assert len(charts(app)) == 1 and "phone" in texts(app, "caption")


@pytest.mark.parametrize(
    "name", ["../secret", "/etc", "..", "link/seed_0", "a\0b", "<script>alert(1)</script>"]
)
@pytest.mark.parametrize("page", ["run", "model"])
def test_names_of_the_url_stay_inside(open_page, tmp_path, page, name):
    fabricated.make_run(tmp_path / "secret", "x", steps=200)
    fabricated.make_run(tmp_path / "runs", "mine", steps=200)
    os.symlink(tmp_path / "secret" / "x", tmp_path / "runs" / "link")
    app = open_page(tmp_path / "runs", page, run=name)
    assert not app.exception
    assert "not in the runs folder" in texts(app, "warning")
    assert "<script>" not in texts(app, "warning", "markdown")


def test_broken_url_values_fall_back(open_page, good):
    app = open_page(good, "run", run="dense_80/seed_0", smooth="nan", x="furlong", log="maybe")
    assert not app.exception
    assert app.slider[0].value == 0.6 and url(app)["x"] == ["step"]


def test_choices_survive_a_change_of_page(open_page, good):
    app = open_page(good, "run", run="scratch_80/seed_1", smooth="0.3")
    app.switch_page("app_pages/runs.py")
    for key in list(app.query_params):  # a browser drops them on the way
        del app.query_params[key]
    app.run()
    assert app.title[0].value == "Runs"
    app.switch_page("app_pages/run.py").run()
    assert app.multiselect[0].value == ["scratch_80/seed_1"] and app.slider[0].value == 0.3


def test_started_without_flags_it_is_local_and_silent():
    text = (APP.parent / ".streamlit" / "config.toml").read_text()
    assert 'address = "localhost"' in text and "gatherUsageStats = false" in text


def test_two_hundred_runs_of_ten_thousand_lines_are_all_shown(open_page, tmp_path):
    fabricated.make_many(tmp_path, 200, 10_000)
    app = open_page(tmp_path)
    assert len(app.dataframe[0].value) == 200
    app.switch_page("app_pages/run.py").run()
    assert charts(app)


def test_no_page_but_model_imports_tensorflow(good):
    code = f"""
import sys
sys.argv = ["app", "--runs", {str(good)!r}]
from streamlit.testing.v1 import AppTest
app = AppTest.from_file({str(APP)!r}, default_timeout=60).run()
for page in {PAGES!r}:
    app.switch_page(f"app_pages/{{page}}.py").run()
    assert not app.exception, page
print([name for name in ("tensorflow", "keras", "tf_keras") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stdout + found.stderr[-2000:]
