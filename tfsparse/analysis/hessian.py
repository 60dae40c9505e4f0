"""The exact Hessian of the mean cross-entropy over a network's coordinates.

The rows of a layer need no other part of the network than that layer and those after it: their
inputs do not depend on its weights, and the columns of earlier layers follow by symmetry. In such
a tail without convolutions, products with many unit vectors are one graph of matrix products
(`tf.vectorized_map`). Most coordinates of a convolutional classifier lie in its dense layers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.analysis.coordinates import Block, blocks, dimensions
from tfsparse.analysis.products import Products, product
from tfsparse.errors import UserError
from tfsparse.sparsity.masks import Masks
from tfsparse.training.gradient_flow import split_evenly
from tfsparse.training.strategies import OverParts

LIMIT = 10_000
"""Coordinates of the exact method by default: a matrix of 800 MB, minutes for its eigenvalues."""

ROWS = 64
"""Unit vectors multiplied at a time."""

_VECTORISED = (
    keras.layers.InputLayer, keras.layers.Dense, keras.layers.Flatten, keras.layers.Activation,
    keras.layers.ReLU, keras.layers.Dropout, keras.layers.Reshape,
)  # fmt: skip


@dataclass(frozen=True)
class Hessian:
    """A Hessian and how far it can be trusted.

    Args:
        matrix: float64 [d, d], symmetric.
        asymmetry: the largest difference between what was computed for (i, j) and for (j, i),
            relative to the largest entry.
        product_error: the relative difference between matrix times a random vector and the
            product computed without the matrix.
    """

    matrix: np.ndarray
    asymmetry: float
    product_error: float

    def eigenvalues(self) -> np.ndarray:
        """float64 [d], rising."""
        return np.linalg.eigvalsh(self.matrix)


def check_size(count: int, limit: int) -> None:
    """Raise a UserError when an exact Hessian has too many coordinates."""
    if count > limit:
        raise UserError(
            f"hessian.limit: expected at most {limit:,} coordinates for the exact method, this "
            f"network has {count:,} (a matrix of {8 * count**2 / 1e9:,.1f} GB); set hessian.method "
            "to 'lanczos' or raise hessian.limit"
        )


def exact_hessian(
    model: keras.Model,
    masks: Masks,
    images: tf.Tensor,
    labels: tf.Tensor,
    *,
    limit: int = LIMIT,
    part: int = 1000,
) -> Hessian:
    """The Hessian at the model's weights.

    Args:
        model: float32; a kernel is zero outside its mask. Batch norm uses its running averages.
        masks: by layer name; connections outside do not enter.
        images: float32 [n, ...].
        labels: int32 [n].
        limit: the most coordinates.
        part: at most so many images at a time.

    Raises:
        UserError: too many coordinates.
    """
    own = blocks(model, masks)
    count = dimensions(own)
    check_size(count, limit)
    stretches = _tails(model, own)
    starts = np.cumsum([0, *(len(block.kept) for block in own)])
    matrix = np.zeros((count, count))
    for number, block in enumerate(own):
        rows = _rows(model, stretches[number], block, own, images, labels, part)
        start, end = starts[number], starts[number + 1]
        if stretches[number] is None:
            matrix[start:end] = rows
        else:
            matrix[start:end, start:] = rows
            matrix[end:, start:end] = matrix[start:end, end:].T
    largest = float(np.abs(matrix).max(initial=0.0)) or 1.0
    asymmetry = float(np.abs(matrix - matrix.T).max(initial=0.0))
    matrix = (matrix + matrix.T) / 2
    probe = np.random.default_rng(0).standard_normal(count)
    direct = Products(model, masks, images, labels, part=part)(probe)
    error = np.linalg.norm(matrix @ probe - direct) / (np.linalg.norm(direct) or 1.0)
    return Hessian(matrix, asymmetry / largest, float(error))


Stretch = list[keras.layers.Layer]


def _tails(model: keras.Model, own: Sequence[Block]) -> list[Stretch | None]:
    """For each block the layers from its own to the logits; None where the model is no chain."""
    layers = model.layers
    chain = all(
        len(layer._inbound_nodes) == 1
        and len(tf.nest.flatten(layer.input)) == 1
        and (place == 0 or layer.input is layers[place - 1].output)
        for place, layer in enumerate(layers)
    )
    return [layers[block.place :] if chain else None for block in own]


def _rows(
    model: keras.Model,
    tail: Stretch | None,
    block: Block,
    own: Sequence[Block],
    images: tf.Tensor,
    labels: tf.Tensor,
    part: int,
) -> np.ndarray:
    """The rows of one block: float64 [its coordinates, those of all blocks from it on]."""
    layers = [model] if tail is None else tail
    first = 0 if tail is None else list(own).index(block)
    later = own[first:]
    variables = [variable for item in later for variable in item.variables]
    sizes = np.cumsum([0, *(item.size for item in later)])
    kept = np.concatenate([i.kept + s for i, s in zip(later, sizes, strict=False)])
    vectorised = tail is not None and all(isinstance(layer, _VECTORISED) for layer in tail)

    def products(inputs: tf.Tensor, classes: tf.Tensor, units: tf.Tensor) -> tf.Tensor:
        def one(vector: tf.Tensor) -> tf.Tensor:
            return product(layers, inputs, classes, block, variables, vector)

        vectors = tf.one_hot(units, block.size)
        if vectorised:
            result = tf.vectorized_map(one, vectors, fallback_to_while_loop=False)
        else:
            result = tf.map_fn(one, vectors, parallel_iterations=1)
        return tf.gather(result, kept, axis=1)

    def entering(batch: tf.Tensor) -> tf.Tensor:
        """What the block reads."""
        for layer in model.layers[: block.place] if tail is not None else []:
            batch = layer(batch, training=False)
        return batch

    over_parts, parts = OverParts(products), split_evenly(images, labels, part)
    batches = [(entering(batch), classes) for batch, classes in parts]
    total = np.zeros((len(block.kept), len(kept)))
    for chunk in np.array_split(np.arange(len(block.kept)), math.ceil(len(block.kept) / ROWS)):
        found = over_parts(batches, tf.constant(block.kept[chunk]))
        for (_, classes), result in zip(batches, found, strict=True):
            share = int(classes.shape[0]) / int(labels.shape[0])
            total[chunk] += share * result.numpy().astype(np.float64)
    return total
