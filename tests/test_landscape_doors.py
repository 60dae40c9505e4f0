"""Lines, curves and planes from config to result folder, and what is refused."""

import csv
import json

import numpy as np
import pytest
from small import PRUNED, trained

from tfsparse import cli, files
from tfsparse import curve as curve_door
from tfsparse import interpolate as interpolate_door
from tfsparse.charts.between import read_result
from tfsparse.config import check
from tfsparse.config.landscape import CurveConfig, EndConfig, InterpolationConfig, PlaneConfig
from tfsparse.errors import UserError
from tfsparse.landscape.bezier import curve, settings
from tfsparse.landscape.lines import interpolate
from tfsparse.landscape.planes import walk_plane
from tfsparse.landscape.solutions import open_solution, read_control_points
from tfsparse.landscape.tables import result_table, sweep_table
from tfsparse.runs import Run

CALL = {"command": ["test"], "note": lambda text: None, "quiet": True}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A pruned run, scratch on its mask, a dense run and one of another width."""
    root = tmp_path_factory.mktemp("runs")
    pruned, _ = trained(root, "pruned", **PRUNED)
    source = {"run": str(pruned.path)}
    scratch, _ = trained(root, "scratch", method="scratch", source=source)
    dense, _ = trained(root, "dense")
    wide, _ = trained(root, "wide", model={"name": "lenet_300_100", "width": 0.11})
    return {"pruned": pruned, "scratch": scratch, "dense": dense, "wide": wide}


def path_config(kind, runs, tmp_path, start="scratch", end="pruned", **changes):
    data = {
        "name": "path",
        "run_dir": str(tmp_path),
        "images": 200,
        "batch_size": 100,
        "start": {"run": str(runs[start].path)} if isinstance(start, str) else start,
        "end": {"run": str(runs[end].path)} if isinstance(end, str) else end,
        **changes,
    }
    return check(data, kind, "config")


def table(run, name="points.csv"):
    """The columns of a result's table, numbers as numbers."""
    with open(run.path / name, encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {
        key: [row[key] if key == "path" else float(row[key] or "nan") for row in rows]
        for key in rows[0]
    }


# ---- lines -------------------------------------------------------------------------------


def test_a_line(runs, tmp_path):
    t = [-0.1, 0.0, 0.5, 1.0, 0.5]
    config = path_config(InterpolationConfig, runs, tmp_path, t=t)
    run, summary = interpolate(config, **CALL)
    points = table(run)
    assert points["t"] == [-0.1, 0.0, 0.5, 1.0]
    np.testing.assert_allclose(
        points["objective"], np.add(points["cross_entropy"], points["l2"]), rtol=1e-12
    )
    assert points["objective_se"] == points["cross_entropy_se"] and min(points["objective_se"]) > 0
    for place, name in ((1, "scratch"), (3, "pruned")):
        weights = runs[name].final_weights()
        squares = sum(float((v.astype(float) ** 2).sum()) for k, v in weights.items() if "ker" in k)
        assert points["l2"][place] == pytest.approx(0.5 * 0.0005 * squares, rel=1e-6)
    assert (summary["t0_is"], summary["t1_is"]) == ("start", "end")
    assert summary["start"]["label"] == "scratch (end)"
    assert summary["end"]["run"] == str(runs["pruned"].path)
    assert summary["verdict"]["integral"] > 0 and summary["kind"] == "interpolation"
    assert summary["perfect_loss"] == 0 and summary["images"] == 200
    for name in ("config.json", "command.txt", "environment.json", "covariance.npz"):
        assert (run.path / name).is_file()
    covariance = files.read_npz(run.path / "covariance.npz")["line"]
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), points["objective_se"])
    text = result_table(summary, str(run.path))
    assert "t = 0: scratch (end); t = 1: pruned (end)" in text and "barrier" in text
    notes = []
    again = interpolate(config, command=["test"], note=notes.append, quiet=True)[1]
    assert again == summary and notes == [f"{run.path} is finished; its results:"]


def test_ends_are_starts_and_masked_starts(runs):
    pruned = str(runs["pruned"].path)
    dense = open_solution(check({"run": pruned, "at": "start"}, EndConfig, "x"), 0)
    sparse = open_solution(check({"run": pruned, "at": "start", "mask": pruned}, EndConfig, "x"), 0)
    assert dense.label == "pruned (start)" and sparse.label == "pruned (start) x mask"
    for layer, mask in runs["pruned"].masks().items():
        kernel = dense.weights[f"{layer}/kernel"]
        assert np.count_nonzero(kernel) == kernel.size
        np.testing.assert_array_equal(sparse.weights[f"{layer}/kernel"], kernel * mask)
    assert sparse.summary["mask_hash"] == runs["pruned"].summary()["mask_hash"]


