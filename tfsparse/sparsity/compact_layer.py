"""What dense layers that store only their connections share."""

import math
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.sparsity.layers import MaskedConv2D, MaskedDense

_MUST_BE_ZERO = "expected zero weights outside the topology, received {} others; mask it first"


class Layout(Protocol):
    """Where the weights of a compact kernel stand in the dense matrix, in plain numpy."""

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Shape of the compact kernel: one entry per connection."""

    @property
    def dense_shape(self) -> tuple[int, int]:
        """(inputs, outputs)."""

    def pack(self, dense: np.ndarray) -> np.ndarray:
        """The compact kernel of a dense one; weights outside the topology are left behind."""

    def unpack(self, compact: np.ndarray) -> np.ndarray:
        """The dense kernel of a compact one; zero outside the topology."""


class CompactLayer(keras.layers.Layer):
    """activation(inputs @ kernel + bias) with one stored weight per connection.

    Input: float [..., inputs]; output: float [..., units]. A subclass says by `layout` where the
    weights stand and by `product` how they are applied. Initializers of the `VarianceScaling`
    family (He, Glorot, LeCun) see a neuron's connections as its fans, not the dense width.
    """

    layout: Layout

    def __init__(
        self,
        *,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    @property
    def dense_shape(self) -> tuple[int, int]:
        """(inputs, units)."""
        return self.layout.dense_shape

    @property
    def mask_shape(self) -> tuple[int, ...]:
        """Shape of the ordinary kernel, whose last axis counts outputs."""
        return self.dense_shape

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Shape of the compact kernel."""
        return self.layout.kernel_shape

    @property
    def units(self) -> int:
        """Number of outputs."""
        return self.dense_shape[1]

    @property
    def connections(self) -> int:
        """Number of stored weights, without biases."""
        return math.prod(self.kernel_shape)

    def build(self, input_shape: Any) -> None:
        expected, received = self.dense_shape[0], tf.TensorShape(input_shape)[-1]
        if received != expected:
            raise UserError(f"layer {self.name!r}: expected {expected} inputs, received {received}")
        self.kernel = self.add_weight(
            "kernel",
            shape=self.kernel_shape,
            initializer=self._initial_kernel,
            regularizer=self.kernel_regularizer,
        )
        self.bias: tf.Variable | None = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", shape=(self.units,), initializer=self.bias_initializer
            )
        super().build(input_shape)

    def _initial_kernel(self, shape: Any, dtype: Any = None, **_: Any) -> tf.Tensor:
        """Draw the weights; the mean fan-in and fan-out are those of the topology."""
        count = math.prod(int(n) for n in shape)
        inputs, outputs = self.dense_shape
        fan_in, fan_out = count / outputs, count / inputs
        draw = self.kernel_initializer
        if isinstance(draw, keras.initializers.VarianceScaling):
            # The matrix drawn has `rows` inputs per neuron; the scale makes up for the difference.
            fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
            rows = max(1, round(fan_in))
            draw = keras.initializers.VarianceScaling(
                draw.scale * rows / fans[draw.mode], "fan_in", draw.distribution, draw.seed
            )
            matrix = draw((rows, -(-count // rows)), dtype=dtype)
            return tf.reshape(tf.reshape(matrix, [-1])[:count], shape)
        return draw(shape, dtype=dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        inputs = tf.cast(inputs, self.compute_dtype)
        lead = tf.shape(inputs)[:-1]
        flat = inputs if inputs.shape.rank == 2 else tf.reshape(inputs, [-1, inputs.shape[-1]])
        outputs = self.product(flat, tf.convert_to_tensor(self.kernel))
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        if inputs.shape.rank != 2:
            outputs = tf.reshape(outputs, tf.concat([lead, [self.units]], 0))
            outputs.set_shape([*inputs.shape[:-1], self.units])
        return outputs if self.activation is None else self.activation(outputs)

    def product(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """inputs [batch, inputs] @ kernel -> [batch, units]; no dense matrix is made."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape([*tf.TensorShape(input_shape)[:-1], self.units])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }

    def mask(self) -> np.ndarray:
        """The topology as uint8 of `mask_shape`."""
        return self.layout.unpack(np.ones(self.kernel_shape, np.uint8)).reshape(self.mask_shape)

    def dense_kernel(self) -> np.ndarray:
        """The weights as an ordinary kernel of `mask_shape`; zero outside the topology."""
        return self.layout.unpack(self.kernel.numpy()).reshape(self.mask_shape)

    def pack(self, dense: np.ndarray) -> np.ndarray:
        """The compact kernel of an ordinary one; weights outside the topology are left behind."""
        return self.layout.pack(np.reshape(dense, self.dense_shape))

    def to_masked_dense(self) -> MaskedDense:
        """The masked dense twin, built, with the same weights and the same name."""
        twin = MaskedDense(
            self.units,
            activation=self.activation,
            use_bias=self.use_bias,
            name=self.name,
            dtype=self.dtype_policy,
            kernel_regularizer=self.kernel_regularizer,
        )
        twin.build((None, self.dense_shape[0]))
        twin.kernel.assign(self.dense_kernel())
        twin.mask.assign(self.mask())
        if self.bias is not None:
            twin.bias.assign(self.bias)
        return twin

    def take_weights(self, dense: keras.layers.Dense) -> None:
        """Build and take kernel and bias of the built ordinary or masked layer.

        Raises:
            UserError: another shape, or a plain Dense kernel with weights outside the topology,
                which would be lost.
        """
        kernel = dense.kernel.numpy()
        if kernel.shape != self.mask_shape:
            raise UserError(
                f"layer {dense.name!r}: expected a kernel of shape {self.mask_shape} "
                f"for this topology, received {kernel.shape}"
            )
        if isinstance(dense, MaskedDense | MaskedConv2D):
            kernel = kernel * dense.mask.numpy().astype(kernel.dtype)
        compact = self.pack(kernel)
        lost = np.count_nonzero(kernel) - np.count_nonzero(compact)
        if lost:
            raise UserError(f"layer {dense.name!r}: {_MUST_BE_ZERO.format(lost)}")
        if not self.built:
            self.build((*[None] * (kernel.ndim - 1), kernel.shape[-2]))
        self.kernel.assign(compact)
        if self.bias is not None:
            self.bias.assign(dense.bias)

    @staticmethod
    def _shared_arguments(dense: keras.layers.Dense) -> dict[str, Any]:
        """The constructor arguments a compact twin takes over from a Dense layer."""
        return {
            "activation": dense.activation,
            "use_bias": dense.use_bias,
            "kernel_initializer": dense.kernel_initializer,
            "bias_initializer": dense.bias_initializer,
            "kernel_regularizer": dense.kernel_regularizer,
            "name": dense.name,
            "dtype": dense.dtype_policy,
        }
