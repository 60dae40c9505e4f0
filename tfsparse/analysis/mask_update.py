"""One drop-and-grow update of a network, made to look at what it does to the landscape."""

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.config.analysis import UpdateConfig
from tfsparse.models import maskable_layers
from tfsparse.seeds import stateless_seed
from tfsparse.sparsity.growth import (
    gradient_score,
    inverted_gradient_score,
    magnitude_score,
    random_score,
)
from tfsparse.sparsity.masks import Masks
from tfsparse.sparsity.updaters import check_can_grow, drop_and_grow, drop_count
from tfsparse.training.objective import cross_entropy
from tfsparse.training.strategies import on_each


def update_masks(
    model: keras.Model,
    masks: Masks,
    config: UpdateConfig,
    images: tf.Tensor,
    labels: tf.Tensor,
    seed: int,
) -> dict[str, np.ndarray]:
    """Drop and grow once; the model's kernels are zero outside the new masks and at new places.

    Args:
        model: kernels are zero outside `masks`; changed in place.
        masks: by layer name.
        config: the algorithm and how much it drops.
        images: float32, for the dense gradients; not those the effect is measured on.
        labels: int32.
        seed: of SET's random growth.

    Returns:
        The new masks, with as many ones per layer.

    Raises:
        UserError: no layer can drop and grow.
    """
    check_can_grow(masks, config.drop_fraction)
    kernels = {layer.name: layer.kernel for layer in maskable_layers(model) if layer.name in masks}

    def dense_gradients(images: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = model(images, training=False)
            loss = tf.reduce_mean(cross_entropy(logits, labels))
        return tape.gradient(loss, kernels)

    gradients = on_each(dense_gradients)(images, labels)
    result = {}
    for name, kernel in kernels.items():
        score = {
            "set": lambda name=name: random_score(
                masks[name].shape, stateless_seed(seed, "mask_growth", name), 0
            ),
            "rigl": lambda name=name: gradient_score(gradients[name]),
            "rigl_inverted": lambda name=name: inverted_gradient_score(gradients[name]),
        }[config.algorithm]()
        count = drop_count(int(np.count_nonzero(masks[name])), config.drop_fraction)
        mask = tf.constant(masks[name].astype(np.float32))
        update = drop_and_grow(mask, magnitude_score(kernel), score, count)
        kernel.assign(kernel * update.mask * (1.0 - update.is_new))
        result[name] = update.mask.numpy().astype(np.uint8)
    return result
