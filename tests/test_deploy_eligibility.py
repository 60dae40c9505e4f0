"""Who may run with XNNPACK's sparse kernels: the Keras policy and the file's graph."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from small import small_config

from tfsparse.config import ModelConfig, RunConfig, load_config
from tfsparse.deploy.eligibility import xnnpack_eligibility
from tfsparse.errors import UserError
from tfsparse.models import build, kernel_shapes
from tfsparse.models.mobilenet import mobilenet_v1
from tfsparse.plan import make_plan
from tfsparse.sparsity.latency import latency_layers, latency_obstacle
from tfsparse.subjects import pruned_subject

layers = keras.layers


def test_mobilenet_has_the_sizes_of_the_paper():
    model = mobilenet_v1((224, 224, 3), 1000)
    # Howard et al. 2017, table 8: 4.2 million parameters at 1000 classes.
    assert model.count_params() == 4_253_864
    shapes = kernel_shapes(mobilenet_v1((32, 32, 3), 10))
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 3_150_688
    pointwise = [shape for name, shape in shapes.items() if "pointwise" in name]
    assert sum(int(np.prod(shape)) for shape in pointwise) == 3_139_584


def test_the_policy_prunes_just_the_pointwise_convolutions():
    model = mobilenet_v1((32, 32, 3), 10, width=0.25)
    assert latency_layers(model) == [f"block{n}_pointwise" for n in range(1, 14)]


def test_the_config_prunes_what_the_policy_allows_and_nothing_else():
    path = Path(__file__).parents[1] / "configs" / "pruned_mobilenet_xnnpack.json"
    config = load_config(path, RunConfig)
    model = build(config.model, (32, 32, 3), 10, seed=0)
    target = pruned_subject(config, model, make_plan(config.train, 45_000)).target
    assert list(target) == [f"block{n}_pointwise" for n in range(1, 14)]
    assert target["block1_pointwise"] == round(0.2 * 16 * 32)


def test_the_policy_refuses_a_model_that_xnnpack_cannot_run_sparsely(tmp_path):
    config = small_config(
        tmp_path, method="pruned", model={"name": "lenet_300_100"},
        pruning={"final_sparsity": 0.8, "policy": "xnnpack_latency"},
    )  # fmt: skip
    model = build(config.model, (28, 28, 1), 10, seed=0)
    with pytest.raises(
        UserError, match=r"it has no convolution; take .* leave pruning\.policy out"
    ):
        pruned_subject(config, model, make_plan(config.train, 1000))


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("lenet_5", (28, 28, 1), "'conv1'.*5x5 of stride 1 over 1"),
        ("lenet_300_100", (28, 28, 1), "no convolution"),
        ("resnet_20", (32, 32, 3), "'conv1'.*3x3 of stride 1"),
    ],
)
def test_the_obstacle_is_a_layer_and_a_reason(name, shape, words):
    model = build(ModelConfig(name=name), shape, 10, seed=0)
    with pytest.raises(UserError, match=words):
        latency_layers(model)


def small(**changes):
    """A smallest eligible network, with one thing changed."""
    what = {"stride": 2, "pad": 1, "size": 1, "depthwise": "same", "pool": True, "extra": None}
    what |= changes
    x = inputs = keras.Input((8, 8, 3))
    x = layers.ZeroPadding2D(what["pad"])(x)
    x = layers.Conv2D(8, 3, strides=what["stride"], name="start")(x)
    x = layers.DepthwiseConv2D(3, padding=what["depthwise"], name="depthwise")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(8, what["size"], padding="same", name="pointwise")(x)
    if what["extra"]:
        x = what["extra"](x)
    x = layers.GlobalAveragePooling2D()(x) if what["pool"] else layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(2, name="logits")(x))


@pytest.mark.parametrize(
    ("changes", "layer"),
    [
        ({}, None),
        ({"stride": 1}, "start"),
        ({"pad": 2}, "start"),
        ({"size": 3}, "pointwise"),
        ({"depthwise": "valid"}, "depthwise"),
        ({"extra": layers.MaxPooling2D(name="extra")}, "extra"),
        ({"extra": layers.Activation("tanh", name="extra")}, "extra"),
        ({"extra": layers.Activation("relu", name="extra")}, None),
        ({"pool": False}, "GlobalAveragePooling2D"),
    ],
)
def test_the_verdict_is_tfmots_and_names_the_layer(changes, layer):
    model = small(**changes)
    policy = tfmot.sparsity.keras.PruneForLatencyOnXNNPack()
    try:
        policy.ensure_model_supports_pruning(model)
        allowed = True
    except ValueError:
        allowed = False
    obstacle = latency_obstacle(model)
    assert (obstacle is None) == allowed == (layer is None)
    if layer:
        assert layer in obstacle


def tensor(shape, *, constant=True, zeros=0.0, sparse=None, dtype="float32", name="t"):
    return {
        "name": name, "shape": shape, "dtype": dtype, "constant": constant,
        "zero_fraction": zeros, "sparse": sparse,
    }  # fmt: skip


def graph(**changes):
    """PAD, CONV 3x3/2, DEPTHWISE, CONV 1x1 (with DENSIFY), MEAN, FULLY_CONNECTED as facts."""
    moving = {"constant": False, "zeros": None}
    tensors = [
        tensor([1, 8, 8, 3], **moving),
        tensor([1, 10, 10, 3], **moving),
        tensor([8, 3, 3, 3], name="model/start/Conv2D"),
        tensor([1, 4, 4, 8], **moving),
        tensor([1, 3, 3, 8]),
        tensor([1, 4, 4, 8], **moving),
        tensor([16, 1, 1, 8], zeros=changes.get("zeros", 0.8), name="model/pointwise/Conv2D",
               sparse=changes.get("sparse", {"format": "csr"}),
               dtype=changes.get("weights", "float32")),
        tensor([16, 1, 1, 8], **moving),
        tensor([1, 4, 4, 16], **moving, dtype=changes.get("dtype", "float32")),
        tensor([1, 16], **moving),
    ]  # fmt: skip
    conv = {"padding": "valid", "dilation": [1, 1]}
    operators = [
        {"op": "PAD", "inputs": [0], "outputs": [1]},
        {"op": "CONV_2D", "inputs": [1, 2], "outputs": [3], "stride": [2, 2], **conv},
        {"op": "DEPTHWISE_CONV_2D", "inputs": [3, 4], "outputs": [5], "stride": [1, 1],
         "padding": "same", "dilation": [1, 1]},
        {"op": "DENSIFY", "inputs": [6], "outputs": [7]},
        {"op": "CONV_2D", "inputs": [5, 7], "outputs": [8], "stride": changes.get("stride", [1, 1]),
         **conv},
        {"op": changes.get("last", "MEAN"), "inputs": [8], "outputs": [9]},
    ]  # fmt: skip
    return {"tensors": tensors, "operators": operators}


def test_the_smallest_graph_is_eligible():
    verdict = xnnpack_eligibility(graph())
    assert verdict.eligible and verdict.reason is None
    assert verdict.zero_fraction == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"zeros": 0.66}, "66.7%"),
        ({"sparse": None}, "EXPERIMENTAL_SPARSITY"),
        ({"last": "RESHAPE"}, "RESHAPE"),
        ({"stride": [2, 2]}, "stride 1"),
        ({"dtype": "int8"}, "floating point"),
        ({"weights": "int8"}, "float weights"),
    ],
)
def test_each_reason_stops_it(changes, words):
    verdict = xnnpack_eligibility(graph(**changes))
    assert not verdict.eligible and words in verdict.reason


def test_two_thirds_of_zeros_are_enough():
    assert xnnpack_eligibility(graph(zeros=2 / 3)).eligible
