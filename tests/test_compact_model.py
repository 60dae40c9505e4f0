"""Whole models with compact layers: chosen, equal to the masked model, and expanded again."""

import numpy as np
import pytest

from tfsparse.config.run import ModelConfig
from tfsparse.config.topology import TopologyConfig
from tfsparse.errors import UserError
from tfsparse.models import build, get_weights, kernel_shapes, maskable_layers, set_weights
from tfsparse.sparsity.compact_conv import CompactConv2D
from tfsparse.sparsity.compact_dense import CompactDense
from tfsparse.sparsity.compact_model import choose, compact, expand
from tfsparse.sparsity.layers import MaskedDense, masked, masks_of, strip
from tfsparse.sparsity.masks import random_mask
from tfsparse.sparsity.radix_dense import RadixDense
from tfsparse.sparsity.representation import Choice
from tfsparse.sparsity.topology_masks import topology_masks, topology_radix_layers


def large_radix_lenet():
    model = build(ModelConfig(name="lenet_300_100", args={}), (28, 28, 1), 10, seed=0)
    return model, kernel_shapes(model)


def images(n=3):
    return np.random.default_rng(0).random((n, 28, 28, 1)).astype(np.float32)


def test_layers_get_the_representation_that_was_asked_for_and_answer_alike():
    model, shapes = large_radix_lenet()
    part = {"layers": ["dense1", "dense2"], "N": [[10, 10]], "B": [8, 3, 1]}
    config = TopologyConfig.model_validate({"parts": [part]})
    masks = topology_masks(shapes, config, 0)
    asked = {"dense1": Choice("radix", "asked"), "dense2": Choice("compact", "asked")}
    twin, chosen = compact(model, masks, topology_radix_layers(shapes, config), asked)
    assert chosen == asked
    kinds = [type(twin.get_layer(name)).__name__ for name in ("dense1", "dense2", "logits")]
    assert kinds == ["RadixDense", "CompactDense", "Dense"]
    assert twin.count_params() < model.count_params() / 5
    np.testing.assert_allclose(twin(images()), masked(model, masks)(images()), rtol=1e-5, atol=1e-5)

    back = expand(twin)
    assert isinstance(back.get_layer("dense1"), MaskedDense)
    found = masks_of(back)
    assert all((found[name] == masks[name]).all() for name in masks)
    plain = get_weights(strip(back))
    np.testing.assert_array_equal(
        plain["dense1/kernel"], get_weights(model)["dense1/kernel"] * masks["dense1"]
    )


def test_the_choice_is_made_by_size_and_sparsity():
    model, shapes = large_radix_lenet()
    masks = {name: random_mask(shapes[name], 0.98, 1) for name in ("dense1", "dense2")}
    twin, chosen = compact(model, masks)
    assert [chosen[name].representation for name in masks] == ["compact", "masked"]
    assert isinstance(twin.get_layer("dense1"), CompactDense)
    assert not isinstance(twin.get_layer("dense2"), RadixDense | CompactDense)


def test_a_radix_structure_must_be_the_masks():
    model, shapes = large_radix_lenet()
    part = {"layers": ["dense1", "dense2"], "N": [[10, 10]], "B": [8, 3, 1]}
    config = TopologyConfig.model_validate({"parts": [part]})
    masks = {"dense1": random_mask((784, 300), 0.9, 0)}
    with pytest.raises(UserError, match="'dense1': the mask is not that of its RadiX"):
        compact(model, masks, topology_radix_layers(shapes, config))
    with pytest.raises(UserError, match="'dense1': expected a RadiX structure"):
        compact(model, masks, None, {"dense1": Choice("radix", "asked")})


def test_weights_go_in_and_out_in_ordinary_shape():
    model, shapes = large_radix_lenet()
    masks = {name: random_mask(shapes[name], 0.9, 1) for name in ("dense1", "dense2")}
    twin, _ = compact(model, masks, None, dict.fromkeys(masks, Choice("compact", "asked")))
    assert [layer.name for layer in maskable_layers(twin)] == ["dense1", "dense2", "logits"]
    assert kernel_shapes(twin) == shapes
    weights = get_weights(twin)
    expected = get_weights(model)["dense2/kernel"] * masks["dense2"]
    np.testing.assert_array_equal(weights["dense2/kernel"], expected)
    changed = {name: value + 1 for name, value in weights.items()}
    set_weights(twin, changed)
    found = get_weights(twin)["dense2/kernel"]
    np.testing.assert_array_equal(found, changed["dense2/kernel"] * masks["dense2"])
    with pytest.raises(UserError, match=r"'dense1/kernel': expected shape \(784, 300\)"):
        set_weights(twin, {**weights, "dense1/kernel": np.zeros(23_520)})
    stripped = strip(twin)
    assert isinstance(stripped.get_layer("dense1"), CompactDense)
    np.testing.assert_allclose(stripped(images()), twin(images()), rtol=1e-6, atol=1e-6)


def small_conv_net(name):
    return build(ModelConfig(name=name, width=0.2, args={}), (28, 28, 1), 10, seed=0)


def test_convolutions_of_stride_1_can_be_compact():
    model = small_conv_net("lenet_5_caffe")
    masks = {"conv2": random_mask(kernel_shapes(model)["conv2"], 0.9, 1)}
    assert choose(model, masks, {})["conv2"].representation == "masked"
    asked = choose(model, masks, {}, "compact")
    twin, _ = compact(model, masks, None, asked)
    assert isinstance(twin.get_layer("conv2"), CompactConv2D)
    np.testing.assert_allclose(twin(images()), masked(model, masks)(images()), rtol=1e-4, atol=1e-5)
    back = masks_of(expand(twin))["conv2"]
    np.testing.assert_array_equal(back, masks["conv2"])
    valid = small_conv_net("lenet_5")
    masks = {"conv2": random_mask(kernel_shapes(valid)["conv2"], 0.9, 1)}
    choice = choose(valid, masks, {}, "compact")["conv2"]
    assert choice.representation == "masked" and "SAME padding" in choice.why
    with pytest.raises(UserError, match="'conv2': expected a 2-D convolution with stride 1"):
        CompactConv2D.from_dense(valid.get_layer("conv2"))


def test_a_radix_net_on_a_convolution_is_said_to_be_our_own_choice():
    model = small_conv_net("lenet_5_caffe")  # 4 and 10 channels
    part = {"layers": ["conv2"], "N": [[2]], "B": [2, 5]}
    config = TopologyConfig.model_validate({"parts": [part]})
    shapes = kernel_shapes(model)
    masks, radix = topology_masks(shapes, config, 0), topology_radix_layers(shapes, config)
    assert "this project's choice" in choose(model, masks, radix)["conv2"].why
    twin, _ = compact(model, masks, radix, choose(model, masks, radix))
    np.testing.assert_array_equal(masks_of(twin)["conv2"], masks["conv2"])
