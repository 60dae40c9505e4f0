"""Pruning at initialisation: SNIP and GraSP masks of a model from one batch."""

from typing import Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.models import maskable_layers, untouched_state
from tfsparse.sparsity.masks import Masks
from tfsparse.sparsity.saliency import grasp_score, masks_from_scores, snip_score


def masks_at_init(
    algorithm: Literal["snip", "grasp"],
    model: keras.Model,
    images: tf.Tensor,
    labels: tf.Tensor,
    sparsity: float,
) -> Masks:
    """The masks of a freshly initialised model, by one global cut of its kernels' scores.

    Args:
        algorithm: SNIP scores |w * g|, GraSP w * (H g).
        model: from images to logits; its weights are only read.
        images: float32 [batch, height, width, channels].
        labels: int32 [batch].
        sparsity: of all maskable kernels together.
    """
    kernels = {layer.name: layer.kernel for layer in maskable_layers(model)}
    graph = tf.function(_snip_parts if algorithm == "snip" else _grasp_parts)
    parts = {name: part.numpy() for name, part in graph(model, kernels, images, labels).items()}
    score = snip_score if algorithm == "snip" else grasp_score
    scores: dict[str, np.ndarray] = {
        name: score(kernel.numpy(), parts[name]) for name, kernel in kernels.items()
    }
    return masks_from_scores(scores, sparsity)


def _loss(model: keras.Model, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    logits = tf.cast(model(images, training=True), tf.float32)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


def _snip_parts(
    model: keras.Model, kernels: dict[str, tf.Variable], images: tf.Tensor, labels: tf.Tensor
) -> dict[str, tf.Tensor]:
    """g, the gradient with respect to each kernel."""
    with untouched_state(model), tf.GradientTape() as tape:
        loss = _loss(model, images, labels)
    return tape.gradient(loss, kernels)


def _grasp_parts(
    model: keras.Model, kernels: dict[str, tf.Variable], images: tf.Tensor, labels: tf.Tensor
) -> dict[str, tf.Tensor]:
    """H g: the gradient of g . stop_gradient(g)."""
    with untouched_state(model), tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = _loss(model, images, labels)
        gradients = inner.gradient(loss, kernels)
        product = tf.add_n(
            [tf.reduce_sum(g * tf.stop_gradient(g)) for g in tf.nest.flatten(gradients)]
        )
    return outer.gradient(product, kernels)
