"""The scores of dynamic sparse training: the larger, the sooner a connection stays or grows.

All functions are pure and return float32 tensors of their argument's shape. `updaters` explains
what is done with a score; SNFS keeps each layer's count here and does not move connections
between layers as Dettmers & Zettlemoyer (2019) also do.
"""

from collections.abc import Sequence

import tensorflow as tf


def magnitude_score(weights: tf.Tensor) -> tf.Tensor:
    """|w|: the drop score of every algorithm here; the smallest weights go."""
    return tf.abs(tf.cast(weights, tf.float32))


def random_score(
    shape: Sequence[int], seed: Sequence[int] | tf.Tensor, step: tf.Tensor | int
) -> tf.Tensor:
    """Uniform random numbers in [0, 1): the growth score of SET (Mocanu et al. 2018).

    A function of its arguments alone: every process, replica, device and restart draws the same
    numbers, compiled or not.

    Args:
        shape: of the kernel, static.
        seed: two integers in [0, 2**31), one pair per run and layer
            (`seeds.stateless_seed(seed, "mask_growth", layer)`).
        step: the update's step; it makes each update draw anew.
    """
    first, second = tf.unstack(tf.cast(tf.convert_to_tensor(seed), tf.int32), num=2)
    pair = tf.stack([first, tf.bitwise.bitwise_xor(second, tf.cast(step, tf.int32))])
    # Whole numbers of a named algorithm: the default algorithm is another one on another kind of
    # device, and XLA turns the same bits into other floats.
    bits = tf.random.stateless_uniform(
        shape, seed=pair, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def gradient_score(dense_gradient: tf.Tensor) -> tf.Tensor:
    """|dL/d(w * mask)|: the growth score of RigL (Evci et al. 2020).

    The gradient must be that of the masked product, taken at *all* positions; the gradient of
    the kernel under the mask is zero exactly where the score is needed.
    """
    return tf.abs(tf.cast(dense_gradient, tf.float32))


def inverted_gradient_score(dense_gradient: tf.Tensor) -> tf.Tensor:
    """-|dL/d(w * mask)|: RigL inverted, the control that grows the smallest gradients."""
    return -gradient_score(dense_gradient)


def momentum_score(dense_momentum: tf.Tensor) -> tf.Tensor:
    """|m|: the growth score of SNFS (Dettmers & Zettlemoyer 2019).

    m is the running mean of dense gradients (see `next_momentum`), not the optimizer's slot,
    which is zero outside the mask.
    """
    return tf.abs(tf.cast(dense_momentum, tf.float32))


def next_momentum(
    dense_momentum: tf.Tensor, dense_gradient: tf.Tensor, decay: float = 0.9
) -> tf.Tensor:
    """decay * m + (1 - decay) * g: the smoothed dense gradient that SNFS ranks."""
    return decay * dense_momentum + (1.0 - decay) * tf.cast(dense_gradient, dense_momentum.dtype)