def test_the_seed_stands_in_folders(runs, tmp_path):
    start = {"run": str(runs["scratch"].path).replace("seed_0", "seed_{seed}")}
    config = path_config(InterpolationConfig, runs, tmp_path, start=start, t=[0.0])
    _, summary = interpolate(config, **CALL)
    assert summary["start"]["run"] == str(runs["scratch"].path)
    assert summary["verdict"]["barrier"] is None
    assert "no verdict" in result_table(summary, "x")


# ---- curves and planes -------------------------------------------------------------------

TRAIN = {"steps": 30, "batch_size": 32, "learning_rate": 0.05}
FEW = {"first": 0.0, "last": 1.0, "points": 21}


@pytest.fixture(scope="module")
def curves(runs, tmp_path_factory):
    root = tmp_path_factory.mktemp("curves")
    found = {}
    for subspace in ("sparse", "dense"):
        config = path_config(
            CurveConfig, runs, root, name=subspace, subspace=subspace, train=TRAIN, t=FEW,
            plane={"points": 3} if subspace == "dense" else None,
        )  # fmt: skip
        found[subspace] = curve(config, **CALL)
    return found


def test_a_curve_runs_from_the_end_to_the_start(runs, curves):
    for run, summary in curves.values():
        points = read_control_points(run.path / "curve.npz")
        assert len(points) == 3
        for place, name in ((0, "pruned"), (2, "scratch")):
            for key, value in runs[name].final_weights().items():
                assert points[place][key].tobytes() == value.tobytes()
        assert (summary["t0_is"], summary["t1_is"]) == ("end", "start")
        rows = table(run)
        assert rows["path"] == ["line"] * 21 + ["curve"] * 21
        for end in (0, 20):
            line, bent = rows["objective"][end], rows["objective"][21 + end]
            assert line == pytest.approx(bent, rel=1e-5)
        assert set(summary["verdict"]) == {"line", "curve"}
        text = result_table(summary, "folder")
        assert "t = 0: pruned (end); t = 1: scratch (end)" in text
        verdict = summary["verdict"]
        assert verdict["curve"]["integral"] < verdict["line"]["integral"]


def test_a_curve_may_go_without_the_line_beside_it(runs, curves, tmp_path):
    config = path_config(
        CurveConfig, runs, tmp_path, name="alone", subspace="sparse", train=TRAIN, t=FEW, line=False
    )
    run, summary = curve(config, **CALL)
    beside, whole = curves["sparse"]
    assert list(summary["verdict"]) == ["curve"] and summary["judged"] == whole["judged"]
    rows, all_rows = table(run), table(beside)
    assert rows["path"] == ["curve"] * 21 and rows["objective"] == all_rows["objective"][21:]
    read = read_result(run.path, tmp_path)
    assert not read.problems and list(read.verdicts) == ["curve"]


def test_a_sparse_curve_stays_in_the_mask_and_a_dense_one_does_not(runs, curves):
    masks = runs["pruned"].masks()
    outside = {}
    for name, (run, summary) in curves.items():
        control = read_control_points(run.path / "curve.npz")[1]
        outside[name] = sum(
            int(np.count_nonzero(control[f"{layer}/kernel"][mask == 0]))
            for layer, mask in masks.items()
        )
        assert (summary["mask_hash"] is None) == (name == "dense")
    assert outside["sparse"] == 0 and outside["dense"] > 0


