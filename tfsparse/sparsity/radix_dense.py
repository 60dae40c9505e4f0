"""A Keras layer for RadiX topologies: weights, gradients and work in proportion to connections.

The prototype of the idea is a roll of the inputs followed by a small product; here the rolled
inputs of a whole tile of outputs meet one dense block per tile (see `radix_layout`), so that a
forward and a backward pass are batched matrix products without an index in sight.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.sparsity.compact_layer import CompactLayer
from tfsparse.sparsity.radix_layout import RadixLayout
from tfsparse.sparsity.topologies import RadixLayer


@keras.saving.register_keras_serializable("tfsparse")
class RadixDense(CompactLayer):
    """A dense layer on a RadiX topology: activation(inputs @ kernel + bias).

    Input: float [..., inputs]; output: float [..., outputs]. `kernel`: [connections / blocks_out,
    blocks_out], one weight per connection, in the order of `RadixLayout`.

    Args:
        topology: a `RadixLayer` (or its fields as a dict, as in a saved config).
        tile: see `radix_layout`; None chooses it. Part of the config, for the kernel's order
            depends on it.
        **kwargs: activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer
            and those of every Keras layer.
    """

    layout: RadixLayout

    def __init__(
        self, topology: RadixLayer | Mapping[str, int], tile: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.topology = topology if isinstance(topology, RadixLayer) else RadixLayer(**topology)
        self.layout = RadixLayout(self.topology, tile)
        self._product = radix_product(self.layout)

    @classmethod
    def from_dense(cls, dense: keras.layers.Dense, topology: RadixLayer) -> "RadixDense":
        """The compact twin of a built Dense or MaskedDense layer, with its weights and name.

        Raises:
            UserError: the kernel has another shape, or weights outside the topology.
        """
        layer = cls(topology, **cls._shared_arguments(dense))
        layer.take_weights(dense)
        return layer

    def product(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return self._product(inputs, kernel)

    def get_config(self) -> dict[str, Any]:
        config = {"topology": asdict(self.topology), "tile": self.layout.tile}
        return {**super().get_config(), **config}


def radix_product(layout: RadixLayout) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The function (inputs [batch, inputs], kernel) -> outputs [batch, outputs] of a layout.

    Its gradient is written out, for the automatic one pads and adds a copy of the kernel per
    slice. Second derivatives work, as the gradient is made of differentiable operations.
    """
    layer, tile = layout.layer, layout.tile
    far = layout.distance * layer.place
    rows = tile * layer.blocks_in  # of the square that own and far tile share
    upper = _upper_square(layout) if layout.shares_a_square else None

    def whole(kernel: tf.Tensor) -> tf.Tensor:
        if layer.trimmed:
            padded = tf.pad(kernel, [[0, 1], [0, 0]])
            kernel = tf.gather(padded, layout.row_slots)
        return tf.reshape(
            kernel, [layout.groups, layer.radix * layer.blocks_in, tile * layer.blocks_out]
        )

    def existing(gradient: tf.Tensor) -> tf.Tensor:
        gradient = tf.reshape(gradient, [-1, layer.blocks_out])
        return tf.gather(gradient, layout.kept_rows) if layer.trimmed else gradient

    @tf.custom_gradient
    def product(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        padded = tf.pad(inputs, [[0, 0], [layer.trimmed, 0]]) if layer.trimmed else inputs
        blocks = whole(kernel)
        own = _to_tiles(padded, layout, layer.blocks_in)
        window = [_roll(own, h * layer.place) for h in range(layout.distance)]
        heard = tf.concat(window, 2) if len(window) > 1 else own
        outputs = tf.matmul(heard, blocks)
        if upper is not None:
            # The square was applied to the own tile as a whole; its upper part belongs to the far.
            moved = blocks[:, :rows] * tf.cast(upper, blocks.dtype)
            step = _roll(own, far) - own
            outputs += tf.matmul(step, moved)

        def gradient(outer: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            outer = _to_tiles(outer, layout, layer.blocks_out)
            kernels = tf.matmul(heard, outer, transpose_a=True)
            parts = tf.matmul(outer, blocks, transpose_b=True)
            parts = tf.split(parts, layout.distance, 2) if layout.distance > 1 else [parts]
            back = [_roll(part, -h * layer.place) for h, part in enumerate(parts)]
            if upper is not None:
                square = tf.matmul(step, outer, transpose_a=True) * tf.cast(upper, outer.dtype)
                kernels = tf.concat([kernels[:, :rows] + square, kernels[:, rows:]], 1)
                part = tf.matmul(outer, moved, transpose_b=True)
                back += [_roll(part, -far), -part]
            inner = _from_tiles(tf.add_n(back), layout, layer.blocks_in)
            return inner[:, layer.trimmed :], existing(kernels)

        return _from_tiles(outputs, layout, layer.blocks_out), gradient

    return product


def _to_tiles(x: tf.Tensor, layout: RadixLayout, blocks: int) -> tf.Tensor:
    """[batch, blocks * N'] -> [tile and residue, batch, place in tile * blocks]."""
    place = layout.layer.place
    x = tf.reshape(x, [-1, blocks, layout.tiles, layout.tile, place])
    x = tf.transpose(x, [2, 4, 0, 3, 1])
    return tf.reshape(x, [layout.groups, -1, layout.tile * blocks])


def _from_tiles(x: tf.Tensor, layout: RadixLayout, blocks: int) -> tf.Tensor:
    """The reverse of `_to_tiles`."""
    layer = layout.layer
    x = tf.reshape(x, [layout.tiles, layer.place, -1, layout.tile, blocks])
    x = tf.transpose(x, [2, 4, 0, 3, 1])
    return tf.reshape(x, [-1, blocks * layer.base])


def _roll(x: tf.Tensor, steps: int) -> tf.Tensor:
    """x[g - steps] at g, around the first axis; two slices are cheaper than `tf.roll`."""
    steps %= x.shape[0]
    return tf.concat([x[-steps:], x[:-steps]], 0) if steps else x


def _upper_square(layout: RadixLayout) -> np.ndarray:
    """bool [1, tile * blocks_in, tile * blocks_out]: the far tile's part of the square."""
    layer, tile = layout.layer, layout.tile
    square = layout.upper()[:, None, :, None]
    square = np.broadcast_to(square, (tile, layer.blocks_in, tile, layer.blocks_out))
    return square.reshape(1, tile * layer.blocks_in, tile * layer.blocks_out)
