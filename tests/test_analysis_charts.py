"""Charts of analyses from made-up folders: what they hold, and what they say when empty."""

import dataclasses
import json

import numpy as np
import pytest

from tfsparse import files
from tfsparse.charts.analysis import (
    gradient_norm,
    map_chart,
    norm_change,
    solution_map,
    spectrum,
)
from tfsparse.charts.study_data import StudyData
from tfsparse.charts.study_figures import FIGURES, check_figure
from tfsparse.charts.study_series import by_series


def study(root, pieces=(), table=()):
    """A study's results over made-up pieces."""
    return StudyData(
        title="made up", subtitle="test", root=root, table=list(table), reference=[],
        measures={"accuracy": {"label": "test accuracy", "percent": True}},
        pieces=[{"name": name, "kind": kind, "folder": name, "series": series, "at": {},
                 "seed": 0, "state": "finished"} for name, kind, series in pieces],
    )  # fmt: skip


def log(root, name, lines):
    (root / name).mkdir()
    (root / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def data_of(chart):
    """All inline rows of a chart."""
    text = chart.to_dict()
    found = []

    def walk(value):
        if isinstance(value, dict):
            found.extend(value.get("values", []) if "values" in value else [])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(text)
    return [row for row in found if isinstance(row, dict)]


def test_norms_are_folded_over_replicates(tmp_path):
    for name, norm in (("a", 1.0), ("b", 3.0)):
        log(tmp_path, name, [{"kind": "gradient_flow", "step": 0, "norm": norm}])
    chart = gradient_norm(study(tmp_path, [("a", "train", "rigl+"), ("b", "train", "rigl+")]))
    row = data_of(chart)[0]
    assert (row["mean"], row["n"], row["name"]) == (2.0, 2, "RigL+")
    assert row["high"] == pytest.approx(2 + np.sqrt(2))


def test_dead_networks_do_not_break_a_logarithmic_axis(tmp_path):
    log(tmp_path, "a", [{"kind": "gradient_flow", "step": 0, "norm": 0.0},
                        {"kind": "gradient_flow", "step": 1, "norm": 2.0}])  # fmt: skip
    rows = data_of(gradient_norm(study(tmp_path, [("a", "train", "scratch")])))
    assert [row["mean"] for row in rows if "mean" in row] == [2.0]


def test_changes_by_updates(tmp_path):
    log(tmp_path, "a", [{"kind": "mask_update", "step": step, "norm_change": value}
                        for step, value in ((0, 1.0), (10, -1.0))])  # fmt: skip
    rows = data_of(norm_change(study(tmp_path, [("a", "train", "set")]), window=1))
    assert {row["mean"] for row in rows if "step" in row} == {1.0, -1.0}


def test_spectra(tmp_path):
    (tmp_path / "a").mkdir()
    values = np.array([-0.1, 0.0, 0.0, 0.1, 5.0])
    files.write_npz(tmp_path / "a" / "eigenvalues.npz",
                    {"before_values": values, "after_values": values - 0.1})  # fmt: skip
    rows = data_of(spectrum(study(tmp_path, [("a", "analysis", "rigl")]), bins=10))
    before = [row["share"] for row in rows if row.get("moment") == "before"]
    assert len(before) == 20 and sum(before) / 2 == pytest.approx(1.0)  # two places per bin


def test_maps(tmp_path):
    (tmp_path / "m").mkdir()
    text = "run,method,seed,at,role,x,y\n"
    text += "p,pruned,0,end,solution,0,0\nq,lottery,1,end,run,1,0\nq,lottery,1,start,run,1,1\n"
    (tmp_path / "m" / "map.csv").write_text(text)
    chart = solution_map(study(tmp_path, [("m", "analysis", "map")]))
    assert {row["name"] for row in data_of(chart) if "name" in row} == {"pruned", "lottery"}
    scale = map_chart([{"method": "set", "seed": 0, "at": "end", "role": "run", "x": 1, "y": 1}])
    assert scale.to_dict()["width"] == scale.to_dict()["height"]


def test_measures_by_series(tmp_path):
    row = {"measure": "accuracy", "series": "scratch+", "at": {}, "n": 2, "mean": 0.5, "std": 0.1,
           "values": [0.4, 0.6], "dead": 0, "failed": 0, "open": 0}  # fmt: skip
    rows = data_of(by_series(study(tmp_path, table=[row])))
    assert {item["name"] for item in rows if "name" in item} == {"scratch+"}
    assert {item["from"] for item in rows if "from" in item} == {0.4}


def test_dead_replicates_do_not_hide_the_others(tmp_path):
    facts = {"label": "test accuracy", "percent": True, "dead_below": 0.2}
    row = {"measure": "accuracy", "at": {}, "failed": 0, "open": 0, "n": 2}
    rows = [
        {**row, "series": "pruned", "mean": 0.98, "std": 0.01, "values": [0.97, 0.99], "dead": 0},
        {**row, "series": "scratch", "mean": 0.5, "std": 0.6, "values": [0.1, 0.9], "dead": 1},
    ]
    found = dataclasses.replace(study(tmp_path, table=rows), measures={"accuracy": facts})
    whole, alive = by_series(found).to_dict()["concat"]
    assert alive["layer"][0]["encoding"]["y"]["scale"]["domain"] == ["pruned", "scratch"]
    means = {}
    for panel in (whole, alive):
        points = panel["layer"][-1]
        means[points["encoding"]["x"]["title"]] = {
            row["name"]: (row["mean"], row["std"], row["n"]) for row in points["data"]["values"]
        }
    assert means["test accuracy"]["scratch"] == (0.5, 0.6, 2)
    living = means["test accuracy, without dead replicates"]
    assert living["scratch"] == (0.9, None, 1)
    assert living["pruned"] == pytest.approx((0.98, 0.0002**0.5, 2))
    bars = data_of(by_series(found))
    assert max(bar["to"] for bar in bars if "to" in bar) == 1.0
    assert min(bar["from"] for bar in bars if "from" in bar) == 0.0
    # Nothing lives: there is nothing to look at more closely.
    dead = [{**rows[1], "mean": 0.1, "std": 0.0, "values": [0.1, 0.1], "dead": 2}]
    found = dataclasses.replace(found, table=dead)
    assert "concat" not in by_series(found).to_dict()


@pytest.mark.parametrize("draw", [gradient_norm, norm_change, spectrum, solution_map, by_series])
def test_nothing_to_draw_is_said(tmp_path, draw):
    text = json.dumps(draw(study(tmp_path)).to_dict())
    assert "yet." in text


def test_the_figures_are_known_to_studies():
    names = ("gradient_norm", "norm_change", "spectrum", "solution_map", "by_series")
    assert set(names) <= set(FIGURES)
    check_figure("by_series", {"measures": ["accuracy"]})
