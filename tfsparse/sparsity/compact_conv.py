"""A convolution that stores and computes only its connections."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.sparsity.compact_dense import CompactDense
from tfsparse.sparsity.connections import Connections
from tfsparse.sparsity.layers import MaskedConv2D


@keras.saving.register_keras_serializable("tfsparse")
class CompactConv2D(CompactDense):
    """A stride-1 convolution with SAME padding whose kernel is a list of connections.

    Input: float [batch, height, width, channels in]; output: the same with `channels out`. The
    kernel [h, w, channels in, channels out] is read as a matrix of h*w*channels in inputs; its
    product with the shifted images needs [h*w*channels in, batch*height*width] numbers of
    memory, so that small batches suit very many channels.

    Args:
        topology: `Connections` of that matrix, a 0/1 mask of the kernel's shape, or the sizes of
            a saved config.
        window: (h, w), odd numbers.
        **kwargs: as for `CompactDense`.
    """

    def __init__(
        self,
        topology: Connections | np.ndarray | dict[str, int],
        window: Sequence[int],
        **kwargs: Any,
    ) -> None:
        super().__init__(topology, **kwargs)
        self.window = int(window[0]), int(window[1])
        if any(side % 2 == 0 for side in self.window):
            raise UserError(f"window: expected odd numbers, received {self.window}")

    @property
    def mask_shape(self) -> tuple[int, ...]:
        inputs, units = self.dense_shape
        return (*self.window, inputs // (self.window[0] * self.window[1]), units)

    def build(self, input_shape: Any) -> None:
        channels = tf.TensorShape(input_shape)[-1]
        super().build((None, channels * self.window[0] * self.window[1]))
        self.input_spec = keras.layers.InputSpec(ndim=4, axes={-1: channels})

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        inputs = tf.cast(inputs, self.compute_dtype)
        batch, (height, width) = tf.shape(inputs)[0], inputs.shape[1:3]
        # Channels first: one input of the matrix is then one stretch of memory.
        images = tf.transpose(inputs, [3, 0, 1, 2])
        up, left = self.window[0] // 2, self.window[1] // 2
        images = tf.pad(images, [[0, 0], [0, 0], [up, up], [left, left]])
        shifted = [
            images[:, :, y : y + height, x : x + width]
            for y in range(self.window[0])
            for x in range(self.window[1])
        ]
        rows = tf.reshape(tf.concat(shifted, 0), [self.dense_shape[0], -1])
        outputs = self.rows_product(rows, tf.convert_to_tensor(self.kernel))
        outputs = tf.reshape(outputs, [self.units, batch, height, width])
        outputs = tf.transpose(outputs, [1, 2, 3, 0])
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape([*tf.TensorShape(input_shape)[:-1], self.units])

    def to_masked_dense(self) -> MaskedConv2D:
        """The masked convolution with the same weights and the same name, built."""
        twin = MaskedConv2D(
            self.units,
            self.window,
            padding="same",
            activation=self.activation,
            use_bias=self.use_bias,
            name=self.name,
            dtype=self.dtype_policy,
            kernel_regularizer=self.kernel_regularizer,
        )
        twin.build((None, None, None, self.mask_shape[-2]))
        twin.kernel.assign(self.dense_kernel())
        twin.mask.assign(self.mask())
        if self.bias is not None:
            twin.bias.assign(self.bias)
        return twin

    @classmethod
    def from_dense(
        cls, dense: keras.layers.Conv2D, topology: Connections | np.ndarray | None = None
    ) -> "CompactConv2D":
        """The compact twin of a built Conv2D or MaskedConv2D layer, with its weights and name.

        Raises:
            UserError: no topology, another shape, weights outside the topology, or a convolution
                of another kind.
        """
        if not has_compact_twin(dense):
            raise UserError(
                f"layer {dense.name!r}: expected a 2-D convolution with stride 1, SAME padding and "
                "an odd window to store only its connections; use representation 'masked'"
            )
        if topology is None:
            if not isinstance(dense, MaskedConv2D):
                raise UserError(
                    f"layer {dense.name!r}: expected a topology or a MaskedConv2D layer, "
                    f"received {type(dense).__name__} alone"
                )
            topology = dense.mask.numpy()
        layer = cls(topology, dense.kernel_size, **cls._shared_arguments(dense))
        layer.take_weights(dense)
        return layer

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}


def has_compact_twin(layer: keras.layers.Layer) -> bool:
    """Whether `CompactConv2D` can stand for this layer."""
    return (
        isinstance(layer, keras.layers.Conv2D)
        and layer.padding == "same"
        and layer.strides == (1, 1)
        and layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and all(side % 2 for side in layer.kernel_size)
    )
