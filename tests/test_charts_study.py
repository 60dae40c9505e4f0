"""Studies and results between solutions, read from their folders."""

import json

import fabricated
import pandas as pd
import pytest

from tfsparse.charts.between import read_result, verdict_rows
from tfsparse.charts.export import to_spec, to_svg
from tfsparse.charts.paths import decomposition_chart, path_chart, term_table
from tfsparse.charts.plane import plane_chart
from tfsparse.charts.study import (
    CLAIM_COLUMNS,
    claims_table,
    fetches,
    find_studies,
    numbers_table,
    read_study,
)
from tfsparse.charts.words import (
    age,
    count,
    duration,
    markdown_table,
    markdown_text,
    missing,
    percent,
)


def test_study(tmp_path):
    folder = fabricated.make_study(tmp_path)
    assert find_studies(tmp_path) == [folder]
    study = read_study(folder, tmp_path)
    assert (study.name, study.title) == ("studies/gap_smoke", "The gap")
    assert study.subtitle == "gap, preset smoke · line: mean"
    assert study.complete and study.problems == [] and len(study.table) == 1
    assert study.claims["verdict"].tolist() == ["holds", "does not hold", "not decided"]
    assert study.claims["paper"].tolist() == ["0.98", "none given", ""]
    assert study.claims["ours"].tolist() == ["0.97 ± 0.001"] * 3
    assert study.claims["n"].tolist() == [3, 3, 3]


def test_numbers_are_read_in_percent_with_labels_and_without_empty_columns(tmp_path):
    folder = fabricated.make_study(tmp_path)
    (folder / "table.csv").write_text(
        "measure,series,sparsity,n,mean,std,dead,open,paper,commit,command\n"
        "accuracy,pruned,0.8,3,0.97,0.001,0,1,,abc,make\n"
        "barrier,line,0.8,3,2.5,0.5,0,0,,abc,make\n"
    )
    table = numbers_table(read_study(folder, tmp_path))
    assert list(table.columns) == ["measure", "series", "sparsity", "n", "mean", "std", "open"]
    assert list(table["measure"]) == ["test accuracy (%)", "barrier"]
    assert list(table["mean"]) == [97.0, 2.5] and list(table["std"]) == [0.1, 0.5]
    assert list(table["sparsity"]) == [0.8, 0.8]


@pytest.mark.parametrize("text", ["[]", "{", '{"measures": 3}', '{"measures": {"accuracy": [1]}}'])
def test_numbers_of_a_study_that_says_nothing_of_its_measures(tmp_path, text):
    folder = fabricated.make_study(tmp_path)
    (folder / "study.json").write_text(text)
    table = numbers_table(read_study(folder, tmp_path))
    assert list(table["measure"]) == ["accuracy"] and list(table["mean"]) == [0.97]
    (folder / "table.csv").write_text("a,b\n1,x\n")
    assert numbers_table(read_study(folder, tmp_path)).shape == (1, 2)


def test_unfinished_study(tmp_path):
    folder = fabricated.make_study(tmp_path)
    (folder / "summary.json").unlink()
    assert not read_study(folder, tmp_path).complete
    assert read_study(folder, tmp_path).problems == []


@pytest.mark.parametrize("name", ["figure.vl.json", "table.csv", "claims.json"])
def test_study_with_a_missing_or_broken_file(tmp_path, name):
    folder = fabricated.make_study(tmp_path)
    (folder / name).write_bytes(b'{"a\xff')
    (problem,) = read_study(folder, tmp_path).problems
    assert name in problem and str(tmp_path) not in problem
    (folder / name).unlink()
    (problem,) = read_study(folder, tmp_path).problems
    assert name in problem


def test_figure_that_would_fetch_is_not_drawn(tmp_path):
    folder = fabricated.make_study(tmp_path)
    spec = json.loads((folder / "figure.vl.json").read_text())
    spec["data"] = {"url": "http://example.org/data.json"}
    (folder / "figure.vl.json").write_text(json.dumps(spec))
    study = read_study(folder, tmp_path)
    assert study.figure is None and "outside itself" in study.problems[0]
    assert not fetches({"data": {"values": [{"url": "data:image/png;base64,"}]}})
    assert fetches({"layer": [{"encoding": {"href": "javascript:alert(1)"}}]})


def test_claims_on_fractions_are_in_percent_and_their_differences_in_points():
    measures = {"accuracy": {"percent": True}, "loss": {"percent": False}}
    ours = {"mean": 0.0125, "std": 0.005, "n": 3}
    claims = [
        {"measure": measure, "check": check, "ours": ours}
        for measure, check in (("accuracy", "not_worse"), ("accuracy", "value"), ("loss", "value"))
    ]
    found = claims_table(claims, measures)["ours"].tolist()
    assert found == ["1.25 ± 0.5 pp", "1.25 ± 0.5 %", "0.0125 ± 0.005"]
    assert claims_table(claims, {})["ours"].tolist() == ["0.0125 ± 0.005"] * 3


