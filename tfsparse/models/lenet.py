"""The three LeNets of the papers."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfsparse.models.sizes import units


@keras.saving.register_keras_serializable("tfsparse")
class LocalResponseNormalization(keras.layers.Layer):
    """Local response normalisation over channels, as in the TensorFlow tutorial's CIFAR net.

    Input and output: float [batch, height, width, channels].
    """

    def __init__(
        self,
        depth_radius: int = 4,
        bias: float = 1.0,
        alpha: float = 0.001 / 9,
        beta: float = 0.75,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.depth_radius, self.bias, self.alpha, self.beta = depth_radius, bias, alpha, beta

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.local_response_normalization(
            inputs, self.depth_radius, self.bias, self.alpha, self.beta
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }


def lenet_300_100(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    relu_logits: bool = False,
    fixed_std: bool = False,
    hidden: Sequence[int] = (300, 100),
) -> keras.Model:
    """The fully connected 784-300-100-10 of LeCun et al. 1998 (266,200 kernel weights).

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        width: multiplies the hidden numbers.
        relu_logits: ReLU on the logits (paper 2's code).
        fixed_std: initialise as paper 2's code did: truncated normal of standard deviation
            0.04 whatever the fan-in, biases 0.1.
        hidden: other numbers than 300 and 100, as for paper 2's networks of 3,000 and 100.
    """
    dense = _dense(fixed_std)
    first, second = hidden
    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            keras.layers.Flatten(name="flatten"),
            dense(units(first, width), activation="relu", name="dense1"),
            dense(units(second, width), activation="relu", name="dense2"),
            dense(num_classes, activation=_logits(relu_logits), name="logits"),
        ],
        name="lenet_300_100",
    )


def lenet_5(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    relu_logits: bool = False,
) -> keras.Model:
    """LeNet-5 with 6-16-120-84 units, VALID convolutions and ReLU (44,190 kernel weights)."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            layers.Conv2D(units(6, width), 5, activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(units(16, width), 5, activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool2"),
            layers.Flatten(name="flatten"),
            layers.Dense(units(120, width), activation="relu", name="dense1"),
            layers.Dense(units(84, width), activation="relu", name="dense2"),
            layers.Dense(num_classes, activation=_logits(relu_logits), name="logits"),
        ],
        name="lenet_5",
    )


def lenet_5_caffe(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    relu_logits: bool = False,
    lrn: bool = False,
    fixed_std: bool = False,
    hidden: Sequence[int] = (20, 50, 384),
) -> keras.Model:
    """Paper 2's LeNet-5 with 20-50-384 units and SAME convolutions (970,140 kernel weights).

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        width: multiplies the hidden numbers.
        relu_logits: ReLU on the logits (paper 2's code).
        lrn: local response normalisation after pool 1 and convolution 2 (paper 2's code).
        fixed_std: initialise as paper 2's code did: truncated normals of standard deviation
            0.05 (convolutions) and 0.04 (dense), dense biases 0.1.
        hidden: other numbers than 20 and 50 channels and 384 units.
    """
    layers = keras.layers
    first, second, third = hidden
    dense = _dense(fixed_std)
    kernel = keras.initializers.TruncatedNormal(stddev=0.05) if fixed_std else "glorot_uniform"

    def conv(filters: int, name: str) -> keras.layers.Layer:
        return layers.Conv2D(
            filters, 5, padding="same", activation="relu", kernel_initializer=kernel, name=name
        )

    return keras.Sequential(
        [
            keras.Input(input_shape, name="image"),
            conv(units(first, width), "conv1"),
            layers.MaxPooling2D(padding="same", name="pool1"),
            *([LocalResponseNormalization(name="norm1")] if lrn else []),
            conv(units(second, width), "conv2"),
            *([LocalResponseNormalization(name="norm2")] if lrn else []),
            layers.MaxPooling2D(padding="same", name="pool2"),
            layers.Flatten(name="flatten"),
            dense(units(third, width), activation="relu", name="dense1"),
            dense(num_classes, activation=_logits(relu_logits), name="logits"),
        ],
        name="lenet_5_caffe",
    )


def _logits(relu_logits: bool) -> str | None:
    return "relu" if relu_logits else None


def _dense(fixed_std: bool) -> Callable[..., keras.layers.Layer]:
    def dense(width: int, **kwargs: Any) -> keras.layers.Layer:
        if fixed_std:
            kwargs["kernel_initializer"] = keras.initializers.TruncatedNormal(stddev=0.04)
            kwargs["bias_initializer"] = keras.initializers.Constant(0.1)
        return keras.layers.Dense(width, **kwargs)

    return dense
