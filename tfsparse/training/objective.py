"""The objective: cross-entropy plus the L2 term."""

from collections.abc import Iterable

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Softmax cross-entropy of each image.

    Args:
        logits: [batch, classes], cast to float32.
        labels: int [batch].
        label_smoothing: the target is (1 - s) one-hot + s / classes; a perfect predictor's loss
            is then not 0.

    Returns:
        float32 [batch], in nats.
    """
    logits = tf.cast(logits, tf.float32)
    if not label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes) * (1.0 - label_smoothing) + label_smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def l2_term(kernels: Iterable[tf.Tensor], weight_decay: float) -> tf.Tensor:
    """wd / 2 * sum ||kernel||^2, whose gradient is wd * kernel (the papers' unit; Keras' `l2`
    has no half). `kernels` are the masked ones: no biases, no batch norm."""
    if not weight_decay:
        return tf.constant(0.0)
    squares = [tf.reduce_sum(tf.square(tf.cast(kernel, tf.float32))) for kernel in kernels]
    return 0.5 * weight_decay * tf.add_n(squares) if squares else tf.constant(0.0)
