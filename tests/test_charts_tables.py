"""Logs and run folders as tables, whatever state they are in."""

import json
import os
import time

import fabricated
import pytest

from tfsparse.charts.inside import inside, own_file
from tfsparse.charts.logs import read_ends, read_log
from tfsparse.charts.tables import COLUMNS, find_files, find_folders, group_of, runs_table
from tfsparse.errors import UserError


def write_log(path, *lines, end="\n"):
    path.write_text("\n".join(json.dumps(line) for line in lines) + end)
    return path


def test_log_by_kind(tmp_path):
    path = write_log(
        tmp_path / "metrics.jsonl",
        {"kind": "train", "step": 1, "loss": 2.0},
        {"kind": "evaluation", "step": 1, "split": "test", "accuracy": 0.5},
        {"kind": "train", "step": 2, "loss": 1.0},
        {"kind": "mask_update", "step": 2, "sparsity": 0.5, "layers": {"a": 0.25, "b": 0.75}},
    )
    log = read_log(path)
    assert log.problem is None
    assert list(log.table("train")["loss"]) == [2.0, 1.0]
    assert list(log.table("evaluation")["split"]) == ["test"]
    layers = log.layer_table("mask_update")
    assert layers.to_dict("list") == {"step": [2, 2], "layer": ["a", "b"], "value": [0.25, 0.75]}
    assert log.table("gradient_flow").empty


def test_log_with_broken_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    good = json.dumps({"kind": "train", "step": 1, "loss": 2.0})
    bad = ["not json", "[1]", '{"kind": "train"}', '{"kind": 3, "step": 1}',
           '{"kind": "train", "step": true}', '{"kind": "train", "step": "x"}']  # fmt: skip
    path.write_text("\n".join([good, *bad, "", good, '{"kind": "train", "st']))
    log = read_log(path)
    assert list(log.table("train")["loss"]) == [2.0, 2.0]
    assert log.problem == (
        "metrics.jsonl: 6 unreadable lines left out (lines 2, 3, 4, 5, 6, ...); "
        "the last line is half-written and left out"
    )


def test_last_line_without_line_break_counts(tmp_path):
    path = write_log(tmp_path / "metrics.jsonl", {"kind": "train", "step": 1, "loss": 2.0}, end="")
    assert read_log(path).problem is None
    assert len(read_log(path).table("train")) == 1


def test_numbers_that_are_none_become_nan(tmp_path):
    path = write_log(
        tmp_path / "m",
        {"kind": "train", "step": 1, "loss": "high", "accuracy": None},
        {"kind": "train", "step": 2, "loss": 1.5, "accuracy": 0.5},
    )
    table = read_log(path).table("train")
    assert table["loss"].isna().tolist() == [True, False]
    assert table["accuracy"].isna().tolist() == [True, False]


def test_missing_log_says_so(tmp_path):
    assert "missing" in read_log(tmp_path / "metrics.jsonl").problem


def test_ends_of_a_long_log(tmp_path):
    lines = [{"kind": "train", "step": i, "pad": "x" * 100} for i in range(5000)]
    path = write_log(tmp_path / "metrics.jsonl", *lines)
    ends = read_ends(path)
    assert ends[0]["step"] == 0 and ends[-1]["step"] == 4999
    assert len(ends) < 300
    steps = [line["step"] for line in ends]
    assert steps == sorted(set(steps))


def test_table_of_sound_runs(tmp_path):
    fabricated.make_run(tmp_path, "pruned_80", seed=3, accuracy=0.91)
    (row,) = runs_table(tmp_path).to_dict("records")
    assert row["name"] == "pruned_80/seed_3" and row["group"] == "pruned_80"
    assert (row["method"], row["model"], row["data"]) == ("pruned", "lenet_300_100", "digits")
    assert row["state"] == "finished" and row["accuracy"] == 0.91 and row["seed"] == 3
    assert 0.79 < row["sparsity"] < 0.8
    assert row["problem"] is None


def test_table_of_a_running_run(tmp_path):
    folder = fabricated.make_run(tmp_path, "slow", steps=2000, state="stopped")
    assert runs_table(tmp_path)["state"].tolist() == ["stopped"]
    with fabricated.held(folder):
        (row,) = runs_table(tmp_path).to_dict("records")
        late = runs_table(tmp_path, now=time.time() + 3600)
    assert row["state"] == "running"
    assert row["step"] == 1000 and row["total_steps"] == 2000
    # 1000 steps took 3 s, so the other 1000 will.
    assert row["seconds_left"] == pytest.approx(3.0)
    assert late["state"].tolist() == ["stale"] and late["seconds_left"].isna().all()


