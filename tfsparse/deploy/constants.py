"""Channels that have the same value everywhere, whatever the input."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.deploy.channels import ACTIVATIONS, Channels

_layers = keras.layers

Weights = Mapping[str, np.ndarray]


def constant_channels(
    model: keras.Model, channels: Channels, weights: Weights
) -> dict[str, np.ndarray]:
    """The constant value of each channel of each layer's output; NaN where it varies.

    A neuron without inputs has the value act(bias); batch norm, activations and pooling turn
    constants into constants, and padding with zeros does so only for 0.

    Args:
        model: whose graph is followed.
        channels: of the model.
        weights: by `<layer>/<weight>`.

    Returns:
        float64 [channels] by layer name.
    """
    values: dict[str, np.ndarray] = {}
    for name, sources in channels.producers.items():
        size = channels.space_of(name).channels
        layer = _find(model, name)
        if layer is None or not sources:
            values[name] = np.full(size, np.nan)
        else:
            inputs = [values[source] for source in sources]
            values[name] = _through(layer, inputs, weights, size)
    return values


def _find(model: keras.Model, name: str) -> keras.layers.Layer | None:
    return next((layer for layer in model.layers if layer.name == name), None)


def _through(
    layer: keras.layers.Layer, inputs: list[np.ndarray], weights: Weights, size: int
) -> np.ndarray:
    kind, name, value = type(layer), layer.name, inputs[0]
    varies = np.full(size, np.nan)
    if getattr(getattr(layer, "activation", None), "__name__", "linear") not in ACTIVATIONS:
        return varies  # softmax: each number depends on the others
    if kind in (_layers.Dense, _layers.Conv2D):
        kernel = weights[f"{name}/kernel"].reshape(-1, size)
        bias = weights.get(f"{name}/bias", np.zeros(size))
        dead = ~kernel.any(axis=0)
        return np.where(dead, _activate(layer.activation, bias), np.nan)
    if kind is _layers.DepthwiseConv2D:
        kernel = weights[f"{name}/depthwise_kernel"].reshape(-1, size).astype(np.float64)
        value = np.where(~kernel.any(axis=0), 0.0, value)
        if layer.padding != "valid" and layer.kernel_size != (1, 1):
            value = _zero_only(value)
        value = kernel.sum(axis=0) * value + weights.get(f"{name}/bias", np.zeros(size))
        return _activate(layer.activation, value)
    if kind is _layers.BatchNormalization:
        return _normalised(layer, value, weights)
    if kind is _layers.ZeroPadding2D:
        return _zero_only(value)
    if kind is _layers.Add:
        return np.sum(inputs, axis=0) if all(len(item) == size for item in inputs) else varies
    if kind is _layers.Activation:
        return _activate(layer.activation, value) if len(value) == size else varies
    if kind in (_layers.ReLU, _layers.LeakyReLU, _layers.ELU):
        return _activate(layer, value)
    keeps = (
        _layers.Dropout, _layers.SpatialDropout2D, _layers.Flatten, _layers.MaxPooling2D,
        _layers.AveragePooling2D, _layers.GlobalAveragePooling2D, _layers.GlobalMaxPooling2D,
    )  # fmt: skip
    return value if kind in keeps and len(value) == size else varies


def _normalised(layer: keras.layers.Layer, value: np.ndarray, weights: Weights) -> np.ndarray:
    size, name = len(value), layer.name
    gamma = weights.get(f"{name}/gamma", np.ones(size)).astype(np.float64)
    beta = weights.get(f"{name}/beta", np.zeros(size))
    mean, variance = weights[f"{name}/moving_mean"], weights[f"{name}/moving_variance"]
    value = np.where(gamma == 0, 0.0, value)  # a channel scaled by 0 does not vary
    return gamma * (value - mean) / np.sqrt(variance + layer.epsilon) + beta


def _zero_only(value: np.ndarray) -> np.ndarray:
    """At a border the padding is 0, so only a constant 0 stays the same everywhere."""
    return np.where(value == 0, 0.0, np.nan)


def _activate(function: keras.layers.Layer, value: np.ndarray) -> np.ndarray:
    known = ~np.isnan(value)
    result = np.full(len(value), np.nan)
    if known.any():
        result[known] = np.asarray(function(tf.constant(value[known][None], tf.float32)))[0]
    return result
