"""Compact layers with random weights, and their comparison with the masked dense twin."""

import numpy as np
import tensorflow as tf


def with_weights(layer, seed=0):
    """`layer` built, with normal kernel and bias."""
    layer.build((None, layer.dense_shape[0]))
    rng = np.random.default_rng(seed)
    layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    if layer.use_bias:
        layer.bias.assign(rng.normal(size=layer.bias.shape))
    return layer


def values_and_gradients(layer, inputs, outer):
    """Outputs, and the gradients of kernel, inputs and bias."""
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    kernel, *rest = tape.gradient(outputs, [layer.kernel, inputs, layer.bias], outer)
    return [outputs.numpy(), kernel.numpy(), *(g.numpy() for g in rest)]


def assert_equals_twin(layer, batch, tolerance):
    """Outputs and all gradients of one random batch are those of the masked dense layer."""
    rng = np.random.default_rng(1)
    rows, columns = layer.dense_shape
    inputs = tf.constant(rng.normal(size=(batch, rows)), layer.compute_dtype)
    outer = tf.constant(rng.normal(size=(batch, columns)), layer.compute_dtype)
    ours = values_and_gradients(layer, inputs, outer)
    theirs = values_and_gradients(layer.to_masked_dense(), inputs, outer)
    ours[1] = layer.layout.unpack(ours[1])
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype and np.abs(b).max() > 0
        np.testing.assert_allclose(a.astype("f8"), b.astype("f8"), rtol=tolerance, atol=tolerance)
