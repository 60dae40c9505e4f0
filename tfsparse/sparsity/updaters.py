"""Drop and grow: the one mask update behind SET, RigL, its inverted control and SNFS.

The algorithms differ in the score by which connections grow (`growth`), and runs in when they
update and how much (`update_schedules`). The connection count of a layer never changes.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfsparse.errors import UserError
from tfsparse.sparsity.selection import select_top
from tfsparse.sparsity.update_schedules import check_drop_fraction

# A product such as 0.29 * 100 is whole but for rounding; without this it would lose one.
_SLACK = 1e-6


class MaskUpdate(NamedTuple):
    """What an update of one layer gives; both masks have the old mask's shape and dtype."""

    mask: tf.Tensor
    """The new mask, with as many ones as the old."""
    is_new: tf.Tensor
    """1 where a connection starts afresh: its weight and optimizer slots must become 0."""
    changed: tf.Tensor
    """int32: how many connections of the old mask are gone; as many are in its place."""


def drop_count(active: tf.Tensor | int, drop_fraction: tf.Tensor | float) -> tf.Tensor:
    """floor(drop_fraction * active) as int32: how many of a layer's connections to drop.

    >>> int(drop_count(10, 0.3)), int(drop_count(100, 0.29)), int(drop_count(3, 0.3))
    (3, 29, 0)
    """
    product = tf.cast(drop_fraction, tf.float64) * tf.cast(active, tf.float64)
    return tf.cast(tf.math.floor(product + _SLACK), tf.int32)


def drop_and_grow(
    mask: tf.Tensor,
    drop_score: tf.Tensor,
    grow_score: tf.Tensor,
    n_drop: tf.Tensor | int,
    *,
    reinit_when_same: bool = False,
) -> MaskUpdate:
    """Drop the `n_drop` active connections of smallest drop score, grow the best inactive ones.

    Growing chooses among all positions that are inactive *after* the drop, so a connection that
    was just dropped may return (Mocanu et al. 2018; Evci et al. 2020, algorithm 1). Of equal
    scores the lower flat index stays, or grows. Pure: nothing is assigned. Runs eagerly, in
    graphs and under XLA.

    Args:
        mask: 0/1 tensor of any number dtype and shape.
        drop_score: floats of the mask's shape; read where the mask is 1.
        grow_score: floats of the mask's shape; read where the mask is 0 after the drop.
        n_drop: int32 scalar; clipped to what is active.
        reinit_when_same: whether a connection that is dropped and grown in one update counts as
            new. By default it keeps its weight and slots, as in the authors' code.

    Returns:
        A `MaskUpdate`.
    """
    mask = tf.convert_to_tensor(mask)
    active = mask != 0
    n_active = tf.math.count_nonzero(active, dtype=tf.int32)
    n_drop = tf.clip_by_value(tf.cast(n_drop, tf.int32), 0, n_active)

    survives = select_top(drop_score, n_active - n_drop, among=active)
    grown = select_top(grow_score, n_drop, among=~survives)
    is_new = grown if reinit_when_same else grown & ~active
    after = survives | grown
    return MaskUpdate(
        mask=tf.cast(after, mask.dtype),
        is_new=tf.cast(is_new, mask.dtype),
        changed=tf.math.count_nonzero(active & ~after, dtype=tf.int32),
    )


def idle_layers(masks: Mapping[str, np.ndarray], drop_fraction: float) -> list[str]:
    """The layers that no update can change: too few connections to drop one, or none missing."""
    check_drop_fraction(drop_fraction)
    idle = []
    for name, mask in masks.items():
        ones, size = int(np.count_nonzero(mask)), int(np.size(mask))
        if ones == size or math.floor(drop_fraction * ones + _SLACK) < 1:
            idle.append(name)
    return idle


def check_can_grow(masks: Mapping[str, np.ndarray], drop_fraction: float) -> list[str]:
    """The idle layers, which deserve a warning, as long as some layer can change.

    Raises:
        UserError: no layer can drop and grow a single connection.
    """
    idle = idle_layers(masks, drop_fraction)
    if len(idle) == len(masks):
        ones = max((int(np.count_nonzero(mask)) for mask in masks.values()), default=0)
        raise UserError(
            "masks to drop and grow: expected a sparse layer in which drop_fraction"
            f" {drop_fraction} is at least one connection; the largest of {len(masks)} masks has"
            f" {ones} connections or every layer is dense"
        )
    return idle
