"""How one training step runs: plain, compiled with XLA, or on every replica of a strategy."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def arrange(
    take_step: Callable[..., Any], gradients: Callable[..., Any], *, xla: bool
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What to call for a step, and what that step calls for its gradients.

    Args:
        take_step: (images, labels, step) -> mean cross-entropy, L2 term and number of images
            classified rightly of one replica's share of the batch.
        gradients: the part of it between two exchanges of the replicas.
        xla: compile the whole step; under a strategy, whose exchanges XLA cannot compile on CPU
            and GPU, the gradients alone.

    Returns:
        The step of the whole batch, means over replicas and the sum of the images, and the
        gradients.
    """
    if not tf.distribute.has_strategy():
        return (tf.function(take_step, jit_compile=True) if xla else take_step), gradients
    strategy = tf.distribute.get_strategy()
    mean, total = tf.distribute.ReduceOp.MEAN, tf.distribute.ReduceOp.SUM

    def on_replicas(images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> Any:
        entropy, l2, correct = strategy.run(take_step, args=(images, labels, step))
        return (
            strategy.reduce(mean, entropy, axis=None),
            strategy.reduce(mean, l2, axis=None),
            strategy.reduce(total, correct, axis=None),
        )

    return on_replicas, (tf.function(gradients, jit_compile=True) if xla else gradients)