def test_a_plane_with_its_curve(runs, curves, tmp_path):
    run, summary = curves["dense"]
    assert summary["plane"]["grid"] == [3, 3] and len(table(run, "plane.csv")["x"]) == 9
    folder = str(run.path)
    config = check(
        {
            "name": "plane",
            "run_dir": str(tmp_path),
            "images": 200,
            "batch_size": 100,
            "corners": [
                {"run": str(runs["pruned"].path), "label": "P"},
                {"run": str(runs["scratch"].path), "label": "S"},
                {"run": folder, "control_point": 1},
            ],
            "grid": {"points": 2, "margin": 0.0},
            "curves": [folder],
        },
        PlaneConfig,
        "config",
    )
    run, summary = walk_plane(config, **CALL)
    drawn, grid = table(run, "plane_paths.csv"), table(run, "plane.csv")
    places = dict(zip(drawn["path"][:3], zip(drawn["x"], drawn["y"], strict=True), strict=False))
    assert list(places) == ["corner: P", "corner: S", "corner: control point 1"]
    names = list(drawn["path"][3:])
    assert names.count("curve: dense") == names.count("line: dense") == 101
    curve_rows = [i for i, name in enumerate(drawn["path"]) if name.startswith("curve")]
    for row, corner in ((curve_rows[0], "corner: P"), (curve_rows[-1], "corner: S")):
        here = (drawn["x"][row], drawn["y"][row])
        np.testing.assert_allclose(here, places[corner], atol=1e-6 * max(map(abs, drawn["x"])))
    # Both curve and plane are built from the same three points: the middle lies at 1/4, 1/2, 1/4.
    middle = [drawn[axis][curve_rows[50]] for axis in "xy"]
    corners = np.array(list(places.values()))
    np.testing.assert_allclose(middle, [0.25, 0.25, 0.5] @ corners, rtol=1e-4)
    # The lower corners of the smallest grid are the pruned and the scratch solution.
    line = table(curves["dense"][0])
    low = min(grid["y"])
    assert (grid["x"][0], grid["y"][0]) == (min(grid["x"]), low)
    if low == 0 and min(grid["x"]) == 0:
        assert grid["cross_entropy"][0] == pytest.approx(line["cross_entropy"][0], rel=1e-4)
    assert "plane through P, S, control point 1" in result_table(summary, "x")


def test_a_sweep_is_the_grid_of_its_settings(runs, tmp_path):
    sweep = {"learning_rate": [1.0, 0.1, 0.01, 0.001], "momentum": [0.9, 0.95, 0.99, 0.995]}
    config = path_config(CurveConfig, runs, tmp_path, train=TRAIN, sweep=sweep)
    found = settings(config)
    assert len({one.name for one in found}) == 16
    assert {(one.train.learning_rate, one.train.momentum) for one in found} == {
        (rate, momentum) for rate in sweep["learning_rate"] for momentum in sweep["momentum"]
    }
    assert found[1].name == "path_lr1_m0.95" and found[1].sweep is None
    with pytest.raises(UserError, match="takes a sweep apart"):
        curve(config, **CALL)
    verdict = {"integral": 0.5, "integral_se": 0.01, "barrier": None, "barrier_se": None}
    lines = sweep_table(
        [("b", {"verdict": {"curve": verdict}}),
         ("a", {"verdict": {"curve": {**verdict, "integral": 0.1}}})]
    ).splitlines()  # fmt: skip
    assert [line[0] for line in lines[1:]] == ["a", "b"] and "not finite" in lines[1]


# ---- doors -------------------------------------------------------------------------------


def exit_code(door, arguments):
    with pytest.raises(SystemExit) as caught:
        cli.run(door.main, arguments)
    return caught.value.code


def write(tmp_path, data):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data))
    return str(path)


