"""The pruned baseline: tfmot's magnitude pruning on the polynomial schedule.

`prune_low_magnitude` wraps the layers, `PolynomialDecay` says how sparse they are at each step.
Three things are added, each against a known trap: a mask update at `end_step` even where the
frequency does not reach it, exact counts where weights tie, and masks that only shrink.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from tfsparse.models import maskable_layers, named_variables
from tfsparse.sparsity.masks import kept_count, top_k_mask
from tfsparse.sparsity.subject import MaskChange, Moment


@dataclass(frozen=True)
class PruningSchedule:
    """When masks are cut and how sparse they are then; all steps are absolute.

    An update at step t uses the weights after t optimizer steps.
    """

    begin_step: int
    end_step: int
    frequency: int
    final_sparsity: Mapping[str, float]
    """By layer name; layers not named stay dense."""
    initial_sparsity: float = 0.0
    power: float = 3.0
    final_update: bool = True

    def update_steps(self) -> list[int]:
        """The steps at which masks are cut, rising.

        >>> PruningSchedule(10, 25, 10, {}).update_steps()
        [10, 20, 25]
        """
        steps = list(range(self.begin_step, self.end_step + 1, self.frequency))
        if self.final_update and steps[-1] != self.end_step:
            steps.append(self.end_step)
        return steps

    def reaches_target(self) -> bool:
        """Whether the last update is the one with the final sparsity."""
        return self.update_steps()[-1] == self.end_step

    def decay(self, layer: str) -> "Decay":
        """tfmot's schedule for one layer."""
        final = self.final_sparsity[layer]
        return Decay(
            initial_sparsity=min(self.initial_sparsity, final),
            final_sparsity=final,
            begin_step=self.begin_step,
            end_step=self.end_step,
            power=self.power,
            frequency=self.frequency,
            final_update=self.final_update,
        )


class Decay(tfmot.sparsity.keras.PolynomialDecay):
    """PolynomialDecay with an update at `end_step` whatever the frequency.

    s(t) = s_f + (s_i - s_f) * (1 - (t - t_0) / (t_1 - t_0))^power (Zhu & Gupta 2017, eq. 1).
    """

    def __init__(self, *, final_update: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.final_update = final_update

    def __call__(self, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self.begin_step == self.end_step:  # the formula would divide 0 by 0
            return tf.equal(step, self.end_step), tf.constant(self.final_sparsity, tf.float32)
        due, sparsity = super().__call__(step)
        if self.final_update:
            due = tf.logical_or(due, tf.equal(step, self.end_step))
        return due, sparsity

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["config"]["final_update"] = self.final_update
        return config


class Pruning:
    """A model under gradual pruning; the mask updates of a `Subject`.

    Args:
        model: a Sequential or functional model; it is cloned, its weights are kept.
        schedule: when and how much.
    """

    def __init__(self, model: keras.Model, schedule: PruningSchedule) -> None:
        self.schedule = schedule
        layers = {layer.name for layer in maskable_layers(model)} & set(schedule.final_sparsity)

        def wrap(layer: keras.layers.Layer) -> keras.layers.Layer:
            if layer.name not in layers:
                return layer.__class__.from_config(layer.get_config())
            clone = layer.__class__.from_config(layer.get_config())
            return tfmot.sparsity.keras.prune_low_magnitude(
                clone, pruning_schedule=schedule.decay(layer.name)
            )

        self.wrapped = keras.models.clone_model(model, clone_function=wrap)
        self.stripped = tfmot.sparsity.keras.strip_pruning(self.wrapped)
        """The plain layers inside the wrappers, sharing their variables: what a step runs."""
        variables = named_variables(self.stripped)
        for name, value in named_variables(model).items():
            variables[name].assign(value)
        self._wrappers = {
            wrapper.layer.name: wrapper
            for wrapper in self.wrapped.layers
            if hasattr(wrapper, "pruning_vars")
        }

    @property
    def masks(self) -> dict[str, tf.Variable]:
        """The wrappers' mask variables by layer name, float32 of 0 and 1."""
        return {name: wrapper.pruning_vars[0][1] for name, wrapper in self._wrappers.items()}

    replace_step = False

    def steps(self) -> frozenset[int]:
        """The steps before which masks are cut."""
        return frozenset(self.schedule.update_steps())

    def apply(self, moment: Moment) -> MaskChange:
        """Cut the masks, and the weights with them, as the schedule says."""
        step = moment.step
        before = {name: mask.numpy() for name, mask in self.masks.items()}
        self._set_step(step)
        tf.distribute.get_strategy().run(self._cut)
        for name, wrapper in self._wrappers.items():
            _, sparsity = wrapper.pruning_schedule(tf.constant(step, tf.int64))
            kernel, mask = wrapper.layer.kernel, wrapper.pruning_vars[0][1]
            kept = kept_count(int(np.prod(kernel.shape)), float(sparsity))
            # tfmot keeps every weight as large as its threshold, ties included.
            if int(np.count_nonzero(mask.numpy())) > kept:
                scores = np.where(before[name] > 0, np.abs(kernel.numpy()), -1.0)
                mask.assign(top_k_mask(scores, kept).astype(np.float32))
                kernel.assign(kernel * mask)
        after = {name: mask.numpy() for name, mask in self.masks.items()}
        return MaskChange(
            dropped=sum(int(np.sum(before[name] > after[name])) for name in after),
            grown=sum(int(np.sum(before[name] < after[name])) for name in after),
        )

    def plain(self) -> keras.Model:
        """The layers without wrappers, their kernels times their masks."""
        for name, mask in self.masks.items():
            kernel = self._wrappers[name].layer.kernel
            kernel.assign(kernel * mask)
        return self.stripped

    def _set_step(self, step: int) -> None:
        for wrapper in self._wrappers.values():
            wrapper.pruning_step.assign(step)

    @tf.function
    def _cut(self) -> None:
        for wrapper in self._wrappers.values():
            with tf.control_dependencies([wrapper.pruning_obj.conditional_mask_update()]):
                wrapper.pruning_obj.weight_mask_op()
