"""Choosing the k largest scores inside a graph, with an exact count and no sort.

Dynamic sparse training chooses twice per layer and update. A sort of all scores costs several
times the bisection used here, and `tf.math.top_k` needs a k that is known when the graph is built.
"""

import tensorflow as tf

_LOWEST, _HIGHEST = tf.float32.min, tf.float32.max
_SMALLEST_NORMAL = 2.0**-126
_BITS = 32


def select_top(scores: tf.Tensor, k: tf.Tensor | int, among: tf.Tensor | None = None) -> tf.Tensor:
    """Where the `k` largest scores are; of equal scores the lower flat index wins.

    Works in eager mode, in graphs and under XLA; all shapes are static. The same choice as
    `masks.top_k_mask`, for float32 scores.

    Args:
        scores: floats of any shape, ranked as float32. NaN ranks below every number.
        k: int32 scalar, at most the number of candidates.
        among: bool tensor of the scores' shape, the candidates; None means all.

    Returns:
        A bool tensor of the scores' shape with exactly `k` true values.
    """
    scores = tf.cast(scores, tf.float32)
    scores = tf.where(tf.math.is_nan(scores), _LOWEST, scores)
    scores = tf.clip_by_value(scores, _LOWEST, _HIGHEST)
    if among is not None:
        scores = tf.where(among, scores, -float("inf"))
    ranks = tf.reshape(_ordered_integers(scores), [-1])
    k = tf.cast(k, tf.int32)

    threshold = _kth_largest(ranks, k)
    above = ranks > threshold
    equal = ranks == threshold
    missing = k - _count(above)
    chosen = above | (equal & (tf.cumsum(tf.cast(equal, tf.int32)) <= missing))
    return tf.reshape(chosen, tf.shape(scores))


def _ordered_integers(scores: tf.Tensor) -> tf.Tensor:
    """int32 numbers in the order of the float32 `scores`; -0.0 and subnormals count as 0.0."""
    # Some devices and threads flush subnormals to zero by themselves and others do not.
    scores = tf.where(tf.abs(scores) < _SMALLEST_NORMAL, 0.0, scores)
    bits = tf.bitcast(scores, tf.int32)
    # IEEE floats order like integers, the negative ones backwards.
    return tf.where(bits < 0, tf.bitwise.bitwise_xor(bits, tf.int32.max), bits)


def _kth_largest(ranks: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
    """The largest t that at least `k` ranks reach, found bit by bit from the highest.

    Stops early at a t that exactly `k` ranks reach: it cuts at the same place.
    """

    def undecided(position: tf.Tensor, threshold: tf.Tensor, reached: tf.Tensor) -> tf.Tensor:
        del threshold
        return (position >= 0) & (reached != k)

    def decide(position: tf.Tensor, threshold: tf.Tensor, reached: tf.Tensor) -> tuple:
        bit = tf.bitwise.left_shift(tf.constant(1, tf.int32), position)
        candidate = tf.bitwise.bitwise_xor(threshold, bit)
        count = _count(ranks >= candidate)
        enough = count >= k
        return (
            position - 1,
            tf.where(enough, candidate, threshold),
            tf.where(enough, count, reached),
        )

    start = (tf.constant(_BITS - 1), tf.constant(tf.int32.min), tf.size(ranks))
    return tf.while_loop(undecided, decide, start)[1]


def _count(where: tf.Tensor) -> tf.Tensor:
    return tf.math.count_nonzero(where, dtype=tf.int32)