def test_aware_initial_weights_are_a_plus(tmp_path):
    folder = fabricated.make_run(tmp_path, "aware", method="scratch", steps=400)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"init": {"kind": "per_neuron"}}))
    assert runs_table(tmp_path)["method"].tolist() == ["scratch+"]


def test_total_steps_from_epochs(tmp_path):
    folder = fabricated.make_run(tmp_path, "slow", steps=2000, state="stopped")
    config = json.loads((folder / "config.json").read_text())
    config["train"] |= {"steps": None, "epochs": 100}
    (folder / "config.json").write_text(json.dumps(config))
    assert runs_table(tmp_path)["total_steps"].tolist() == [1100]  # 11 steps per epoch


def test_table_of_broken_runs(tmp_path):
    fabricated.make_broken(tmp_path)
    table = runs_table(tmp_path).set_index("group")
    assert list(table.columns) == [name for name in COLUMNS if name != "group"]
    assert table["state"].to_dict() == {
        "bad_line": "finished",
        "corrupt_config": "broken",
        "corrupt_summary": "broken",
        "cut_weights": "finished",
        "failed_run": "failed",
        "half_log": "stopped",
        "hollow": "stopped",
        "no_log": "finished",
        "sound": "finished",
    }
    assert "line 1 column" in table.loc["corrupt_config", "problem"]
    assert str(tmp_path) not in table.loc["corrupt_config", "problem"]
    assert table.loc["corrupt_summary", "problem"] == "summary.json: expected a JSON object"
    assert table.loc["failed_run", "problem"] == "<script>alert(1)</script> loss"


def test_no_folder_and_empty_folder(tmp_path):
    assert runs_table(tmp_path).empty
    assert runs_table(tmp_path / "none").empty
    assert list(runs_table(tmp_path).columns) == list(COLUMNS)


@pytest.mark.parametrize("summary", ["{}", '{"test": 3, "layers": [], "seed": "x"}', "null"])
def test_odd_summaries(tmp_path, summary):
    folder = fabricated.make_run(tmp_path, "odd", steps=400)
    (folder / "summary.json").write_text(summary)
    assert len(runs_table(tmp_path)) == 1


def test_group_of():
    assert group_of("a/seed_1") == "a" and group_of("x/a/seed_12") == "x/a"
    assert group_of("a") == "a" and group_of("a/b") == "a/b" and group_of("seed_1") == "seed_1"


def test_links_are_not_followed(tmp_path):
    outside = fabricated.make_run(tmp_path / "outside", "secret", steps=400)
    runs = tmp_path / "runs"
    runs.mkdir()
    os.symlink(outside, runs / "link")
    hidden = runs / "files"
    hidden.mkdir()
    for name in ("config.json", "summary.json", "metrics.jsonl"):
        os.symlink(outside / name, hidden / name)
    (row,) = runs_table(runs).to_dict("records")
    assert row["name"] == "files" and row["method"] is None and row["accuracy"] != row["accuracy"]
    assert "symbolic link" in row["problem"] and row["state"] == "broken"
    assert "symbolic link" in read_log(hidden / "metrics.jsonl").problem
    assert find_files(runs, "summary.json") == []
    with pytest.raises(UserError, match="symbolic link"):
        own_file(hidden, "config.json")


@pytest.mark.parametrize(
    "name",
    ["", "/", "/etc", "..", "../x", "a/../../x", "a\\..\\x", "a\0b", ".", "link", "link/x", "no",
     "x" * 5000],
)  # fmt: skip
def test_names_stay_inside(tmp_path, name):
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    os.symlink(tmp_path / "x", tmp_path / "runs" / "link")
    with pytest.raises(UserError) as caught:
        inside(tmp_path / "runs", name)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_names_inside(tmp_path):
    (tmp_path / "a" / "seed_0").mkdir(parents=True)
    assert inside(tmp_path, "a/seed_0") == tmp_path / "a" / "seed_0"
    os.symlink(tmp_path, tmp_path.parent / f"{tmp_path.name}_link")
    assert inside(tmp_path.parent / f"{tmp_path.name}_link", "a").is_dir()


def test_table_is_quick(tmp_path):
    fabricated.make_many(tmp_path, 200, 1000)
    began = time.perf_counter()
    table = runs_table(tmp_path)
    took = time.perf_counter() - began
    assert len(table) == 200 and len(find_folders(tmp_path)) == 200
    assert took < 2.0  # 0.03 s on an idle machine; reading whole logs takes over 10
