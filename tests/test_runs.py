"""The run folder: one writer, one config, a log that is never half-written."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from tfsparse import files, runs
from tfsparse.errors import RunFailed, UserError
from tfsparse.runs import Run, find_runs, run_path, weights_hash

ROOT = Path(__file__).parents[1]
CONFIG = {
    "name": "a",
    "seed": 0,
    "train": {"steps": 10, "log_every": 1},
    "about": "",
    "run_dir": "r",
}
COMMAND = ["python", "-m", "tfsparse.train", "--config", "my config.json"]


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "runs" / "a" / "seed_0")


def refusal(call, *args) -> str:
    with pytest.raises(UserError) as caught:
        call(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Config(BaseModel):
    """A config of any keys."""

    model_config = ConfigDict(extra="allow")


def enter(run, config=CONFIG):
    with run.writing(Config(**config), COMMAND):
        pass


# ---- one writer --------------------------------------------------------------------------

HOLDER = """
import sys, time
from pydantic import RootModel
from tfsparse.runs import Run
with Run(sys.argv[1]).writing(RootModel({config}), ["x"]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(run):
    """Another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(config=CONFIG), str(run.path)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_until_the_first_is_gone(run, holder, monkeypatch):
    monkeypatch.setattr(runs, "LOCK_TRIES", 2)
    assert run.state() == "running"
    assert refusal(enter, run) == (
        f"{run.path}: another process is writing this run; wait for it or stop it"
    )
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert run.state() == "stopped"
    enter(run)
    assert run.state() == "stopped"


def test_the_lock_is_free_again_after_a_failure(run):
    with pytest.raises(RunFailed), run.writing(Config(**CONFIG), COMMAND):
        assert run.state() == "running"
        refusal(enter, run)
        raise RunFailed("loss")
    enter(run)


def test_looking_at_a_run_never_keeps_its_writer_out(run):
    """A dashboard asks for the state at the very moment training starts."""
    enter(run)
    reader = (
        "import fcntl, sys, time\n"
        "stream = open(sys.argv[1], 'rb')\n"
        "fcntl.flock(stream, fcntl.LOCK_SH)\n"
        "print('held', flush=True)\n"
        "time.sleep(0.15)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", reader, str(run.path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    enter(run)
    process.wait()
    process.stdout.close()


# ---- record first ------------------------------------------------------------------------


def test_config_command_and_versions_are_there_before_the_work(run):
    with run.writing(Config(**CONFIG), COMMAND):
        assert run.config_json() == CONFIG
        text = (run.path / "command.txt").read_text()
        assert text == "python -m tfsparse.train --config 'my config.json'\n"
        environment = files.read_json(run.path / "environment.json")
    assert environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert environment["packages"]["numpy"] == np.__version__
    assert {"cores", "processor", "system", "commit", "time"} <= set(environment)


def test_what_a_killed_process_left_is_cleared_and_the_rest_stays(run):
    enter(run)
    (run.path / ".final.npz.abc.tmp").write_bytes(b"half")
    (run.path / ".saved_model.abc" / "model").mkdir(parents=True)
    (run.path / ".notes").write_text("mine")
    (run.path / "checkpoints" / "ckpt-20_temp").mkdir(parents=True)
    enter(run)
    assert list((run.path / "checkpoints").iterdir()) == []
    names = {path.name for path in run.path.iterdir()}
    assert names == {"config.json", "command.txt", "environment.json", "lock", ".notes",
                     "checkpoints"}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 1}, "seed: there 0, here 1"),
        ({"train": {"steps": 20, "log_every": 2}}, "train.log_every: there 1, here 2"),
        ({"train": {"steps": 10, "log_every": 1.0}}, "train.log_every: there 1, here 1.0"),
        ({"train": {"steps": 10}}, "train.log_every: there 1, here null"),
        ({"model": {"name": "b"}}, 'model: there null, here {"name": "b"}'),
        ({"train": 3}, 'train: there {"log_every": 1, "steps": 10}, here 3'),
        ({"note": ["x"] * 100}, 'note: there null, here ["x", "x", '),
    ],
)
def test_another_config_is_refused_and_the_first_difference_named(run, change, difference):
    enter(run)
    before = (run.path / "config.json").read_bytes()
    text = refusal(enter, run, {**CONFIG, **change})
    assert text.startswith(f"{run.path}: belongs to another config ({difference}")
    assert text.endswith("choose another name (--set name=...) or remove the folder")
    assert len(text.removeprefix(str(run.path))) < 400
    assert (run.path / "config.json").read_bytes() == before
    enter(run)


def test_an_older_folder_has_the_defaults_of_newer_keys(run):
    class Newer(Config):
        policy: str | None = None
        growth: float = 0.3

    enter(run)
    before = (run.path / "config.json").read_bytes()
    with run.writing(Newer(**CONFIG), COMMAND):
        pass
    with run.writing(Newer(**CONFIG, growth=0.3), COMMAND):
        pass
    assert (run.path / "config.json").read_bytes() == before
    for change, difference in (
        ({"growth": 0.5}, "growth: there 0.3, here 0.5"),
        ({"policy": "p"}, 'policy: there null, here "p"'),
        ({"seed": 1}, "seed: there 0, here 1"),
    ):
        with pytest.raises(UserError) as caught, run.writing(Newer(**CONFIG | change), COMMAND):
            pass
        assert f"belongs to another config ({difference}" in str(caught.value)


def test_a_folder_of_another_kind_of_config_is_refused(run):
    class Other(BaseModel):
        start: str

    enter(run)
    with pytest.raises(UserError, match="another config"), run.writing(Other(start="a"), COMMAND):
        pass


def test_the_same_run_may_be_moved_described_anew_and_carried_on_elsewhere(run):
    enter(run, {**CONFIG, "gone": None})
    enter(run, {**CONFIG, "about": "new", "run_dir": "s", "distribution": {"strategy": "tpu"}})
    assert run.config_json()["about"] == ""


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot be written (" in refusal(enter, Run(tmp_path / "file"))
    assert "cannot be written (" in refusal(enter, Run(tmp_path / "file" / "a"))
    assert "cannot be written (File name too long)" in refusal(enter, Run(tmp_path / ("n" * 300)))


# ---- states ------------------------------------------------------------------------------


def test_states(run):
    assert run.state() == "stopped"
    assert "no such run folder; train that run first" in refusal(run.summary)
    run.path.mkdir(parents=True)
    assert "expected a run folder, found no config.json in it" in refusal(run.summary)
    with run.writing(Config(**CONFIG), COMMAND):
        assert run.state() == "running"
        assert "expected a finished run, this one is running" in refusal(run.final_weights)
        run.write_failure(RunFailed("the loss\nis not finite"))
        assert run.state() == "running"
    assert run.state() == "failed"
    assert run.failure() == "the loss is not finite"
    assert "this one is failed" in refusal(run.summary)
    with run.writing(Config(**CONFIG), COMMAND):  # carrying on removes it
        assert run.failure() is None
    assert run.state() == "stopped"
    with run.writing(Config(**CONFIG), COMMAND):
        run.write_summary({"kind": "training", "accuracy": float("nan")})
        assert run.state() == "finished"
    assert run.finished()
    assert run.summary() == {"kind": "training", "accuracy": None}


def test_a_finished_run_keeps_its_command(run):
    with run.writing(Config(**CONFIG), COMMAND):
        run.write_summary({"kind": "training"})
    with run.writing(Config(**CONFIG), ["another", "command"]):
        pass
    assert (run.path / "command.txt").read_text().startswith("python -m")


def test_a_full_disk_while_reporting_a_failure_hides_nothing(run, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    enter(run)
    monkeypatch.setattr(files, "write_json", full)
    run.write_failure(RunFailed("the reason"))
    assert run.failure() is None


def test_damaged_files_are_named(run):
    enter(run)
    (run.path / "config.json").write_text("[1]")
    assert refusal(run.config_json) == f"{run.path / 'config.json'}: expected a JSON object"
    (run.path / "config.json").write_text("{")
    assert "config.json: malformed JSON" in refusal(enter, run)


# ---- the log -----------------------------------------------------------------------------

LINES = [{"kind": "train", "step": step, "loss": 1 / 3 + step} for step in (1, 2, 3, 4)]


def test_lines_come_back_and_non_finite_numbers_are_null(run):
    enter(run)
    assert run.metrics() == []
    for line in LINES:
        run.append_metrics(line)
    run.append_metrics({"kind": "train", "step": np.int64(5), "loss": np.float32("nan")})
    assert run.metrics() == [*LINES, {"kind": "train", "step": 5, "loss": None}]


@settings(deadline=None)
@given(st.data())
def test_a_log_cut_anywhere_shows_only_whole_lines(tmp_path_factory, data):
    run = Run(tmp_path_factory.getbasetemp() / "cut")
    run.path.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in LINES)
    length = data.draw(st.integers(0, len(text)))
    (run.path / "metrics.jsonl").write_text(text[:length])
    found = run.metrics()
    assert found == LINES[: len(found)]
    assert len(found) >= text[:length].count("\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        kept = run.cut_metrics(after_step=99)
    run.append_metrics({"kind": "train", "step": 9})
    assert run.metrics() == [*kept, {"kind": "train", "step": 9}]


def test_lines_beyond_the_checkpoint_are_dropped(run):
    enter(run)
    for line in LINES:
        run.append_metrics(line)
    with open(run.path / "metrics.jsonl", "a") as stream:
        stream.write('{"kind": "train", "st')
    assert run.cut_metrics(after_step=2) == LINES[:2]
    assert (run.path / "metrics.jsonl").read_text() == "".join(
        json.dumps(line) + "\n" for line in LINES[:2]
    )
    assert run.cut_metrics(after_step=-1) == []
    assert (run.path / "metrics.jsonl").read_bytes() == b""


def test_a_disk_that_fills_up_leaves_no_half_line(run):
    enter(run)
    run.append_metrics(LINES[0])
    size = (run.path / "metrics.jsonl").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, hard))
    try:
        with pytest.raises(OSError) as caught:
            run.append_metrics(LINES[1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(run.path / "metrics.jsonl")
    assert (run.path / "metrics.jsonl").stat().st_size == size
    run.append_metrics(LINES[2])
    assert run.metrics() == [LINES[0], LINES[2]]


# ---- weights -----------------------------------------------------------------------------

WEIGHTS = {"a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "a/bias": np.zeros(3)}


def test_weights_are_kept_by_step(run):
    enter(run)
    run.write_initial(WEIGHTS)
    run.write_weights_at(500, {"a/kernel": np.ones(2)})
    run.write_weights_at(20, {"a/kernel": np.zeros(2)})
    (run.path / "weights_x.npz").write_text("not ours")
    assert run.kept_steps() == [0, 20, 500]
    assert run.weights_at(500)["a/kernel"].tolist() == [1, 1]
    assert np.array_equal(run.weights_at(0)["a/kernel"], WEIGHTS["a/kernel"])
    assert refusal(run.weights_at, 7) == (
        f"{run.path}: kept no weights of step 7, only of 0, 20, 500; "
        "add the step to its train.save_weights_at"
    )


def test_masks_are_bytes_and_a_dense_run_has_none(run):
    enter(run)
    run.write_final(WEIGHTS, {})
    assert run.masks() == {}
    assert not (run.path / "masks.npz").exists()
    run.write_final(WEIGHTS, {"a": np.array([[1.0, 0.0]])})
    assert run.masks()["a"].dtype == np.uint8
    assert run.masks()["a"].tolist() == [[1, 0]]
    run.write_summary({})
    assert weights_hash(run.final_weights()) == weights_hash(WEIGHTS)
    (run.path / "final.npz").unlink()
    assert "final.npz: no such file" in refusal(run.final_weights)


# ---- finding -----------------------------------------------------------------------------


def test_runs_are_found_sorted(tmp_path):
    for seed in (1, 0):
        enter(Run(run_path(str(tmp_path), "b", seed)))
    enter(Run(run_path(str(tmp_path), "a", 0)))
    (tmp_path / "other").mkdir()
    assert [str(run.path.relative_to(tmp_path)) for run in find_runs(tmp_path)] == [
        "a/seed_0", "b/seed_0", "b/seed_1"
    ]  # fmt: skip
    assert find_runs(tmp_path / "nowhere") == []
    assert repr(Run("a/b")) == "Run('a/b')"
