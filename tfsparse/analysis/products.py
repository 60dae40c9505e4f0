"""Hessian-vector products of the mean cross-entropy: forward once, backward twice (Pearlmutter)."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.analysis.coordinates import Block, all_kept, blocks, dimensions, flatten, split
from tfsparse.sparsity.masks import Masks
from tfsparse.training.gradient_flow import split_evenly
from tfsparse.training.objective import cross_entropy
from tfsparse.training.strategies import OverParts


def product(
    layers: Sequence[keras.layers.Layer],
    inputs: tf.Tensor,
    labels: tf.Tensor,
    along: Block,
    of: Sequence[tf.Variable],
    vector: tf.Tensor,
) -> tf.Tensor:
    """(d^2 L / d of d along) vector, for a stretch of layers that ends in the logits.

    Args:
        layers: called one after the other; batch norm uses its running averages.
        inputs: what the first of them reads.
        labels: int32 [n].
        along: the layer in whose numbers the direction lies.
        of: the variables whose gradient's change is wanted.
        vector: float32 [along.size].

    Returns:
        float32 [numbers in `of`].
    """
    with tf.GradientTape(persistent=False) as outer:
        with tf.GradientTape() as inner:
            outputs = inputs
            for layer in layers:
                outputs = layer(outputs, training=False)
            loss = tf.reduce_mean(cross_entropy(outputs, labels))
        gradients = inner.gradient(loss, list(along.variables), unconnected_gradients="zero")
        pairs = zip(gradients, split(vector, along.variables), strict=True)
        directional = tf.add_n([tf.reduce_sum(gradient * piece) for gradient, piece in pairs])
    return flatten(outer.gradient(directional, list(of), unconnected_gradients="zero"))


class Products:
    """Multiplies vectors with the Hessian over a network's coordinates, never forming it.

    Args:
        model: at the weights of interest; a kernel is zero outside its mask.
        masks: by layer name.
        images: float32 [n, ...].
        labels: int32 [n].
        part: at most so many images at a time.
    """

    def __init__(
        self,
        model: keras.Model,
        masks: Masks,
        images: tf.Tensor,
        labels: tf.Tensor,
        *,
        part: int = 1000,
    ) -> None:
        self._parts = split_evenly(images, labels, part)
        self._count = int(labels.shape[0])
        self._blocks = blocks(model, masks)
        self._kept = all_kept(self._blocks)
        variables = tuple(v for block in self._blocks for v in block.variables)
        size = sum(block.size for block in self._blocks)
        self._whole = Block("all", 0, variables, size, self._kept)
        self._model = model
        self._over_parts = OverParts(self._product)

    @property
    def dimensions(self) -> int:
        """How many coordinates there are."""
        return dimensions(self._blocks)

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        """The Hessian times a vector, float64 [dimensions] to float64 [dimensions]."""
        whole = np.zeros(self._whole.size, np.float32)
        whole[self._kept] = vector
        total = np.zeros(len(self._kept))
        found = self._over_parts(self._parts, tf.constant(whole))
        for (_, labels), result in zip(self._parts, found, strict=True):
            share = int(labels.shape[0]) / self._count
            total += share * result.numpy()[self._kept].astype(np.float64)
        return total

    def _product(self, images: tf.Tensor, labels: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
        variables = self._whole.variables
        return product([self._model], images, labels, self._whole, variables, vector)
