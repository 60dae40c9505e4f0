"""A run killed at any moment carries on and ends with the same bits."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
from small import PRUNED, small_config

from tfsparse import files
from tfsparse.runs import Run

TIMES = ("seconds", "images_per_second")


def command(config_file):
    return [sys.executable, "-m", "tfsparse.train", "--quiet", "--config", str(config_file)]


def log_without_times(run):
    return [{k: v for k, v in line.items() if k not in TIMES} for line in run.metrics()]


@pytest.mark.parametrize(
    ("optimizer", "kills"),
    [("sgd", 2), *(pytest.param(name, 5, marks=pytest.mark.slow) for name in ("sgd", "adam"))],
)
def test_killed_runs_end_with_the_same_bits(tmp_path, optimizer, kills):
    changes = {
        **PRUNED,
        "train": {"steps": 450, "checkpoint_every": 7, "log_every": 10, "evaluate_every": 30},
        "data": {"augment": True},
    }
    if optimizer == "adam":
        changes["optimizer"] = {"name": "adam", "learning_rate": 0.001}
    runs = []
    for name in ("whole", "killed"):
        config = small_config(tmp_path / name, **changes)
        files.write_json(tmp_path / f"{name}.json", config.model_dump(mode="json"))
        runs.append(Run(tmp_path / name / "run" / "seed_0"))
    whole, killed = runs
    subprocess.run(command(tmp_path / "whole.json"), check=True, capture_output=True)

    chance = random.Random(optimizer)
    steps = sorted(chance.randrange(1, 400) for _ in range(kills))
    for step in steps:
        process = subprocess.Popen(
            command(tmp_path / "killed.json"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        log = killed.path / "metrics.jsonl"
        while process.poll() is None and not _reached(log, step):
            try:
                process.wait(0.01)
            except subprocess.TimeoutExpired:
                continue
        process.kill()
        process.communicate()
        assert not killed.finished(), "killed too late to show anything"
    last = subprocess.run(command(tmp_path / "killed.json"), capture_output=True, text=True)
    assert last.returncode == 0, last.stderr

    expected, found = whole.final_weights(), killed.final_weights()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert log_without_times(killed) == log_without_times(whole)
    assert len((killed.path / "metrics.jsonl").read_text().splitlines()) == len(whole.metrics())
    assert killed.summary()["weights_hash"] == whole.summary()["weights_hash"]
    assert not list(killed.path.glob(".*")), "no temporary file is left"


def _reached(log, step):
    """Whether the log has a line of `step` or later; a line may be half-written."""
    try:
        lines = log.read_text().splitlines()
    except OSError:
        return False
    for line in lines[-2:]:
        try:
            if json.loads(line)["step"] >= step:
                return True
        except ValueError:
            continue
    return False


def test_a_finished_run_is_not_trained_again(tmp_path):
    config = small_config(tmp_path, train={"steps": 5, "log_every": 100})
    files.write_json(tmp_path / "c.json", config.model_dump(mode="json"))
    first = subprocess.run(command(tmp_path / "c.json"), capture_output=True, text=True)
    run = Run(tmp_path / "run" / "seed_0")
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.npz")}
    # As an earlier version wrote it, which did not know this key.
    older = run.config_json()
    del older["train"]["log_every"]
    files.write_json(run.path / "config.json", older)
    second = subprocess.run(command(tmp_path / "c.json"), capture_output=True, text=True)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "is finished" in second.stderr
    assert second.stdout == first.stdout
    assert before == {path: path.stat().st_mtime_ns for path in run.path.rglob("*.npz")}
