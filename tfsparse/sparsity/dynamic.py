"""Dynamic sparse training as the mask updates of a subject: SET, RigL and their relatives."""

from collections.abc import Mapping
from typing import Literal

import tensorflow as tf

from tfsparse.seeds import stateless_seed
from tfsparse.sparsity.growth import (
    gradient_score,
    inverted_gradient_score,
    magnitude_score,
    momentum_score,
    random_score,
)
from tfsparse.sparsity.subject import MaskChange, Moment
from tfsparse.sparsity.update_schedules import DropFraction, UpdateSchedule
from tfsparse.sparsity.updaters import MaskUpdate, drop_and_grow, drop_count

Algorithm = Literal["set", "rigl", "rigl_inverted", "snfs"]
Variables = Mapping[str, tf.Variable]


class DynamicSparsity:
    """Drops the smallest weights of each layer and grows as many new connections.

    Args:
        algorithm: what the growth score is.
        kernels: by layer name, zero outside their masks.
        masks: float32 0/1 variables by layer name.
        schedule: when.
        drop_fraction: how much.
        seed: of SET's random growth.
        replace_step: an update takes the place of the gradient step.
        reinit_when_same: a connection dropped and grown in one update starts at 0.
        gradient_means: SNFS's running means of the dense gradients, kept by the trainer.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        kernels: Variables,
        masks: Variables,
        *,
        schedule: UpdateSchedule,
        drop_fraction: DropFraction,
        seed: int,
        replace_step: bool = False,
        reinit_when_same: bool = False,
        gradient_means: Variables | None = None,
    ) -> None:
        self._algorithm, self._kernels, self._masks = algorithm, kernels, masks
        self._schedule, self._drop_fraction = schedule, drop_fraction
        self._seeds = {name: stateless_seed(seed, "mask_growth", name) for name in masks}
        self.replace_step, self._reinit = replace_step, reinit_when_same
        self._means = gradient_means or {}
        self._graph = tf.function(self._update)

    def steps(self) -> frozenset[int]:
        """The steps before which connections move."""
        return frozenset(self._schedule.update_steps())

    def apply(self, moment: Moment) -> MaskChange:
        """Move connections; new weights and their slots are 0."""
        gradients: Mapping[str, tf.Tensor] = {}
        if self._algorithm in ("rigl", "rigl_inverted"):
            gradients = moment.dense_gradients()
        ratio = moment.learning_rate / moment.peak_learning_rate
        fraction = self._drop_fraction.at(moment.step, ratio)
        updates = self._graph(tf.constant(moment.step, tf.int32), fraction, dict(gradients))
        for name, update in updates.items():
            kernel = self._kernels[name]
            self._masks[name].assign(update.mask)
            kernel.assign(kernel * update.mask * (1.0 - update.is_new))
            for slot in moment.slots.get(name, []):
                slot.assign(slot * (1.0 - update.is_new))
        changed = sum(int(update.changed) for update in updates.values())
        return MaskChange(dropped=changed, grown=changed)

    def _update(
        self, step: tf.Tensor, fraction: tf.Tensor, gradients: Mapping[str, tf.Tensor]
    ) -> dict[str, MaskUpdate]:
        updates = {}
        for name, mask in self._masks.items():
            active = tf.math.count_nonzero(mask, dtype=tf.int32)
            updates[name] = drop_and_grow(
                mask,
                magnitude_score(self._kernels[name]),
                self._growth_score(name, step, gradients),
                drop_count(active, fraction),
                reinit_when_same=self._reinit,
            )
        return updates

    def _growth_score(
        self, name: str, step: tf.Tensor, gradients: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        if self._algorithm == "set":
            return random_score(self._masks[name].shape, self._seeds[name], step)
        if self._algorithm == "snfs":
            return momentum_score(self._means[name])
        score = gradient_score if self._algorithm == "rigl" else inverted_gradient_score
        return score(gradients[name])
