"""The figures of many paths: what is averaged, told apart and cut; studies that hold paths."""

import json
from pathlib import Path

import altair as alt
import pandas as pd
import pytest

from tfsparse import files
from tfsparse.charts.landscape import _band, log_ticks, paths
from tfsparse.charts.study_data import StudyData
from tfsparse.errors import UserError
from tfsparse.studies.plan import make_plan
from tfsparse.studies.read import read_study
from tfsparse.studies.runners import check_piece

STUDIES = Path(__file__).parents[1] / "configs" / "reproduce"


def write_piece(root, name, series, at, kind, seed, levels):
    """A finished line (levels by t) or curve (levels by path and t)."""
    folder = root / name
    columns = "t,objective,cross_entropy,l2,accuracy,objective_se,cross_entropy_se\n"
    if kind == "curve":
        rows = [f"{path},{t},{y},{y},0.0,0.5,0,0" for path, ys in levels.items() for t, y in ys]
        text = "path," + columns + "\n".join(rows)
        zero, one = "end", "start"
    else:
        text = columns + "\n".join(f"{t},{y},{y},0.0,0.5,0,0" for t, y in levels)
        zero, one = "start", "end"
    files.write_text(folder / "points.csv", text + "\n")
    files.write_json(
        folder / "summary.json",
        {"t0_is": zero, "t1_is": one, "start": {"label": "S"}, "end": {"label": "P"}},
    )
    return {"name": name, "kind": kind, "folder": name, "series": series, "at": at, "seed": seed}


@pytest.fixture
def data(tmp_path):
    pieces = [
        write_piece(tmp_path, f"l{s}_{seed}", "line", {"sparsity": s}, "interpolation", seed,
                    [(0.0, 4.0 + seed), (1.0, 1.0)])
        for s in (0.8, 0.9) for seed in (0, 2)
    ]  # fmt: skip
    pieces.append(
        write_piece(tmp_path, "c", "curve", {"sparsity": 0.8}, "curve", 0,
                    {"line": [(0.0, 1.0), (1.0, 9.0)], "curve": [(0.0, 1.0), (1.0, 2.0)]})
    )  # fmt: skip
    pieces.append({**pieces[0], "name": "open", "folder": "nowhere", "seed": 7})
    pieces.append({**pieces[0], "kind": "train", "series": "pruned"})
    return StudyData("Title", "below", {}, [], [], pieces, tmp_path)


def rows_of(chart, panel=0):
    """The rows a panel draws."""
    spec = chart.to_dict()
    panels = spec.get("hconcat") or [p for row in spec["vconcat"] for p in row["hconcat"]]
    return panels[panel]["layer"][1]["data"]["values"], panels


def test_replicates_are_averaged_by_group(data):
    rows, panels = rows_of(paths(data))
    assert len(panels) == 2
    first = next(row for row in rows if row["t"] == 0.0 and row["group"] == "80%")
    assert (first["mean"], first["n"]) == (5.0, 2)
    assert first["high"] - first["mean"] == pytest.approx(2**0.5)
    assert {row["group"] for row in rows} == {"80%", "90%"}
    # Thin lines show the replicates of groups of several.
    each = panels[0]["layer"][2]["data"]["values"]
    values = [row["value"] for row in each if row["t"] == 0.0 and row["group"] == "80%"]
    assert values == [4.0, 6.0] and {row["group"] for row in each} == {"80%", "90%"}
    assert all(not panel["layer"][2]["data"]["values"] for panel in panels[1:])
    assert panels[0]["layer"][1]["encoding"]["x"]["title"] == ["0: S", "1: P"]
    assert panels[1]["layer"][1]["encoding"]["x"]["title"] == ["0: P", "1: S"]


def test_bands_keep_within_what_a_loss_or_an_accuracy_can_be():
    far = [pd.DataFrame({"t": [0.0], "objective": [v], "accuracy": [1 - v]}) for v in (0.0, 0.9)]
    (loss,) = _band("80%", far, "objective")
    assert loss["low"] == 0.0 and loss["high"] == pytest.approx(0.45 + 0.9 / 2**0.5)
    (accuracy,) = _band("80%", far, "accuracy")
    assert accuracy["high"] == 1.0 and accuracy["low"] == 0.0