def test_odd_claims():
    table = claims_table([3, None, {}, {"verdict": "maybe", "ours": 4, "paper": 1}], {})
    assert list(table.columns) == CLAIM_COLUMNS and len(table) == 2
    assert table["verdict"].tolist() == ["not decided"] * 2 and table["ours"].tolist() == ["", ""]


def test_interpolation(tmp_path):
    result = read_result(fabricated.make_interpolation(tmp_path), tmp_path)
    assert result.title == "Interpolation: scratch (t = 0) to pruned (t = 1)"
    assert len(result.points) == 29 and list(result.verdicts) == ["line"]
    rows = dict(verdict_rows(result.verdicts["line"]))
    assert rows["a barrier lies between"] == "yes"
    assert rows["barrier: highest loss minus the larger end"] == "2 ± 0.01"
    assert not any("plateau" in words for words in rows)  # there is none
    unknown = dict.fromkeys(result.verdicts["line"])
    assert ("the loss falls monotonically", "not known") in verdict_rows(unknown)
    parts = {"barrier": 1.0, "l2": {"barrier": 3.0}}
    assert verdict_rows(parts, "l2") == [("barrier: highest loss minus the larger end", "3")]


def test_reversed_curve_names_its_ends(tmp_path):
    folder = fabricated.make_interpolation(tmp_path, kind="curve")
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {"t0_is": "end", "t1_is": "start", "verdict": {"line": {}, "curve": {}}}
    (folder / "summary.json").write_text(json.dumps(summary))
    result = read_result(folder, tmp_path)
    assert (result.start, result.end) == ("pruned", "scratch")
    assert list(result.verdicts) == ["line", "curve"]


@pytest.mark.parametrize("text", ["", "[]", '{"kind": 3, "start": 1, "verdict": []}'])
def test_broken_result(tmp_path, text):
    folder = fabricated.make_interpolation(tmp_path)
    (folder / "summary.json").write_text(text)
    (folder / "points.csv").write_bytes(b"\xff\xfe")
    result = read_result(folder, tmp_path)
    assert result.points.empty and result.problems


def test_plane_shows_cells_paths_and_corners(tmp_path):
    result = read_result(fabricated.make_interpolation(tmp_path, kind="curve"), tmp_path)
    assert len(result.plane) == 81 and len(result.drawn) == 25
    for term in ("objective", "accuracy"):
        svg = to_svg(plane_chart(result.plane, result.drawn, term))
        assert svg.count('aria-roledescription="rect mark"') == 81
        assert svg.count('aria-roledescription="line mark"') == 4  # curve and line, with rims
        assert all(word in svg for word in ("pruned", "scratch", "middle"))
    assert "No objective" in to_svg(plane_chart(pd.DataFrame(), pd.DataFrame()))
    assert 'rect mark"' in to_svg(plane_chart(result.plane, pd.DataFrame()))


def test_path_shows_line_curve_and_parts(tmp_path):
    points = read_result(fabricated.make_interpolation(tmp_path, kind="curve"), tmp_path).points
    table = term_table(points, ["objective"])
    assert len(table) == 58 and set(table["path"]) == {"line", "curve"}
    assert (table["high"] - table["low"]).to_numpy() == pytest.approx(0.008)
    assert term_table(points, ["l2"])["low"].tolist() == term_table(points, ["l2"])["high"].tolist()
    spec = to_spec(path_chart(points, "accuracy", start="a", end="b"))
    tips = json.dumps(spec["layer"][-1]["encoding"]["tooltip"])
    assert all(f'"field": "{name}"' in tips for name in ("t", "line", "curve"))
    svg = to_svg(decomposition_chart(points, path="curve"))
    assert svg.count('aria-roledescription="line mark"') == 3
    assert "No accuracy" in to_svg(path_chart(pd.DataFrame(), "accuracy"))


def test_words():
    assert percent(0.9553) == "95.53%" and percent(None) == "-" and percent(float("nan")) == "-"
    assert count(1234567) == "1,234,567" and missing(float("nan")) and not missing("")
    assert [duration(s) for s in (4.21, 42, 185, 7500, 270000)] == [
        "4.2 s", "42 s", "3 min 5 s", "2 h 5 min", "3 d 3 h"
    ]  # fmt: skip
    assert [age(s) for s in (5, 300, 7300, 200000)] == [
        "just now",
        "5 min ago",
        "2 h ago",
        "2 d ago",
    ]


def test_markdown_shows_text_and_nothing_else():
    evil = "![x](http://example.org) <b>b</b> | `c` $d$\n# e :red[f]"
    shown = markdown_text(evil)
    assert "\n" not in shown and "![" not in shown and "](" not in shown and "<b>" not in shown
    table = markdown_table(["a"], [[evil]])
    assert len(table.splitlines()) == 3 and "<b>" not in table and "![x](" not in table
