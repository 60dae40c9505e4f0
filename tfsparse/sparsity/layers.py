"""Mask-constrained layers: ordinary Keras layers whose kernel is multiplied by a mask.

The product makes the gradient zero outside the mask, so a kernel that starts at zero there
stays exactly zero under any optimizer, and so do the optimizer's slots.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.models import (
    get_weights,
    is_compact,
    kernel_shapes,
    maskable_layers,
    set_weights,
)
from tfsparse.sparsity.masks import validate_masks


class _MaskedKernel(keras.layers.Layer):
    """What masked layers share: a mask variable of the kernel's shape, 1 where a weight is."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.mask = self.add_weight(
            "mask",
            shape=self.kernel.shape,
            initializer="ones",
            dtype=tf.float32,
            trainable=False,
            experimental_autocast=False,
        )

    @property
    def masked_kernel(self) -> tf.Tensor:
        """kernel * mask, in the compute dtype."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel * tf.cast(self.mask, kernel.dtype)


@keras.saving.register_keras_serializable("tfsparse")
class MaskedDense(_MaskedKernel, keras.layers.Dense):
    """A Dense layer that computes activation(inputs @ (kernel * mask) + bias).

    Input: float [..., inputs]; output: float [..., units]. `mask`: float32 [inputs, units] of
    0 and 1, not trainable.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        inputs = tf.cast(inputs, self.compute_dtype)
        kernel = self.masked_kernel
        if inputs.shape.rank == 2:
            outputs = tf.matmul(inputs, kernel)  # XLA fuses more around it
        else:
            outputs = tf.tensordot(inputs, kernel, axes=1)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


@keras.saving.register_keras_serializable("tfsparse")
class MaskedConv2D(_MaskedKernel, keras.layers.Conv2D):
    """A Conv2D layer that convolves with kernel * mask.

    `mask`: float32 [height, width, channels in, channels out] of 0 and 1, not trainable.
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        del kernel
        return super().convolution_op(inputs, self.masked_kernel)


_TWINS: dict[type[keras.layers.Layer], type[keras.layers.Layer]] = {
    keras.layers.Dense: MaskedDense,
    keras.layers.Conv2D: MaskedConv2D,
}


def masked(model: keras.Model, masks: Mapping[str, np.ndarray]) -> keras.Model:
    """The masked twin of `model`: same names, weights times masks, its own variables.

    Args:
        model: a Sequential or functional model.
        masks: 0/1 arrays by layer name; layers without one stay as they are.

    Raises:
        UserError: a mask of another layer, shape or value, or of a layer type without a twin.
    """
    checked = validate_masks(masks, kernel_shapes(model))

    def twin(layer: keras.layers.Layer) -> keras.layers.Layer:
        if layer.name not in checked:
            return layer.__class__.from_config(layer.get_config())
        if type(layer) not in _TWINS:
            raise UserError(
                f"layer {layer.name!r}: expected Dense or Conv2D to mask, "
                f"received {type(layer).__name__}"
            )
        return _TWINS[type(layer)].from_config(layer.get_config())

    result = keras.models.clone_model(model, clone_function=twin)
    weights = get_weights(model)
    for name, mask in checked.items():
        weights[f"{name}/kernel"] = weights[f"{name}/kernel"] * mask
        result.get_layer(name).mask.assign(mask)
    set_weights(result, weights)
    return result


def strip(model: keras.Model) -> keras.Model:
    """The plain twin of a masked model: Dense and Conv2D with the masked kernels.

    Layers that store only their connections stay as they are.
    """
    plain = {twin: kind for kind, twin in _TWINS.items()}

    def untwin(layer: keras.layers.Layer) -> keras.layers.Layer:
        return plain.get(type(layer), layer.__class__).from_config(layer.get_config())

    result = keras.models.clone_model(model, clone_function=untwin)
    for layer in filter(is_compact, result.layers):  # its connections are among its weights
        layer.set_weights(model.get_layer(layer.name).get_weights())
    weights = get_weights(model)
    for name, mask in masks_of(model).items():
        weights[f"{name}/kernel"] = weights[f"{name}/kernel"] * mask
    set_weights(result, weights)
    return result


def masks_of(model: keras.Model) -> dict[str, np.ndarray]:
    """The masks of a masked model by layer name, uint8."""
    return {
        layer.name: layer.mask.numpy().astype(np.uint8)
        for layer in maskable_layers(model)
        if isinstance(layer, _MaskedKernel)
    }


def mask_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """The mask variables of a masked model by layer name."""
    return {
        layer.name: layer.mask
        for layer in maskable_layers(model)
        if isinstance(layer, _MaskedKernel)
    }
