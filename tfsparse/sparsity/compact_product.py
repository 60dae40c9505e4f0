"""The product with a list of connections, forward and backward, in pieces that stay in cache.

Three passes do all the work: sums over the connections of each output (forward), of each input
(gradient of the inputs) and inner products over the batch for each connection (gradient of the
weights). Each runs over pieces of a few thousand connections inside one compiled loop: a
gather over all connections at once writes [connections, batch] numbers to memory and back,
which was measured 5 to 30 times slower.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

_PIECE = 4096
"""Connections per piece. 1,024 to 16,384 measured alike; at a batch of 128 this is 2 MB."""


class Index(NamedTuple):
    """The int32 tensors of `Connections`, and its two largest fans as Python numbers."""

    sources: tf.Tensor
    targets: tf.Tensor
    by_input: tf.Tensor
    output_starts: tf.Tensor
    input_starts: tf.Tensor
    most_inputs: int
    most_outputs: int


def sparse_product(inputs: tf.Tensor, kernel: tf.Tensor, index: Index) -> tf.Tensor:
    """The outputs [outputs, batch] of inputs [inputs, batch] and one weight per connection.

    The batch is the last axis so that a connection reads one row of memory. Each pass is linear
    in its two tensors, and its gradients are the two other passes, so derivatives of every
    order exist.
    """

    @tf.custom_gradient
    def to_outputs(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(outer: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return to_inputs(outer, kernel), to_kernel(outer, inputs)

        return _to_outputs(inputs, kernel, index), gradient

    @tf.custom_gradient
    def to_inputs(outer: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return to_outputs(inputs, kernel), to_kernel(outer, inputs)

        return _to_inputs(outer, kernel, index), gradient

    @tf.custom_gradient
    def to_kernel(outer: tf.Tensor, inputs: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return to_outputs(inputs, kernel), to_inputs(outer, kernel)

        return _to_kernel(outer, inputs, index), gradient

    return to_outputs(inputs, kernel)


@tf.function(jit_compile=True, autograph=False)
def _to_outputs(inputs: tf.Tensor, kernel: tf.Tensor, index: Index) -> tf.Tensor:
    def piece(connection: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        return _weighted_sum(inputs, tf.gather(index.sources, connection), kernel, connection, real)

    return _over_neurons(piece, index.output_starts, index.most_inputs, inputs.dtype)


@tf.function(jit_compile=True, autograph=False)
def _to_inputs(outer: tf.Tensor, kernel: tf.Tensor, index: Index) -> tf.Tensor:
    def piece(place: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        connection = tf.gather(index.by_input, place)
        return _weighted_sum(outer, tf.gather(index.targets, connection), kernel, connection, real)

    return _over_neurons(piece, index.input_starts, index.most_outputs, outer.dtype)


@tf.function(jit_compile=True, autograph=False)
def _to_kernel(outer: tf.Tensor, inputs: tf.Tensor, index: Index) -> tf.Tensor:
    count = index.sources.shape[0]

    def piece(connection: tf.Tensor) -> tf.Tensor:
        left = tf.gather(outer, tf.gather(index.targets, connection))
        right = tf.gather(inputs, tf.gather(index.sources, connection))
        return tf.reduce_sum(left * right, 1)

    return _over_pieces(piece, count, min(count, _PIECE), inputs.dtype)


def _weighted_sum(
    rows: tf.Tensor, row: tf.Tensor, kernel: tf.Tensor, connection: tf.Tensor, real: tf.Tensor
) -> tf.Tensor:
    """sum_k kernel[connection[n, k]] * rows[row[n, k]] over the real k: [neurons, batch]."""
    weights = tf.where(real, tf.gather(kernel, connection), tf.zeros([], kernel.dtype))
    return tf.reduce_sum(tf.gather(rows, row) * weights[:, :, None], 1)


def _over_neurons(
    piece: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    starts: tf.Tensor,
    most: int,
    dtype: tf.DType,
) -> tf.Tensor:
    """Run `piece(places, real)` over all neurons, each padded to `most` places of the list."""
    neurons = starts.shape[0] - 1

    def of_neurons(neuron: tf.Tensor) -> tf.Tensor:
        place = tf.gather(starts, neuron)[:, None] + tf.range(most)[None, :]
        real = place < tf.gather(starts, neuron + 1)[:, None]
        return piece(tf.where(real, place, 0), real)

    return _over_pieces(of_neurons, neurons, min(neurons, max(1, _PIECE // max(1, most))), dtype)


def _over_pieces(
    piece: Callable[[tf.Tensor], tf.Tensor], count: int, size: int, dtype: tf.DType
) -> tf.Tensor:
    """piece(numbers) for all numbers below `count`, `size` at a time, one after the other."""
    pieces = -(-count // size)
    if pieces == 1:
        return piece(tf.range(count))

    def one(number: tf.Tensor) -> tf.Tensor:
        # The last piece is filled up with repetitions of the last number, cut off below.
        return piece(tf.minimum(number * size + tf.range(size), count - 1))

    # The gradients are written out above; recording the loop's own would keep every piece, in
    # lists that cannot leave compiled code.
    results = tf.map_fn(one, tf.range(pieces), fn_output_signature=dtype, parallel_iterations=1)
    results = tf.stop_gradient(results)
    return tf.reshape(results, tf.concat([[pieces * size], tf.shape(results)[2:]], 0))[:count]
