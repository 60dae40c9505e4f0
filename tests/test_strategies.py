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
RARER = ("snfs", "revival", "recomputed", "hessian", "similarity")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same runs on one device, on two logical devices and by two processes."""
    root = tmp_path_factory.mktemp("distribution")
    one, two, workers = (root / name for name in ("one", "two", "workers"))
    synchronised = {**TWO_CPUS, "synchronised_batch_norm": True}
    finish(
        start(one, {}, *THREE, "normed", "streamed", "line", "curve"),
        start(two, synchronised, *THREE, "normed", "resumed", "streamed", "line", "curve"),
        *(
            start(workers, TWO_WORKERS, *THREE, "streamed", "curve", cluster=own)
            for own in clusters(2)
        ),
        seconds=500,
    )
    return {"one": one, "mirrored": two, "multi_worker": workers}


@pytest.fixture(scope="module")
def rarer(folders):
    """More runs, lines and analyses of `folders`, on one device and on two."""
    finish(
        start(folders["one"], {}, *RARER),
        start(folders["mirrored"], TWO_CPUS, *RARER),
        seconds=500,
    )
    return folders


def losses(run):
    return [line["loss"] for line in run.metrics() if line["kind"] == "train"]


def evaluations(run):
    return [line["cross_entropy"] for line in run.metrics() if line["kind"] == "evaluation"]


@pytest.mark.parametrize(
    ("where", "name"),
    [("mirrored", name) for name in (*THREE, "normed", "streamed")]
    + [("multi_worker", name) for name in (*THREE, "streamed")],
)
def test_losses_and_masks_do_not_depend_on_the_replicas(folders, where, name):
    assert_same_training(folders, where, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["snfs", "revival"])
def test_nor_do_those_of_rarer_methods(rarer, name):
    assert_same_training(rarer, "mirrored", name)


def assert_same_training(folders, where, name):
    alone, spread = (Run(folders[key] / name / "seed_0") for key in ("one", where))
    assert len(losses(alone)) == (50 if name in (*THREE, "normed") else 12)
    np.testing.assert_allclose(losses(spread), losses(alone), rtol=1e-4)
    # Keras' synchronised batch norm keeps the variance of the batch, the other one n / (n - 1) of
    # it, so evaluations differ a little more.
    tolerance = 1e-3 if name == "normed" else 1e-4
    np.testing.assert_allclose(evaluations(spread), evaluations(alone), rtol=tolerance)
    expected, found = alone.masks(), spread.masks()
    assert expected.keys() == found.keys() and (expected or name == "streamed")
    for layer, mask in expected.items():
        np.testing.assert_array_equal(found[layer], mask)
    for key in ("test", "train"):
        assert spread.summary()[key]["accuracy"] == alone.summary()[key]["accuracy"]
    expected, found = (run.summary()["gradient_l1_mean"] for run in (alone, spread))
    assert found == pytest.approx(expected, rel=1e-2)


def numbers(value):
    """All numbers in nested JSON but those of the clock, in order."""
    if isinstance(value, dict):
        value = [value[key] for key in sorted(value) if "seconds" not in key]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize(
    ("where", "name"), [("mirrored", "line"), ("mirrored", "curve"), ("multi_worker", "curve")]
)
def test_lines_and_curves_do_not_depend_on_the_replicas(folders, where, name):
    assert_same_results(folders, where, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["recomputed", "hessian", "similarity"])
def test_nor_do_analyses(rarer, name):
    assert_same_results(rarer, "mirrored", name)


def assert_same_results(folders, where, name):
    alone, spread = (Run(folders[key] / name / "seed_0") for key in ("one", where))
    expected, found = (numbers(run.summary()) for run in (alone, spread))
    assert len(expected) >= 10
    # The ends are the strategies' own runs; those with batch norm differ by its running averages.
    tolerance = {"recomputed": 1e-3, "hessian": 1e-2}.get(name, 5e-4)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=1e-3)
    if name == "curve":
        np.testing.assert_allclose(losses(spread), losses(alone), rtol=1e-4)


def test_only_worker_0_writes(folders):
    written = {path.name for path in folders["multi_worker"].iterdir()}
    assert written == {*THREE, "streamed", "curve"}
    lines = Run(folders["multi_worker"] / "pruned" / "seed_0").metrics()
    steps = [line["step"] for line in lines if line["kind"] == "train"]
    assert steps == list(range(1, 51))


def test_a_run_on_two_devices_that_was_stopped_ends_with_the_same_bits(folders):
    whole, stopped = (Run(folders["mirrored"] / n / "seed_0") for n in ("normed", "resumed"))
    assert losses(stopped) == losses(whole)
    expected = whole.final_weights()
    assert "bn/moving_variance" in expected
    for name, value in stopped.final_weights().items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


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
