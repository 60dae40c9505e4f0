"""Training does not depend on the number of replicas."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from distributed import TWO_CPUS, TWO_WORKERS, clusters, finish, start
from small import small_config

from tfsparse.config import DistributionConfig, check
from tfsparse.config.distribution import read_cluster
from tfsparse.errors import UserError
from tfsparse.runs import Run

THREE = ("pruned", "lottery", "rigl")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same runs on one device, on two logical devices and by two processes."""
    root = tmp_path_factory.mktemp("distribution")
    one, two, workers = (root / name for name in ("one", "two", "workers"))
    synchronised = {**TWO_CPUS, "synchronised_batch_norm": True}
    finish(
        start(one, {}, *THREE, "snfs", "revival", "normed"),
        start(two, synchronised, *THREE, "snfs", "revival", "normed"),
        *(start(workers, TWO_WORKERS, *THREE, cluster=own) for own in clusters(2)),
        seconds=500,
    )
    return {"one": one, "mirrored": two, "multi_worker": workers}


def losses(run):
    return [line["loss"] for line in run.metrics() if line["kind"] == "train"]


def evaluations(run):
    return [line["cross_entropy"] for line in run.metrics() if line["kind"] == "evaluation"]


@pytest.mark.parametrize(
    ("where", "name"),
    [("mirrored", name) for name in (*THREE, "snfs", "revival", "normed")]
    + [("multi_worker", name) for name in THREE],
)
def test_losses_and_masks_do_not_depend_on_the_replicas(folders, where, name):
    alone, spread = (Run(folders[key] / name / "seed_0") for key in ("one", where))
    assert len(losses(alone)) == (12 if name in ("snfs", "revival") else 50)
    np.testing.assert_allclose(losses(spread), losses(alone), rtol=1e-4)
    # Keras' synchronised batch norm keeps the variance of the batch, the other one n / (n - 1) of
    # it, so evaluations differ a little more.
    tolerance = 1e-3 if name == "normed" else 1e-4
    np.testing.assert_allclose(evaluations(spread), evaluations(alone), rtol=tolerance)
    expected, found = alone.masks(), spread.masks()
    assert expected and expected.keys() == found.keys()
    for layer, mask in expected.items():
        np.testing.assert_array_equal(found[layer], mask)
    for key in ("test", "train"):
        assert spread.summary()[key]["accuracy"] == alone.summary()[key]["accuracy"]
    expected, found = (run.summary()["gradient_l1_mean"] for run in (alone, spread))
    assert found == pytest.approx(expected, rel=1e-2)


def test_only_worker_0_writes(folders):
    written = {path.name for path in folders["multi_worker"].iterdir()}
    assert written == set(THREE)
    lines = Run(folders["multi_worker"] / "pruned" / "seed_0").metrics()
    steps = [line["step"] for line in lines if line["kind"] == "train"]
    assert steps == list(range(1, 51))


@pytest.mark.slow
def test_two_workers_carry_on_within_the_rounds(tmp_path):
    """Iterative pruning is a chain of runs, each of which is found finished by both workers."""
    one, workers = tmp_path / "one", tmp_path / "workers"
    finish(
        start(one, {}, "imp"), *(start(workers, TWO_WORKERS, "imp", cluster=c) for c in clusters(2))
    )
    alone, spread = (Run(folder / "imp" / "seed_0") for folder in (one, workers))
    np.testing.assert_allclose(losses(spread), losses(alone), rtol=1e-4)
    (spread.path / "summary.json").unlink()
    finish(*(start(workers, TWO_WORKERS, "imp", cluster=c) for c in clusters(2)))
    for layer, mask in alone.masks().items():
        np.testing.assert_array_equal(spread.masks()[layer], mask)


# ---- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"strategy": "mirored"}, "did you mean 'mirrored'?"),
        ({"strategy": "mirrored", "devices": ["cpu0"]}, "expected devices such as 'GPU:0'"),
        ({"strategy": "mirrored", "devices": ["CPU:0", "CPU:0"]}, "expected every device once"),
        ({"devices": ["CPU:0", "CPU:1"]}, "expected one device, or strategy 'mirrored'"),
        ({"strategy": "multi_worker", "devices": ["CPU:0"]}, "has no effect under 'multi_worker'"),
        ({"strategy": "tpu"}, "tpu: expected a name or address"),
        ({"tpu": "here"}, "tpu: expected a name or address"),
    ],
)
def test_a_section_that_cannot_be_is_refused(section, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        check(section, DistributionConfig, "c.json")


WORKERS = {"worker": ["a:1", "b:2"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "received nothing"),
        ("{", "received no JSON"),
        ("[]", "cluster.worker: expected a list"),
        ({"cluster": {"worker": ["a"]}, "task": {}}, "cluster.worker: expected a list"),
        ({"cluster": {"worker": ["a:1", "a:1"]}, "task": {}}, "every address once"),
        ({"cluster": {**WORKERS, "ps": ["c:1"]}, "task": {"type": "worker"}}, "'worker' only"),
        ({"cluster": WORKERS, "task": {"type": "chief", "index": 0}}, "'worker' only"),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": 2}}, "expected 0 to 1, received"),
        ({"cluster": WORKERS, "task": {"type": "worker", "index": True}}, "expected 0 to 1"),
    ],
)
def test_a_malformed_cluster_is_one_clear_line(value, message):
    text = value if value is None or isinstance(value, str) else json.dumps(value)
    with pytest.raises(UserError, match=message) as caught:
        read_cluster(text)
    assert str(caught.value).startswith("TF_CONFIG: ")
    assert "\n" not in str(caught.value)


COMMANDS = {
    "replicas": ({**TWO_CPUS, "devices": ["CPU:0", "CPU:1", "CPU:2"]}, "a multiple of the 3 repl"),
    "devices": ({"strategy": "mirrored", "devices": ["GPU:7"]}, "devices of this machine (CPU:0"),
    "cluster": ({"strategy": "multi_worker"}, "TF_CONFIG: expected"),
    "tpu": ({"strategy": "tpu", "tpu": "grpc://127.0.0.1:9"}, "no TPU answers to 'grpc://127"),
}


def test_commands_end_with_2_and_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    processes = {}
    for name, (section, _) in COMMANDS.items():
        config = small_config(tmp_path, name, distribution=section)
        path = tmp_path / f"{name}.json"
        path.write_text(config.model_dump_json())
        processes[name] = subprocess.Popen(
            [sys.executable, "-m", "tfsparse.train", "--config", str(path)],
            env=dict(os.environ), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    for name, process in processes.items():
        out, err = process.communicate(timeout=200)
        assert (process.returncode, out) == (2, ""), (name, err)
        assert err.count("\n") == 1, err
        assert COMMANDS[name][1] in err
        assert not (tmp_path / name).exists(), "no folder is made"
