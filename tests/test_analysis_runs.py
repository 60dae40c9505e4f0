"""Analyses of small runs on the embedded digits, from config to folder, and what they refuse."""

import csv
import json

import numpy as np
import pytest
from small import PRUNED, trained

from tfsparse import analyze as door
from tfsparse.analysis.flow_log import changes, norms
from tfsparse.analysis.run import analyze
from tfsparse.analysis.signal import signal, uneven_mask
from tfsparse.analysis.tables import analysis_table
from tfsparse.config import check, load_config
from tfsparse.config.analysis import AnalysisConfig, SignalConfig
from tfsparse.errors import UserError
from tfsparse.files import read_npz
from tfsparse.sparsity.masks import kept_count

MODEL = {"name": "lenet_300_100", "width": 0.1}
SMALL = {"data": {"image_size": 8}}  # 460 connections at 80%
FLOW = {"gradient_flow_every": 10, "gradient_flow_examples": 100, "gradient_flow_at_updates": True}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A pruned run, two lottery runs with other data orders, a scratch run and a RigL run."""
    folder = tmp_path_factory.mktemp("runs")
    small = {"train": {"save_weights_at": [30]}, **SMALL}
    pruned, _ = trained(folder, "pruned", **PRUNED, **small)
    found = {"pruned": pruned}
    for name, seed in (("lottery", 0), ("lottery", 1), ("scratch", 2)):
        run, _ = trained(folder, name, method=name, seed=seed, source={"run": str(pruned.path)},
                         **small)  # fmt: skip
        found[f"{name}_{seed}"] = run
    found["rigl"], _ = trained(
        folder, "rigl", method="rigl", mask={"sparsity": 0.8, "rules": []},
        growth={"frequency": 10, "end_step": 40}, train={**FLOW, "save_weights_at": [30]}, **SMALL,
    )  # fmt: skip
    return found


def done(folder, kind, section, name="look", seed=0):
    """Run one analysis; returns its folder and summary."""
    config = check(
        {"name": name, "kind": kind, kind: section, "run_dir": str(folder), "seed": seed},
        AnalysisConfig,
        "test",
    )
    return analyze(config, command=["test"], note=lambda text: None)


def test_uneven_masks_have_the_count_and_very_uneven_neurons():
    mask = uneven_mask((5, 5, 6, 40), 0.9, seed=1)
    assert mask.sum() == kept_count(6000, 0.9)
    fans = np.sort(mask.reshape(-1, 40).sum(axis=0))
    assert fans[-5:].mean() > 5 * max(1.0, fans[:5].mean())
    even = uneven_mask((5, 5, 6, 40), 0.9, seed=1, unevenness=0.0).reshape(-1, 40).sum(axis=0)
    assert even.std() < fans.std() / 2
    np.testing.assert_array_equal(mask, uneven_mask((5, 5, 6, 40), 0.9, seed=1))


def test_signal_survives_with_per_neuron_scaling():
    config = check(
        {"model": {"name": "lenet_300_100"}, "input_shape": [8, 8, 3], "sparsities": [0.0, 0.9],
         "images": 200},
        SignalConfig, "test",
    )  # fmt: skip
    rows = {(row["sparsity"], row["init"]): row["std"] for row in signal(config, 0)}
    assert rows[0.0, "dense"] == rows[0.0, "per_layer"] == rows[0.0, "per_neuron"]
    assert rows[0.9, "dense"] < 0.2 * rows[0.0, "dense"]
    assert rows[0.9, "dense"] < rows[0.9, "per_layer"]
    assert 0.4 < rows[0.9, "per_neuron"] / rows[0.0, "per_neuron"] < 2.5


def test_signal_folder(tmp_path):
    section = {"model": MODEL, "input_shape": [8, 8, 1], "sparsities": [0.9], "inits": ["dense"],
               "images": 20, "repeats": 2}  # fmt: skip
    run, summary = done(tmp_path, "signal", section)
    assert summary["kind"] == "analysis" and summary["analysis"] == "signal"
    assert summary["std"] == summary["points"][0]["std"] > 0
    rows = list(csv.DictReader((run.path / "points.csv").open()))
    assert float(rows[0]["std"]) == summary["std"]
    for name in ("config.json", "command.txt", "environment.json"):
        assert (run.path / name).is_file()
    again = done(tmp_path, "signal", section)[1]
    assert again == summary  # finished: not computed again
    with pytest.raises(UserError, match="belongs to another config"):
        done(tmp_path, "signal", {**section, "images": 21})


def test_flow_of_a_run(tmp_path, runs):
    section = {"run": str(runs["rigl"].path), "examples": 100}
    _, summary = done(tmp_path, "gradient_flow", section)
    assert summary["start"]["norm"] > 0 and summary["start"]["n"] == 100
    logged = [line for line in runs["rigl"].metrics() if line["kind"] == "gradient_flow"]
    # The same seed draws the same batch, so the ends agree with what training logged.
    assert summary["end"]["norm"] == pytest.approx(logged[-1]["norm"], rel=1e-4)
    assert summary["training"]["lines"] == len(logged) == 7
    assert summary["updates"]["lines"] == 5
    _, quiet = done(tmp_path, "gradient_flow", {"run": str(runs["pruned"].path)}, "quiet")
    assert quiet["training"] is None and quiet["updates"] is None


def test_means_of_a_log_by_hand():
    lines = [
        {"kind": "gradient_flow", "step": 0, "norm": 100.0},
        {"kind": "gradient_flow", "step": 10, "norm": 1.0},
        {"kind": "gradient_flow", "step": 25, "norm": 3.0},
        {"kind": "gradient_flow", "step": 100, "norm": 7.0},
        {"kind": "mask_update", "step": 0, "norm_before": 1.0, "norm_change": 99.0},
        {"kind": "mask_update", "step": 10, "norm_before": 2.0, "norm_change": 1.0},
        {"kind": "mask_update", "step": 50, "norm_before": 4.0, "norm_change": -1.0},
        {"kind": "train", "step": 100},
    ]
    assert norms(lines, 100, 0.25) == {
        "early": 2.0,
        "late": 7.0,
        "early_log": pytest.approx(np.log(3.0) / 2),
        "late_log": pytest.approx(np.log(7.0)),
        "lines": 4,
    }
    assert changes(lines, 100, 0.25) == {
        "early": 1.0,
        "late": -1.0,
        "fade": 2.0,
        "early_relative": 0.5,
        "late_relative": -0.25,
        "lines": 3,
    }
    assert norms([], 100, 0.25) is None and changes(lines[:4], 100, 0.25) is None


def test_hessian_of_a_run(tmp_path, runs):
    section = {"run": str(runs["scratch_2"].path), "examples": 60}
    run, summary = done(tmp_path, "hessian", section)
    found = summary["spectrum"]
    kept = runs["scratch_2"].summary()["parameters"]["kept"]
    assert found["dimensions"] == kept
    assert found["product_error"] < 1e-4 and found["asymmetry"] < 1e-4
    values = read_npz(run.path / "eigenvalues.npz")["spectrum_values"]
    assert len(values) == kept and found["trace"] == pytest.approx(values.sum())
    rows = list(csv.DictReader((run.path / "histogram.csv").open()))
    assert sum(float(row["share"]) for row in rows) == pytest.approx(1.0)
    _, density = done(tmp_path, "hessian", {**section, "method": "lanczos"}, "lanczos")
    assert density["spectrum"]["largest"] == pytest.approx(found["largest"], rel=1e-3)
    assert density["spectrum"]["trace"] == pytest.approx(found["trace"], rel=0.3)


@pytest.mark.parametrize("algorithm", ["set", "rigl"])
def test_hessian_around_an_update(tmp_path, runs, algorithm):
    section = {"run": str(runs["scratch_2"].path), "at": 30, "examples": 60,
               "update": {"algorithm": algorithm}}  # fmt: skip
    _, summary = done(tmp_path, "hessian", section, algorithm)
    before, after, change = summary["before"], summary["after"], summary["change"]
    assert before["dimensions"] == after["dimensions"]
    assert change["negative"] == after["negative"] - before["negative"]
    assert change["gradient_norm"] == after["gradient_norm"] - before["gradient_norm"]
    if algorithm == "rigl":
        assert change["gradient_norm"] > 0


def test_similarity(tmp_path, runs):
    names = ["lottery_0", "lottery_1", "scratch_2"]
    section = {
        "solution": str(runs["pruned"].path), "runs": [str(runs[name].path) for name in names],
    }  # fmt: skip
    run, summary = done(tmp_path, "similarity", section)
    first, second, scratch = summary["runs"]
    assert first["l2_start_to_solution"] == pytest.approx(second["l2_start_to_solution"])
    assert first["l2_to_solution"] < scratch["l2_to_solution"]
    assert first["cosine_to_solution"] < scratch["cosine_to_solution"]
    assert summary["mean"]["disagreement"] == pytest.approx(
        np.mean([row["disagreement"] for row in summary["runs"]])
    )
    assert len(summary["ensemble"]["by_size"]) == 3
    assert summary["ensemble"]["solution"] == pytest.approx(
        runs["pruned"].summary()["test"]["accuracy"], abs=1e-6
    )
    matrices = read_npz(run.path / "similarity.npz")
    assert matrices["l2"].shape == (4, 4) and matrices["map_distances"].shape == (7, 7)
    rows = list(csv.DictReader((run.path / "map.csv").open()))
    assert [row["role"] for row in rows][:2] == ["solution", "run"] and len(rows) == 7
    assert rows[4]["at"] == "start" and 0 <= summary["map_stress"] < 1


def test_dead_runs_are_counted_and_left_out(tmp_path, runs):
    names = ["lottery_0", "lottery_1", "scratch_2"]
    section = {
        "solution": str(runs["pruned"].path), "runs": [str(runs[name].path) for name in names],
    }  # fmt: skip
    whole_run, whole = done(tmp_path, "similarity", section, "whole")
    assert whole["dead"] == 0
    accuracies = [row["accuracy"] for row in whole["runs"]]
    floor = min(accuracies) + 1e-6
    dead = accuracies.index(min(accuracies))
    living = [number for number in range(3) if accuracies[number] >= floor]
    _, part = done(tmp_path, "similarity", {**section, "dead_below": floor}, "part")
    assert part["dead"] == 3 - len(living) and dead not in living
    assert part["runs"] == whole["runs"]
    for key in ("disagreement", "accuracy", "l2_to_solution"):
        assert part["mean"][key] == pytest.approx(
            np.mean([whole["runs"][number][key] for number in living])
        )
    assert len(part["ensemble"]["by_size"]) == len(living)
    assert part["ensemble"]["single"] == pytest.approx(np.mean([accuracies[n] for n in living]))
    matrix = read_npz(whole_run.path / "similarity.npz")["disagreement"]
    pair = matrix[living[0] + 1, living[-1] + 1] if len(living) == 2 else None
    assert part["pairs"]["disagreement"] == (None if pair is None else pytest.approx(pair))
    _, nobody = done(tmp_path, "similarity", {**section, "dead_below": 0.9999}, "nobody")
    assert nobody["dead"] == 3 and nobody["mean"]["kl"] is None
    assert nobody["ensemble"]["accuracy"] is None and nobody["pairs"]["l2"] is None
    assert "ensemble -, single networks -, 3 dead left out" in analysis_table(nobody, "x")
    before = {key: value for key, value in whole.items() if key != "dead"}
    assert analysis_table(before, "x") == analysis_table(whole, "x")


def test_masks_in_between(runs, tmp_path):
    """RigL's masks are known at both ends only, a pruned run's show in its weights."""
    _, summary = done(
        tmp_path, "hessian", {"run": str(runs["pruned"].path), "at": 30, "examples": 20,
                              "limit": 50_000, "method": "lanczos", "lanczos_steps": 2}, "between",
    )  # fmt: skip
    total = runs["pruned"].summary()["parameters"]["total"]
    kept = runs["pruned"].summary()["parameters"]["kept"]
    assert kept < summary["spectrum"]["dimensions"] < total
    with pytest.raises(UserError, match="connections move"):
        done(tmp_path, "hessian", {"run": str(runs["rigl"].path), "at": 30}, "moving")


def bad(runs, **section):
    """A Hessian config with something wrong."""
    return {"run": str(runs["pruned"].path), "examples": 20, **section}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"limit": 10}, "at most 10 coordinates .*lanczos"),
        ({"at": 7}, "kept no weights of step 7"),
        ({"at": -1}, "'start', 'end' or a step"),
        ({"run": "nowhere"}, "no such run folder"),
        ({"examples": 0}, "greater than or equal to 1"),
        ({"update": {"drop_fraction": 1.0}}, "less than 1"),
        ({"update": {"algorithm": "regal"}}, "did you mean 'rigl'"),
        ({"update": {}, "coordinates": "all"}, "expected coordinates 'unmasked'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, runs, section, words):
    with pytest.raises(UserError, match=words) as caught:
        done(tmp_path, "hessian", bad(runs, **section))
    assert "\n" not in str(caught.value)


def test_a_section_of_another_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected a section 'hessian'"):
        check({"name": "x", "kind": "hessian"}, AnalysisConfig, "test")
    both = {"name": "x", "kind": "signal", "signal": {}, "hessian": {"run": "y"}}
    with pytest.raises(UserError, match="section 'hessian' has no effect"):
        check(both, AnalysisConfig, "test")


def test_runs_of_another_model_are_refused(tmp_path, runs):
    other, _ = trained(tmp_path, "other", model={"name": "lenet_300_100", "width": 0.05},
                       train={"steps": 2})  # fmt: skip
    section = {"solution": str(runs["pruned"].path), "runs": [str(other.path)]}
    with pytest.raises(UserError, match="expected a run of model"):
        done(tmp_path, "similarity", section)


@pytest.mark.parametrize("missing", ["solution", "runs"])
def test_a_missing_run_leaves_no_folder_behind(tmp_path, runs, missing):
    good = {"solution": str(runs["pruned"].path), "runs": [str(runs["lottery_0"].path)]}
    nowhere = str(tmp_path / "nowhere")
    bad = {**good, missing: [nowhere] if missing == "runs" else nowhere}
    with pytest.raises(UserError, match="no such run folder"):
        done(tmp_path, "similarity", bad)
    _, summary = done(tmp_path, "similarity", good)  # under the same name
    assert summary["runs"]


def test_the_command(tmp_path, runs, capsys):
    path = tmp_path / "flow.json"
    path.write_text(json.dumps({"about": "x", "kind": "gradient_flow", "run_dir": str(tmp_path),
                                "gradient_flow": {"run": str(runs["rigl"].path)}}))  # fmt: skip
    assert door.main(["--config", str(path), "--set", "gradient_flow.examples=50"]) == 0
    text = capsys.readouterr().out
    assert "gradient norm of" in text and "change by update" in text
    assert max(map(len, text.splitlines()[:-1])) <= 120
    assert load_config(path, AnalysisConfig).name == "flow"