def test_doors_print_verdicts(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_silence_tensorflow", lambda: None)
    base = {
        "start": {"run": str(runs["scratch"].path)},
        "end": {"run": str(runs["pruned"].path)},
        "run_dir": str(tmp_path),
        "images": 100,
        "batch_size": 50,
    }
    path = write(tmp_path, {**base, "t": [0, 0.5, 1]})
    assert exit_code(interpolate_door, ["--config", path, "--quiet"]) == 0
    assert "barrier" in capsys.readouterr().out
    path = write(tmp_path, {**base, "train": {"steps": 2}, "t": [0, 1], "name": "bent"})
    assert exit_code(curve_door, ["--config", path, "--quiet", "--set", "order=3"]) == 0
    assert "curve" in capsys.readouterr().out
    assert len(read_control_points(tmp_path / "bent" / "seed_0" / "curve.npz")) == 4
    assert exit_code(curve_door, ["--config", path, "--set", "order=1"]) == 2
    assert "order: expected at least 2, received 1" in capsys.readouterr().err
    assert exit_code(curve_door, ["--config", path, "--print-config"]) == 0
    assert json.loads(capsys.readouterr().out)["train"]["momentum"] == 0.95


# ---- bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t": []}, "t: .*at least one value of t"),
        ({"t": {"first": 1.0, "last": 0.0}}, "t.first: expected a number less than last 0.0"),
        ({"t": {"points": 1}}, "points: expected a number greater than or equal to 2"),
        ({"images": 99}, "images: expected at least one batch of 100, received 99"),
        ({"images": 10**6}, "images: expected at most the .* training images"),
        ({"start": {"run": "nowhere"}}, "nowhere: no such run folder"),
        ({"start": {"run": "x", "at": -1}}, "at: expected 'start', 'end' or a step"),
        ({"batch_norm": "none"}, "expected 'batch', 'running' or 'recomputed'"),
        ({"augment": True}, "augment: the run at the end was trained on 'digits' without"),
        ({"strat": {}}, "unknown key 'strat'; did you mean 'start'"),
    ],
)
def test_bad_lines(runs, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        interpolate(path_config(InterpolationConfig, runs, tmp_path, **changes), **CALL)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_values_of_t_are_finite(runs, tmp_path, value, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_silence_tensorflow", lambda: None)
    text = json.dumps({
        "start": {"run": str(runs["scratch"].path)},
        "end": {"run": str(runs["pruned"].path)},
        "t": ["VALUE", 0.5],
    })  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(text.replace('"VALUE"', value))
    assert exit_code(interpolate_door, ["--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ")


def test_other_architectures_are_refused(runs, tmp_path):
    config = path_config(InterpolationConfig, runs, tmp_path, start="wide")
    with pytest.raises(UserError, match=r"expected the architecture of .*wide.*'dense1/bias' has"):
        interpolate(config, **CALL)
    masked = {"run": str(runs["wide"].path), "mask": str(runs["pruned"].path)}
    with pytest.raises(UserError, match=r"mask of layer 'dense1': expected a kernel of shape"):
        open_solution(check(masked, EndConfig, "x"), 0)


def test_unfinished_runs_are_refused(runs, tmp_path):
    stopped = Run(tmp_path / "stopped")
    files.write_json(stopped.path / "config.json", runs["dense"].config_json())
    for at in ("start", "end"):
        end = {"run": str(stopped.path), "at": at}
        config = path_config(InterpolationConfig, runs, tmp_path, end=end)
        with pytest.raises(UserError, match="expected a finished run, this one is stopped"):
            interpolate(config, **CALL)


def test_a_mask_must_cover_both_ends(runs, tmp_path):
    changes = {"train": TRAIN, "start": "dense", "mask": str(runs["pruned"].path)}
    config = path_config(CurveConfig, runs, tmp_path, **changes)
    with pytest.raises(UserError, match=r"dense \(end\)\): expected zeros outside the mask, layer"):
        curve(config, **CALL)
    config = path_config(CurveConfig, runs, tmp_path, end="dense", start="dense", train=TRAIN)
    with pytest.raises(UserError, match="expected a run with masks, this one is dense"):
        curve(config, **CALL)


def test_final_weights_outside_their_own_mask_are_refused(runs, tmp_path):
    copy = Run(tmp_path / "copy")
    for name in ("config.json", "summary.json", "masks.npz"):
        files.write_bytes(copy.path / name, (runs["pruned"].path / name).read_bytes())
    weights = runs["pruned"].final_weights()
    mask = runs["pruned"].masks()["dense2"]
    weights["dense2/kernel"] = weights["dense2/kernel"] + (1 - mask)
    files.write_npz(copy.path / "final.npz", weights)
    with pytest.raises(UserError, match="final weights: expected zeros outside the mask, layer"):
        open_solution(check({"run": str(copy.path)}, EndConfig, "x"), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 1}, "order: expected at least 2, received 1"),
        ({"train": {}}, "exactly one of train.steps and train.epochs"),
        ({"train": {"steps": 1, "batch_size": 5000}}, "train.batch_size: expected at most the"),
        ({"train": {"steps": 1, "momentum": 1.0}}, "momentum: expected a number less than 1"),
        ({"subspace": "dense", "mask": "x"}, "mask: has no effect in subspace 'dense'"),
        ({"sweep": {"learning_rate": [0.0], "momentum": [0.9]}}, "expected numbers above 0"),
    ],
)
def test_bad_curves(runs, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        config = path_config(CurveConfig, runs, tmp_path, **{"train": TRAIN, **changes})
        curve(config, **CALL)


def test_bad_planes(runs, curves, tmp_path):
    ends = [{"run": str(runs[name].path)} for name in ("pruned", "scratch", "pruned")]
    common = {"name": "plane", "run_dir": str(tmp_path), "images": 100, "batch_size": 100}
    with pytest.raises(UserError, match="expected three solutions, received 2"):
        check({**common, "corners": ends[:2]}, PlaneConfig, "config")
    with pytest.raises(UserError, match="expected three solutions that span a plane"):
        walk_plane(check({**common, "corners": ends}, PlaneConfig, "config"), **CALL)
    bent = {"run": str(curves["dense"][0].path), "control_point": 3}
    with pytest.raises(UserError, match="control_point: expected at most 2, received 3"):
        open_solution(check(bent, EndConfig, "x"), 0)
    wrong = {"run": str(runs["pruned"].path), "control_point": 0}
    with pytest.raises(UserError, match="control_point: expected the folder of a curve"):
        open_solution(check(wrong, EndConfig, "x"), 0)
