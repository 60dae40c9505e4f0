"""A worker that is killed, and a TPU that is taken away."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from distributed import TWO_WORKERS, clusters
from small import PRUNED, small_config

from tfsparse.config import DistributionConfig
from tfsparse.errors import RunFailed, UserError
from tfsparse.runs import Run
from tfsparse.training import distributed as module
from tfsparse.training.distributed import RESTARTS, distributed

STEPS = 90


def commands(config_file):
    """The same command for both workers."""
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tfsparse.train", "--quiet", "--config", str(config_file)],
            env={**os.environ, "TF_CONFIG": json.dumps(own)},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for own in clusters(2)
    ]  # fmt: skip


def steps(run):
    return [line["step"] for line in run.metrics() if line["kind"] == "train"]


def killed_at(config_file, run, worker, step):
    """Both workers until one is killed after `step`; the other's end and how long it took."""
    processes = commands(config_file)
    try:
        deadline = time.monotonic() + 300
        while not steps(run) or steps(run)[-1] < step:
            assert time.monotonic() < deadline, "too slow"
            assert all(p.poll() is None for p in processes), [p.communicate() for p in processes]
            time.sleep(0.05)
        processes[worker].kill()
        began = time.monotonic()
        out, err = processes[1 - worker].communicate(timeout=120)
        return processes[1 - worker].returncode, out, err, time.monotonic() - began
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("worker", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_killed_worker_ends_all_and_the_same_command_carries_on(tmp_path, worker):
    config = small_config(
        tmp_path, **PRUNED, distribution=TWO_WORKERS,
        train={"steps": STEPS, "log_every": 1, "checkpoint_every": 10},
    )  # fmt: skip
    path, run = tmp_path / "c.json", Run(tmp_path / "run" / "seed_0")
    path.write_text(config.model_dump_json())

    code, out, err, seconds = killed_at(path, run, worker, 45)
    assert (code, out) == (1, ""), err
    assert err.count("\n") == 1 and err.startswith("error: "), err
    assert "another worker is gone" in err and "carries on from its last checkpoint" in err
    assert seconds < 60
    assert not run.finished()
    processes = commands(path)
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert steps(run) == list(range(1, STEPS + 1)), "no step is lost or taken twice"
    assert run.summary()["steps"] == STEPS
    kept = np.mean([mask.mean() for mask in run.masks().values()])
    assert kept == pytest.approx(0.2, abs=0.01)


# ---- a TPU that is taken away --------------------------------------------------------------

TPU = DistributionConfig(strategy="tpu", tpu="fake")


@pytest.fixture
def made(monkeypatch):
    """The strategies that are asked for, none of them a TPU's."""
    strategies = []

    def make(config):
        strategies.append(config)
        return tf.distribute.get_strategy()

    make.cache_clear = lambda: None
    monkeypatch.setattr(module, "make_strategy", make)
    return strategies


def preempted(times):
    """Work that carries on from where it was when the TPU went away."""
    done = []

    def work(run):
        while len(done) < 10:
            done.append(len(done))
            if len(done) <= times:
                raise tf.errors.UnavailableError(None, None, "Socket closed")
        return done

    return work


def test_a_preempted_tpu_is_asked_for_again_and_work_carries_on(tmp_path, made):
    notes = []
    result = distributed(preempted(3), Run(tmp_path), TPU, notes.append)
    assert result == list(range(10)), "every part is done once"
    assert len(made) == 4
    assert len(notes) == 3 and "the TPU went away (Socket closed)" in notes[0]


def test_a_tpu_that_never_stays_is_given_up(tmp_path, made):
    def work(run):
        raise tf.errors.AbortedError(None, None, "preempted")

    with pytest.raises(RunFailed, match=rf"{RESTARTS + 1} times\): preempted"):
        distributed(work, Run(tmp_path), TPU, lambda text: None)
    assert len(made) == RESTARTS + 1


def test_other_devices_are_not_asked_again(tmp_path, made):
    with pytest.raises(RunFailed, match="a device went away"):
        distributed(preempted(1), Run(tmp_path), DistributionConfig(), lambda text: None)
    assert len(made) == 1


def test_a_mistake_is_not_repeated(tmp_path, made):
    def work(run):
        raise UserError("no such thing")

    with pytest.raises(UserError):
        distributed(work, Run(tmp_path), TPU, lambda text: None)
    assert len(made) == 1
