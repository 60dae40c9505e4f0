"""Where batch norm takes its statistics from on a path, in three named modes.

`batch`: from each evaluated batch, as in training (paper 1). `running`: the running averages,
interpolated like weights (paper 3's code); only the ends' own are ever trained, so curves do not
offer it. `recomputed`: from all evaluated images, anew at every t (Garipov et al. 2018, 3.2).
Whatever the mode, a model's own running averages are not touched.
"""

from typing import Any, Literal

import tensorflow as tf

Mode = Literal["batch", "collected", "stored"]
"""How an operation normalises: by its batch; so, and keeping what it found; by given numbers."""


def normalise(layer: Any, mode: Mode) -> Any:
    """The operation of a batch-norm layer over the last axis.

    In mode `collected` it records `<layer>/moving_mean` and `<layer>/moving_variance`, the mean
    and the (biased) variance of its batch.
    """
    gamma, beta = f"{layer.name}/gamma", f"{layer.name}/beta"
    mean_name, variance_name = f"{layer.name}/moving_mean", f"{layer.name}/moving_variance"
    epsilon = layer.epsilon

    def stored(x: list[tf.Tensor], weights: Any, _: Any) -> tf.Tensor:
        # Beyond the ends an interpolated variance may fall below zero.
        variance = tf.maximum(weights[variance_name], 0.0)
        scale = tf.math.rsqrt(variance + epsilon)
        if layer.scale:
            scale *= weights[gamma]
        shift = -weights[mean_name] * scale
        if layer.center:
            shift += weights[beta]
        return x[0] * scale + shift

    def by_batch(x: list[tf.Tensor], weights: Any, recorded: Any) -> tf.Tensor:
        inputs = x[0]
        channels = inputs.shape[-1]
        scale = weights[gamma] if layer.scale else tf.ones([channels])
        offset = weights[beta] if layer.center else tf.zeros([channels])
        if inputs.shape.rank == 4:
            outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
                inputs, scale, offset, epsilon=epsilon, is_training=True
            )
            count = tf.cast(tf.size(inputs) // channels, tf.float32)
            variance *= (count - 1) / count  # the kernel returns the unbiased one
        else:
            mean, variance = tf.nn.moments(inputs, list(range(inputs.shape.rank - 1)))
            outputs = tf.nn.batch_normalization(inputs, mean, variance, offset, scale, epsilon)
        if mode == "collected":
            recorded[mean_name], recorded[variance_name] = mean, variance
        return outputs

    return stored if mode == "stored" else by_batch


def pooled(means: Any, variances: Any, counts: Any) -> tuple[Any, Any]:
    """The mean and variance of all images from those of batches.

    Args:
        means: float64 [batches, ..., channels].
        variances: the same shape, biased.
        counts: [batches], images per batch.

    Returns:
        The mean and the variance (that within batches plus that between them), [..., channels].
    """
    share = (counts / counts.sum()).reshape(-1, *[1] * (means.ndim - 1))
    mean = (share * means).sum(axis=0)
    within = (share * variances).sum(axis=0)
    between = (share * (means - mean) ** 2).sum(axis=0)
    return mean, within + between
