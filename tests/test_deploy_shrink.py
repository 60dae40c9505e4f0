"""Removal of neurons and channels without effect."""

import numpy as np
import pytest
import tf_keras as keras

from tfsparse.config import ModelConfig
from tfsparse.deploy.shrink import shrink
from tfsparse.errors import UserError
from tfsparse.models import build, get_weights, set_weights

layers = keras.layers


def dense_net(activation="relu"):
    """2 inputs, 3 hidden neurons, 1 output."""
    return keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(3, activation=activation, name="hidden"),
            layers.Dense(1, name="logits"),
        ]
    )


def outputs(model, x):
    return np.asarray(model(x, training=False))


def test_a_neuron_without_inputs_goes_and_its_value_moves_into_the_next_bias():
    model = dense_net()
    set_weights(
        model,
        {
            # neuron 1 has no inputs and the value relu(0.5); nothing reads neuron 2
            "hidden/kernel": np.array([[1, 0, 1], [2, 0, 1]], np.float32),
            "hidden/bias": np.array([0, 0.5, 0], np.float32),
            "logits/kernel": np.array([[3], [4], [0]], np.float32),
            "logits/bias": np.array([1], np.float32),
        },
    )
    result = shrink(model)
    weights = get_weights(result.model)
    assert weights["hidden/kernel"].tolist() == [[1], [2]]
    assert weights["logits/kernel"].tolist() == [[3]]
    assert weights["logits/bias"].tolist() == [1 + 4 * 0.5]
    assert result.removed == {"hidden": 2}
    assert (result.parameters_before, result.parameters_after) == (13, 5)


def test_a_negative_bias_behind_a_relu_is_a_constant_zero():
    model = dense_net()
    set_weights(
        model,
        {
            "hidden/kernel": np.array([[1, 0, 1], [2, 0, 1]], np.float32),
            "hidden/bias": np.array([0, -7, 0], np.float32),
            "logits/kernel": np.array([[3], [4], [5]], np.float32),
            "logits/bias": np.array([1], np.float32),
        },
    )
    assert get_weights(shrink(model).model)["logits/bias"].tolist() == [1]


def test_one_neuron_stays_where_all_are_dead():
    model = dense_net()
    zeros = {name: np.zeros_like(value) for name, value in get_weights(model).items()}
    zeros["hidden/bias"] += 2
    zeros["logits/kernel"] += 1
    set_weights(model, zeros)
    result = shrink(model)
    assert result.model.get_layer("hidden").units == 1
    assert outputs(result.model, np.zeros((1, 2), np.float32)).tolist() == [[6.0]]


def test_softmax_mixes_neurons_so_none_goes():
    model = dense_net("softmax")
    weights = get_weights(model)
    weights["hidden/kernel"][:, 1] = 0
    set_weights(model, weights)
    result = shrink(model)
    assert result.removed == {} and result.skipped == {}  # it changes the others: not superfluous
    x = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
    np.testing.assert_allclose(outputs(result.model, x), outputs(model, x), atol=1e-6)


def test_a_constant_channel_before_zero_padding_stays_and_is_reported():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(2, 1, name="conv1"),
            layers.Conv2D(2, 3, padding="same", name="conv2"),
            layers.Flatten(),
            layers.Dense(1, name="logits"),
        ]
    )
    weights = get_weights(model)
    weights["conv1/kernel"][..., 1] = 0
    weights["conv1/bias"][1] = 1.0
    set_weights(model, weights)
    result = shrink(model)
    assert "conv1" not in result.removed
    assert "zero padding" in result.skipped["conv1"]


def test_the_sum_of_a_residual_block_loses_a_channel_in_both_branches():
    x = inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(x)
    y = layers.Conv2D(4, 3, padding="same", name="branch")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    weights = get_weights(model)
    weights["logits/kernel"][2] = 0  # nothing after the sum reads channel 2 ...
    weights["branch/kernel"][:, :, 2] = 0  # ... nor does the branch
    set_weights(model, weights)
    result = shrink(model)
    assert result.removed == {"branch": 1, "stem": 1}
    weights["branch/kernel"][0, 0, 2, 0] = 1.0  # now the branch needs the stem's channel
    set_weights(model, weights)
    assert shrink(model).removed == {}


