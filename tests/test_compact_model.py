"""Whole models with compact layers: chosen, equal to the masked model, and expanded again."""

import numpy as np
import pytest

from tfsparse.config.run import ModelConfig
from tfsparse.config.topology import TopologyConfig
from tfsparse.errors import UserError
from tfsparse.models import build, get_weights, kernel_shapes
from tfsparse.sparsity.compact_dense import CompactDense
from tfsparse.sparsity.compact_model import compact, expand
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
