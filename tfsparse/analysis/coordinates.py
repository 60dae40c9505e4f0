"""Which of a model's trained numbers enter an analysis, and in which order."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras as keras

Masks = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Block:
    """The trained numbers of one layer.

    Args:
        layer: its name.
        place: its place among the model's layers.
        variables: its trained variables.
        size: how many numbers these hold.
        kept: the places of those that enter, in the flattened variables one after the other.
    """

    layer: str
    place: int
    variables: tuple[tf.Variable, ...]
    size: int
    kept: np.ndarray


def blocks(model: keras.Model, masks: Masks) -> list[Block]:
    """The layers with trained numbers: the connections that exist, biases, batch norm's numbers.

    LeNet-5 at 95% in each layer has 2,210 connections and 236 biases: 2,446 coordinates.

    Args:
        model: of layers that own all of its variables.
        masks: by layer name; a layer without one enters whole.
    """
    result = []
    for place, layer in enumerate(model.layers):
        variables = tuple(layer.trainable_variables)
        if not variables:
            continue
        kept = [np.ones(int(np.prod(variable.shape)), bool) for variable in variables]
        if layer.name in masks:
            kernel = [variable is layer.kernel for variable in variables].index(True)
            kept[kernel] = np.asarray(masks[layer.name]).ravel() != 0
        flags = np.concatenate(kept)
        result.append(Block(layer.name, place, variables, len(flags), np.flatnonzero(flags)))
    return result


def dimensions(parts: list[Block]) -> int:
    """How many numbers enter."""
    return sum(len(block.kept) for block in parts)


def all_kept(parts: list[Block]) -> np.ndarray:
    """The places of the numbers that enter, in all layers' numbers one after the other."""
    starts = np.cumsum([0, *(block.size for block in parts)])
    pairs = zip(parts, starts, strict=False)
    return np.concatenate([block.kept + start for block, start in pairs])


def flatten(tensors: list[tf.Tensor]) -> tf.Tensor:
    """Tensors as one vector."""
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def split(vector: tf.Tensor, variables: tuple[tf.Variable, ...]) -> list[tf.Tensor]:
    """A vector as tensors of the variables' shapes."""
    sizes = [int(np.prod(variable.shape)) for variable in variables]
    pairs = zip(tf.split(vector, sizes), variables, strict=True)
    return [tf.reshape(piece, variable.shape) for piece, variable in pairs]
