"""Runs that are sparse from birth: by connections or masked, the same network and run folder."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small import small_config, trained

from tfsparse import files
from tfsparse.deploy.source import open_source
from tfsparse.errors import UserError
from tfsparse.models import is_compact
from tfsparse.runs import Run
from tfsparse.sparsity.layers import MaskedDense
from tfsparse.sparsity.topologies import radix_net
from tfsparse.training.loop import Loop
from tfsparse.training.run import train
from tfsparse.training.tables import summary_table

# 790 pixels trimmed to 784, then 30 and 10 neurons: each pixel meets 2 of 10 positions in each of
# 3 blocks, each hidden neuron 5 of 10. 784 * 6 = 4,704 and 30 * 5 = 150 connections.
RADIX = {"layers": ["dense1", "dense2"], "kind": "radix", "N": [[2, 5]], "B": [79, 3, 1]}
COUNTS = {"dense1": 4704, "dense2": 150, "logits": 100}


def topology(*parts, representation="compact"):
    return {
        "method": "topology",
        "topology": {"parts": list(parts) or [RADIX], "representation": representation},
    }


@pytest.fixture(scope="module")
def radix_runs(tmp_path_factory):
    """The same RadiX-Net trained by its connections and as masked layers: run, summary."""
    root = tmp_path_factory.mktemp("runs")
    return {
        way: trained(root, way, **topology(representation=way)) for way in ("compact", "masked")
    }


def test_connections_are_counted_and_the_representation_is_said(radix_runs):
    _, summary = radix_runs["compact"]
    layers = summary["layers"]
    assert {name: layer["nonzero"] for name, layer in layers.items()} == COUNTS
    assert [layer["shape"] for layer in layers.values()] == [[784, 30], [30, 10], [10, 10]]
    assert layers["dense1"]["sparsity"] == pytest.approx(0.8)
    assert summary["sparsity"] == pytest.approx(1 - 4954 / 23_920)
    assert summary["nominal_sparsity"] == pytest.approx(1 - 4854 / 23_820)
    assert summary["parameters"] == {"total": 23_920 + 50, "kept": 4954 + 50}
    said = summary["representations"]
    assert {name: way["representation"] for name, way in said.items()} == {
        "dense1": "radix", "dense2": "radix",
    }  # fmt: skip
    assert said["dense1"]["why"] == "asked for by topology.representation"
    rows = summary_table(summary, "here").splitlines()
    assert rows[0].endswith("trained as") and rows[1].endswith("radix")
    assert rows[3].split() == ["logits", "10x10", "100", "100", "0.00%", "dense"]
    assert max(map(len, rows)) <= 100
    masked = radix_runs["masked"][1]
    assert masked["representations"]["dense1"]["representation"] == "masked"
    assert masked["mask_hash"] == summary["mask_hash"]


def test_both_ways_train_the_same_network(radix_runs):
    (ours, summary), (twin, other) = radix_runs["compact"], radix_runs["masked"]
    start, end = ours.initial_weights(), ours.final_weights()
    for name, value in twin.initial_weights().items():
        np.testing.assert_array_equal(start[name], value, err_msg=name)
    for name, value in twin.final_weights().items():
        np.testing.assert_allclose(end[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    assert np.abs(end["dense1/kernel"] - start["dense1/kernel"]).max() > 0.01
    assert summary["gradient_l1_mean"] == pytest.approx(other["gradient_l1_mean"], rel=1e-3)
    lines = [[line for line in run.metrics() if line["kind"] == "train"] for run in (ours, twin)]
    for a, b in zip(*lines, strict=True):
        assert a["l2"] > 0 and a["l2"] == pytest.approx(b["l2"], rel=1e-4)
        assert a["sparsity"] == b["sparsity"] == pytest.approx(1 - 4854 / 23_820)


def test_the_run_folder_is_in_dense_terms(radix_runs):
    run, _ = radix_runs["compact"]
    masks = run.masks()
    net = radix_net([[2, 5]], [79, 3, 1]).trimmed_to(784)
    for name, mask in zip(("dense1", "dense2"), net.masks(), strict=True):
        np.testing.assert_array_equal(masks[name], mask)
    for weights in (run.initial_weights(), run.final_weights()):
        for name, mask in masks.items():
            kernel = weights[f"{name}/kernel"]
            assert kernel.shape == mask.shape and not kernel[mask == 0].any()
            assert np.count_nonzero(kernel) == COUNTS[name]


def test_the_saved_model_is_compact_and_is_exported_by_ordinary_layers(radix_runs):
    run, _ = radix_runs["compact"]
    model = keras.models.load_model(run.saved_model, compile=False)
    assert [is_compact(layer) for layer in model.layers[-3:]] == [True, True, False]
    assert model.get_layer("dense1").kernel.shape.num_elements() == 4704
    images = np.random.default_rng(0).random((5, 28, 28, 1)).astype(np.float32)
    source = open_source(run.path)
    kinds = [type(layer) for layer in source.model.layers[-3:]]
    assert kinds == [keras.layers.Dense] * 3
    np.testing.assert_allclose(source.model(images), model(images), rtol=1e-5, atol=1e-5)
    final = run.final_weights()
    np.testing.assert_array_equal(source.weights["dense1/kernel"], final["dense1/kernel"])


def test_optimizer_slots_take_memory_by_connections(radix_runs):
    run, _ = radix_runs["compact"]
    newest = tf.train.latest_checkpoint(str(run.checkpoints))
    sizes = [int(np.prod(shape)) for _, shape in tf.train.list_variables(newest)]
    assert sizes.count(4704) == 2, "kernel and momentum"
    assert 784 * 30 not in sizes


def test_random_layers_train_by_their_connections_too(tmp_path):
    parts = [
        {"layers": ["conv2"], "kind": "bernoulli", "sparsity": 0.8},
        {"layers": ["dense1"], "kind": "random", "sparsity": 0.9},
    ]
    changes = {
        "model": {"name": "lenet_5_caffe", "width": 0.1},
        "train": {"steps": 4, "checkpoint_every": 4, "log_every": 4},
    }
    runs = {}
    for way in ("compact", "masked"):
        asked = topology(*parts, representation=way)
        runs[way] = trained(tmp_path, way, **changes, **asked)
    (ours, summary), (twin, other) = runs["compact"], runs["masked"]
    ways = {name: way["representation"] for name, way in summary["representations"].items()}
    assert ways == {"conv2": "compact", "dense1": "compact"}
    assert summary["mask_hash"] == other["mask_hash"] and set(ours.masks()) == set(parts_of(parts))
    assert summary["layers"]["dense1"]["nonzero"] == round(245 * 38 * 0.1)
    assert summary["layers"]["conv2"]["shape"] == [5, 5, 2, 5]
    assert summary["layers"]["conv2"]["positions"] == 14 * 14
    end = ours.final_weights()
    for name, value in twin.final_weights().items():
        np.testing.assert_allclose(end[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    model = keras.models.load_model(ours.saved_model, compile=False)
    images = np.random.default_rng(0).random((2, 28, 28, 1)).astype(np.float32)
    expected = open_source(twin.path).model(images)
    np.testing.assert_allclose(model(images), expected, rtol=1e-3, atol=1e-4)


def parts_of(parts):
    return [name for part in parts for name in part["layers"]]


class Stopped(Exception):
    """Stands for a killed process."""


def test_a_stopped_run_carries_on_with_the_same_bits(radix_runs, tmp_path, monkeypatch):
    whole, summary = radix_runs["compact"]
    after = Loop._boundary

    def stop(self, step):
        after(self, step)
        if step == 40:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_boundary", stop)
        with pytest.raises(Stopped):
            trained(tmp_path, "stopped", **topology())
    assert not Run(tmp_path / "stopped" / "seed_0").finished()
    run, again = trained(tmp_path, "stopped", **topology())
    for name, value in whole.final_weights().items():
        np.testing.assert_array_equal(run.final_weights()[name], value, err_msg=name)
    assert again["weights_hash"] == summary["weights_hash"]


def test_an_own_topology_and_neurons_without_input(tmp_path):
    mask = np.zeros((30, 10), np.uint8)
    mask[0] = 1
    files.write_npz(tmp_path / "mine.npz", {"dense2": mask})
    own = {"layers": ["dense2"], "kind": "file", "file": str(tmp_path / "mine.npz")}
    sparse = {"layers": ["dense1"], "kind": "random", "sparsity": 0.9995}
    notes = []
    config = small_config(tmp_path, train={"steps": 1}, **topology(own, sparse))
    run, summary = train(config, command=["test"], note=notes.append, quiet=True)
    np.testing.assert_array_equal(run.masks()["dense2"], mask)
    assert summary["layers"]["dense1"]["nonzero"] == 12
    without = 30 - np.count_nonzero(run.masks()["dense1"].any(0))
    assert notes == [f"warning: layer 'dense1': {without} of 30 neurons have no input"]


def test_layers_are_masked_where_that_is_faster(tmp_path):
    run, summary = trained(tmp_path, train={"steps": 1}, **topology(representation="fastest"))
    said = summary["representations"]["dense1"]
    assert said["representation"] == "masked"
    assert "23,520 places, sparsity 0.8000: radix was measured faster only from" in said["why"]
    model = keras.models.load_model(run.saved_model, compile=False)
    assert not any(isinstance(layer, MaskedDense) for layer in model.layers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (topology({**RADIX, "N": [[2, 5], [3, 3]]}), "a divisor of 10, .* the product 9"),
        (topology({**RADIX, "B": [79, 3]}), "B: expected 3 widths in blocks for 2 radices"),
        (topology({**RADIX, "N": [[2, 1]]}), "expected a whole number >= 2, received 1"),
        (topology({**RADIX, "B": [79, 4, 1]}), "'dense1': expected 40 outputs .* the model has 30"),
        (topology({**RADIX, "layers": ["dense1", "dense9"]}), "no layer 'dense9' to mask; did you"),
        (topology({"layers": ["conv1"], "kind": "random", "sparsity": 0.5}), "no layer 'conv1'"),
        ({"method": "topology"}, "method 'topology': expected a section 'topology'"),
        ({**topology(), "method": "dense"}, "section 'topology' has no effect; remove it"),
        ({**topology(), "mask": {"sparsity": 0.5}}, "section 'mask' has no effect; remove it"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        trained(tmp_path, **changes)


def test_a_bad_topology_is_one_line_and_code_2(tmp_path):
    mask = np.ones((30, 10), np.uint8)
    mask[:, 3] = 0
    files.write_npz(tmp_path / "mine.npz", {"dense2": mask})
    own = {"layers": ["dense2"], "kind": "file", "file": str(tmp_path / "mine.npz")}
    config = small_config(tmp_path, **topology(own)).model_dump(mode="json")
    files.write_json(tmp_path / "bad.json", config)
    command = [sys.executable, "-m", "tfsparse.train", "--config", str(tmp_path / "bad.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "expected at least 1 input for each of 10 neurons" in done.stderr


@pytest.mark.parametrize("sparsity", [1.0, -0.1])
def test_a_sparsity_outside_its_range_names_its_place(sparsity, tmp_path):
    part = {"layers": ["dense1"], "kind": "random", "sparsity": sparsity}
    with pytest.raises(UserError, match=r"topology\.parts\.0\.sparsity: expected a number"):
        small_config(tmp_path, **topology(part))