def test_a_sum_with_the_input_keeps_the_inputs_channels():
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(3, 3, padding="same", name="branch")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, inputs]))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    weights = get_weights(model)
    weights["logits/kernel"][1] = 0
    weights["branch/kernel"][:, :, 1] = 0
    set_weights(model, weights)
    result = shrink(model)
    assert result.removed == {} and "input" in result.skipped["branch"]


def test_a_depthwise_channel_without_weights_is_constant():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            layers.Conv2D(3, 1, name="conv1"),
            layers.DepthwiseConv2D(3, padding="same", name="depthwise"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, name="logits"),
        ]
    )
    weights = get_weights(model)
    weights["depthwise/depthwise_kernel"][:, :, 1] = 0
    weights["depthwise/bias"][1] = 0.5
    set_weights(model, weights)
    result = shrink(model)
    assert result.removed == {"conv1": 1}
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 1)).astype(np.float32)
    np.testing.assert_allclose(outputs(result.model, x), outputs(model, x), atol=1e-6)


def test_a_layer_that_mixes_channels_is_left_alone_and_named():
    config = ModelConfig(name="lenet_5_caffe", args={"lrn": True}, width=0.2)
    model = build(config, (12, 12, 1), 3, seed=0)
    weights = get_weights(model)
    weights["conv2/kernel"][..., 0] = 0
    weights["dense1/kernel"][:, 1] = 0
    weights["logits/kernel"][2] = 0
    set_weights(model, weights)
    result = shrink(model)
    assert result.removed == {"dense1": 2}


def test_a_layer_used_twice_is_refused():
    inputs = keras.Input((4,))
    shared = layers.Dense(4, name="shared")
    model = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(UserError, match="'shared' is used more than once"):
        shrink(model)


def kill_channels(model, rng, fraction):
    """Random weights; a part of the kernels' inputs and outputs zero, batch norm uneven."""
    weights = get_weights(model)
    for name, value in weights.items():
        if name.endswith(("variance",)):
            weights[name] = rng.uniform(0.5, 1.5, value.shape)
        elif value.ndim == 1:
            weights[name] = rng.normal(0.3, 0.5, value.shape)
        else:
            fan_in = value.size / value.shape[-1] if "depthwise" not in name else 9
            value = rng.normal(0, (2 / fan_in) ** 0.5, value.shape)
            value[..., rng.random(value.shape[-1]) < fraction] = 0
            if value.shape[-2] > 3:
                value[..., rng.random(value.shape[-2]) < fraction, :] = 0
            weights[name] = value
    set_weights(model, weights)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (ModelConfig(name="lenet_300_100", width=0.3), (8, 8, 1)),
        (ModelConfig(name="lenet_5"), (28, 28, 1)),
        (ModelConfig(name="resnet_20", width=0.5), (16, 16, 3)),
        (ModelConfig(name="tfsparse.models.mobilenet:mobilenet_v1", width=0.25), (32, 32, 3)),
    ],
)
@pytest.mark.parametrize("fraction", [0.1, 0.4])
def test_outputs_do_not_change(config, shape, fraction):
    rng = np.random.default_rng(1)
    model = build(config, shape, 10, seed=0)
    kill_channels(model, rng, fraction)
    before = {name: value.copy() for name, value in get_weights(model).items()}
    result = shrink(model)
    x = rng.normal(size=(4, *shape)).astype(np.float32)
    expected = outputs(model, x)
    np.testing.assert_allclose(
        outputs(result.model, x), expected, atol=1e-5 * max(1, np.abs(expected).max())
    )
    assert result.parameters_after < result.parameters_before
    assert sum(result.removed.values()) > 0
    for name, value in get_weights(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_network_without_zeros_stays_as_it_is():
    model = build(ModelConfig(name="lenet_5"), (28, 28, 1), 10, seed=0)
    result = shrink(model)
    assert result.removed == {} and result.parameters_after == result.parameters_before
