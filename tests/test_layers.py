"""Masked layers keep what is masked at exactly zero, under any optimizer, saved or cloned."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfsparse.config import ModelConfig
from tfsparse.errors import UserError
from tfsparse.models import build, get_weights, kernel_shapes
from tfsparse.sparsity.layers import MaskedDense, mask_variables, masked, masks_of, strip
from tfsparse.sparsity.masks import mask_hash, random_mask

RNG = np.random.default_rng(0)


def model_and_masks(name="lenet_5", shape=(28, 28, 1), width=0.5, sparsity=0.8):
    model = build(ModelConfig(name=name, width=width), shape, 10, seed=1)
    shapes = kernel_shapes(model)
    masks = {layer: random_mask(shapes[layer], sparsity, seed=i) for i, layer in enumerate(shapes)}
    return model, masks


def images(count=16, shape=(28, 28, 1)):
    return RNG.normal(size=(count, *shape)).astype(np.float32)


def test_masked_dense_by_hand():
    layer = MaskedDense(2, name="d")
    layer.build((None, 2))
    layer.kernel.assign([[1.0, 2.0], [3.0, 4.0]])
    layer.mask.assign([[1.0, 0.0], [0.0, 1.0]])
    layer.bias.assign([10.0, 20.0])
    # [1, 1] @ [[1, 0], [0, 4]] + [10, 20]
    np.testing.assert_array_equal(layer(tf.ones([1, 2])), [[11.0, 24.0]])


@pytest.mark.parametrize("name, shape", [("lenet_5", (28, 28, 1)), ("resnet_20", (16, 16, 3))])
def test_the_twin_computes_what_the_plain_model_computes_with_masked_kernels(name, shape):
    model, masks = model_and_masks(name, shape)
    twin = masked(model, masks)
    x = images(4, shape)
    weights = get_weights(model)
    for layer, mask in masks.items():
        weights[f"{layer}/kernel"] *= mask
        model.get_layer(layer).kernel.assign(weights[f"{layer}/kernel"])
    np.testing.assert_allclose(twin(x), model(x), rtol=1e-5, atol=1e-6)
    assert get_weights(twin).keys() == weights.keys()
    np.testing.assert_allclose(strip(twin)(x), model(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        lambda: keras.optimizers.Adam(0.01),
    ],
)
def test_plain_keras_training_leaves_masked_weights_and_slots_at_zero(optimizer, jit):
    model, masks = model_and_masks("lenet_300_100", width=0.1)
    twin = masked(model, masks)
    twin.compile(optimizer(), keras.losses.SparseCategoricalCrossentropy(True), jit_compile=jit)
    before = get_weights(twin)
    twin.fit(images(64), RNG.integers(0, 10, 64), batch_size=16, epochs=2, verbose=0)
    after = get_weights(twin)
    for layer, mask in masks.items():
        assert np.all(after[f"{layer}/kernel"][mask == 0] == 0)
        assert np.any(after[f"{layer}/kernel"] != before[f"{layer}/kernel"])
    slots = [v for v in twin.optimizer.variables if "kernel" in v.name]
    assert len(slots) >= len(masks)
    for slot in slots:
        layer = next(name for name in masks if f"{name}/kernel" in slot.name)
        assert np.all(slot.numpy()[masks[layer] == 0] == 0)


def test_junk_under_the_mask_changes_neither_output_nor_gradient():
    model, masks = model_and_masks("lenet_300_100", width=0.1)
    twin = masked(model, masks)
    x = images(4)

    def outputs_and_gradient():
        with tf.GradientTape() as tape:
            logits = twin(x)
            loss = tf.reduce_sum(logits**2)
        return logits.numpy(), tape.gradient(loss, twin.get_layer("dense1").kernel).numpy()

    clean = outputs_and_gradient()
    kernel = twin.get_layer("dense1").kernel
    kernel.assign(kernel + 100.0 * (1.0 - masks["dense1"]))
    for expected, found in zip(clean, outputs_and_gradient(), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert np.all(clean[1][masks["dense1"] == 0] == 0)
    assert np.all(strip(twin).get_layer("dense1").kernel.numpy()[masks["dense1"] == 0] == 0)


@pytest.mark.parametrize("form", ["saved_model", "twin.keras"])
def test_saving_and_loading_keeps_masks_and_outputs(tmp_path, form):
    model, masks = model_and_masks()
    twin = masked(model, masks)
    twin.save(tmp_path / form)
    loaded = keras.models.load_model(tmp_path / form)
    assert mask_hash(masks_of(loaded)) == mask_hash(masks)
    x = images(4)
    np.testing.assert_array_equal(loaded(x), twin(x))


def test_cloning_keeps_the_mask_variables():
    model, masks = model_and_masks()
    twin = masked(model, masks)
    clone = keras.models.clone_model(twin)
    clone.set_weights(twin.get_weights())
    assert mask_hash(masks_of(clone)) == mask_hash(masks)
    assert list(mask_variables(clone)) == list(masks)


def test_masks_are_not_weights_and_not_trainable():
    model, masks = model_and_masks()
    twin = masked(model, masks)
    assert not any("mask" in name for name in get_weights(twin))
    assert len(twin.trainable_variables) == len(model.trainable_variables)


def test_bfloat16_computes_with_float32_masks():
    model = build(ModelConfig(name="lenet_5"), (28, 28, 1), 10, seed=0, precision="mixed_bfloat16")
    masks = {"dense1": random_mask((256, 120), 0.9, seed=0)}
    twin = masked(model, masks)
    assert twin.get_layer("dense1").mask.dtype == tf.float32
    assert twin.get_layer("dense1").compute_dtype == "bfloat16"
    assert twin(images(2)).dtype == tf.bfloat16


def test_bad_masks_are_refused_by_name():
    model, masks = model_and_masks()
    with pytest.raises(UserError, match=r"conv2.*expected shape"):
        masked(model, {"conv2": np.ones((5, 5), np.uint8)})
    with pytest.raises(UserError, match="did you mean 'conv1'"):
        masked(model, {"conv_1": masks["conv1"]})
    with pytest.raises(UserError, match="0 and 1"):
        masked(model, {"conv1": masks["conv1"] * 2})
