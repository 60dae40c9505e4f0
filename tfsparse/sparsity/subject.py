"""What a method hands to the training loop: a model, its masks and how these change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.sparsity.representation import Choice


@dataclass(frozen=True)
class MaskChange:
    """What one mask update did: connections dropped and grown, over all layers."""

    dropped: int
    grown: int


@dataclass(frozen=True)
class Moment:
    """What a mask update may look at.

    Attributes:
        step: optimizer steps taken so far.
        learning_rate: the rate of the step to come.
        peak_learning_rate: the rate after warm-up, before any decay.
        dense_gradients: computes the gradient of the cross-entropy with respect to the whole
            kernels, masked places included, on the batch of the step to come; by layer name.
        slots: the optimizer's slot variables of each layer's kernel.
    """

    step: int
    learning_rate: float
    peak_learning_rate: float
    dense_gradients: Callable[[], Mapping[str, tf.Tensor]]
    slots: Mapping[str, list[tf.Variable]]


class MaskUpdates(Protocol):
    """A rule that changes masks while training goes on."""

    replace_step: bool
    """Whether an update takes the place of the gradient step at its step."""

    def steps(self) -> frozenset[int]:
        """The steps before which masks change."""

    def apply(self, moment: Moment) -> MaskChange:
        """Change masks and the weights under them; slots of what changed become zero."""


@dataclass
class Subject:
    """The network in training.

    Attributes:
        model: what the step computes, from images to logits.
        plain: gives the model of ordinary layers with the current, masked weights; layers that
            store only their connections stay such.
        masks: float32 0/1 variables by layer name; empty when dense.
        compact: uint8 masks of the layers that store only their connections, by layer name.
        updates: how masks change, or None when they do not.
        mask_gradients: whether the step must multiply kernel gradients by the masks; not
            needed where the layers do so themselves.
        revival: pruned weights take gradient steps from zero, as under tfmot's wrappers: the step
            zeroes them before its forward pass and leaves gradients and slots alone.
        gradient_means: running means of the dense gradients by layer name, which the step keeps
            up to date for updates that rank them.
        tracked: further objects whose variables belong into a checkpoint.
        nominal_sparsity: what the user asked for, None when dense.
        target: the number of weights each masked layer must keep at the end.
        notes: sentences for the user, printed at the start.
        representations: how each layer of a topology is stored and computed, and why.
    """

    model: keras.Model
    plain: Callable[[], keras.Model]
    masks: Mapping[str, tf.Variable] = field(default_factory=dict)
    compact: Mapping[str, np.ndarray] = field(default_factory=dict)
    updates: MaskUpdates | None = None
    mask_gradients: bool = False
    revival: bool = False
    gradient_means: Mapping[str, tf.Variable] = field(default_factory=dict)
    tracked: Mapping[str, Any] = field(default_factory=dict)
    nominal_sparsity: float | None = None
    target: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    representations: Mapping[str, Choice] = field(default_factory=dict)

    def mask_arrays(self) -> dict[str, np.ndarray]:
        """The masks of all sparse layers as uint8 arrays."""
        moving = {name: mask.numpy().astype(np.uint8) for name, mask in self.masks.items()}
        return {**moving, **self.compact}