def test_panels_choose_series_and_paths(data):
    chosen = [{"series": "curve", "path": "line", "title": "straight"}, {"series": "curve"}]
    chart = paths(data, panels=chosen, terms=["objective", "l2"])
    line, panels = rows_of(chart)
    assert [row["mean"] for row in line] == [1.0, 9.0] and panels[0]["title"]["text"] == "straight"
    assert [row["mean"] for row in rows_of(chart, 1)[0]] == [1.0, 2.0]
    assert len(panels) == 4 and [row["mean"] for row in rows_of(chart, 2)[0]] == [0.0, 0.0]


def test_axes_are_cut_and_logarithmic_where_asked(data):
    _, panels = rows_of(paths(data, high=3.0))
    scale = panels[0]["layer"][1]["encoding"]["y"]["scale"]
    assert scale["domain"] == [0.0, 3.0] and "clamp" not in scale
    assert panels[0]["layer"][1]["mark"]["clip"]
    rows, panels = rows_of(paths(data, log_scale=True, terms=["l2"]))
    assert rows == []
    assert panels[0]["layer"][1]["encoding"]["y"]["scale"]["type"] == "log"
    _, panels = rows_of(paths(data, terms=["accuracy"], high=3.0, log_scale=True))
    assert panels[0]["layer"][1]["encoding"]["y"]["scale"]["type"] == "linear"


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.045, 0.17], [0.05, 0.07, 0.1, 0.15]),
        ([0.76, 2.43], [1.0, 1.5, 2.0]),
        ([0.02, 30.0], [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
        ([0.1, 0.1], [0.1]),
        ([1e-5, 1e3], []),
        ([], []),
    ],
)
def test_a_short_logarithmic_axis_has_round_numbers(values, ticks):
    assert log_ticks(values) == ticks


def test_all_panels_of_a_term_have_the_same_logarithmic_ticks(data):
    _, panels = rows_of(paths(data, log_scale=True))
    axes = [panel["layer"][1]["encoding"]["y"]["axis"] for panel in panels]
    assert axes[0]["values"] and len({tuple(axis["values"]) for axis in axes}) == 1


def test_nothing_finished_and_wrong_panels(data):
    empty = StudyData("Title", "below", {}, [], [], [], data.root)
    assert "No finished paths yet." in json.dumps(paths(empty).to_dict())
    with pytest.raises(UserError, match="panels: expected series, path and title"):
        paths(data, panels=[{"serie": "x"}])
    assert isinstance(paths(data), alt.TopLevelMixin)


KINDS = {
    "difficulty_fig3": {"train", "interpolation"},
    "difficulty_fig4": {"train", "interpolation", "curve"},
    "difficulty_fig6_7": {"train", "interpolation"},
    "difficulty_fig8": {"train", "curve"},
    "gradient_flow_fig5bc": {"train", "interpolation"},
}


@pytest.mark.parametrize("preset", ["smoke", "mnist", "cifar", "paper"])
@pytest.mark.parametrize("name", KINDS)
def test_studies_of_paths_can_be_planned(name, preset, tmp_path):
    config = read_study(str(STUDIES / f"{name}.json"), preset)
    plan = make_plan(config, tmp_path, check_piece)
    assert {piece.kind for piece in plan.pieces.values()} == KINDS[name]
    curves = [piece for piece in plan.pieces.values() if piece.kind == "curve"]
    assert not any(piece.config["line"] for piece in curves)  # a piece of its own, walked once


def test_a_piece_that_cannot_work_is_refused(tmp_path):
    config = read_study(str(STUDIES / "difficulty_fig4.json"), "smoke")
    place = next(i for i, piece in enumerate(config.pieces) if piece["kind"] == "curve")
    for key, value, message in (
        ("order", 1, "order: expected at least 2"),
        ("seed", 3, "the study decides it"),
        ("sweep", {"learning_rate": [0.1], "momentum": [0.9]}, "make it an axis"),
    ):
        pieces = json.loads(json.dumps(config.pieces))
        pieces[place]["config"][key] = value
        with pytest.raises(UserError, match=message):
            make_plan(config.model_copy(update={"pieces": pieces}), tmp_path, check_piece)
