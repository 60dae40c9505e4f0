"""The optimizer step and the loop over many of them inside one graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.models import kernel_shapes, maskable_layers, untouched_state
from tfsparse.sparsity.growth import next_momentum
from tfsparse.sparsity.subject import Moment, Subject
from tfsparse.training.feeds import MemoryFeed, StreamFeed
from tfsparse.training.objective import cross_entropy, l2_term
from tfsparse.training.one_step import arrange
from tfsparse.training.optimizers import slots
from tfsparse.training.strategies import assign, mean_over_replicas

TOTALS = ("cross_entropy", "l2", "correct")


class Trainer:
    """Trains a subject; all state is in TensorFlow variables.

    Under a `tf.distribute` strategy every replica computes the gradients of its part of the
    batch; their mean is that of the whole batch's objective, whatever their number.

    Args:
        subject: the model with its masks.
        optimizer: a Keras optimizer; it is built here.
        feed: where batches come from.
        batch_size: images per step.
        weight_decay: of the L2 term over masked kernels.
        label_smoothing: of the cross-entropy.
        xla: compile the step with XLA; under a strategy, what lies between two exchanges.
    """

    def __init__(
        self,
        subject: Subject,
        optimizer: keras.optimizers.Optimizer,
        feed: MemoryFeed | StreamFeed,
        *,
        batch_size: int,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.0,
        xla: bool = False,
    ) -> None:
        self.subject, self.optimizer, self.feed = subject, optimizer, feed
        self.batch_size, self.weight_decay = batch_size, weight_decay
        self.label_smoothing = label_smoothing
        self.variables: list[tf.Variable] = list(subject.model.trainable_variables)
        optimizer.build(self.variables)
        self._kernels = {layer.name: layer.kernel for layer in maskable_layers(subject.model)}
        index = {variable.ref(): i for i, variable in enumerate(self.variables)}
        self._mask_of = {
            index[self._kernels[name].ref()]: mask for name, mask in subject.masks.items()
        }
        self._mean_of = {
            index[self._kernels[name].ref()]: mean for name, mean in subject.gradient_means.items()
        }
        per_variable = slots(optimizer, self.variables)
        self.slots = {
            name: per_variable[index[kernel.ref()]]
            for name, kernel in self._kernels.items()
            if kernel.ref() in index
        }
        self._strategy = tf.distribute.get_strategy()
        self._step, self._compute = arrange(self._take_step, self.gradients, xla=xla)
        self._loop = tf.function(self._steps)
        self._single = tf.function(self._step)
        self._dense = tf.function(self._dense_gradients)

    def run(self, step: int, count: int) -> dict[str, float]:
        """Take `count` steps from `step` on, all within one epoch.

        Returns:
            The sums over steps of mean cross-entropy and L2 term, and the number of images
            classified rightly before their step.
        """
        arguments = self.feed.start(step)
        parts = []
        held = self.feed.take_held()
        if held is not None:
            parts.append(self._single(*held, tf.constant(step, tf.int64)))
            step, count = step + 1, count - 1
        if count:
            parts.append(self._loop(tf.constant(step, tf.int64), tf.constant(count), *arguments))
        totals = zip(TOTALS, *parts, strict=True)
        return {name: sum(map(float, values)) for name, *values in totals}

    def update_masks(self, step: int) -> dict[str, int]:
        """Let the subject change its masks before `step`; returns what was dropped and grown."""
        updates = self.subject.updates
        assert updates is not None
        before = {name: mask.numpy() for name, mask in self.subject.masks.items()}
        moment = Moment(
            step=step,
            learning_rate=self.learning_rate(step),
            peak_learning_rate=self.optimizer._learning_rate.value,
            dense_gradients=lambda: self.dense_gradients(step),
            slots=self.slots,
        )
        change = updates.apply(moment)
        if not self.subject.revival:
            self._clear_slots(before)
        return {"dropped": change.dropped, "grown": change.grown}

    def skip_step(self, step: int) -> None:
        """Let `step` pass without a gradient step; data and learning rate's schedule move on."""
        self.feed.pass_over(step)
        self.optimizer.iterations.assign_add(1)

    def learning_rate(self, step: int) -> float:
        """The learning rate of the step after `step` steps."""
        return float(self.optimizer._learning_rate(tf.constant(step, tf.int64)))

    def dense_gradients(self, step: int) -> Mapping[str, tf.Tensor]:
        """The cross-entropy's gradient with respect to whole kernels on the batch of `step`."""
        return self._dense(*self.feed.peek(step), tf.constant(step, tf.int64))

    def masked_kernels(self) -> list[tf.Tensor]:
        """All maskable kernels, times their masks."""
        return [
            kernel * tf.cast(self.subject.masks[name], kernel.dtype)
            if name in self.subject.masks
            else tf.convert_to_tensor(kernel)
            for name, kernel in self._kernels.items()
        ]

    def gradients(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor]:
        """Gradients of the objective on one batch, with its parts.

        Returns:
            gradients (also outside the masks where layers do not mask), mean cross-entropy,
            L2 term, images classified rightly.
        """
        with tf.GradientTape() as tape:
            logits = self.subject.model(images, training=True)
            entropy = tf.reduce_mean(cross_entropy(logits, labels, self.label_smoothing))
            l2 = l2_term(self.masked_kernels(), self.weight_decay)
            extra = self.subject.model.losses  # regularisers of a user's own model
            if extra:
                l2 += tf.add_n([tf.cast(loss, tf.float32) for loss in extra])
            objective = entropy + l2
        gradients = tape.gradient(
            objective, self.variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        right = tf.equal(tf.argmax(logits, -1, output_type=labels.dtype), labels)
        return gradients, entropy, l2, tf.reduce_sum(tf.cast(right, tf.float32))

    def mask_gradients(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """`gradients` with zeros outside the masks."""
        if not self.subject.mask_gradients:
            return gradients
        return [
            gradient * self._mask_of[i] if i in self._mask_of else gradient
            for i, gradient in enumerate(gradients)
        ]

    def _steps(self, start: tf.Tensor, count: tf.Tensor, *arguments: Any) -> Any:
        entropy_sum = l2_sum = correct_sum = tf.constant(0.0)
        for i in tf.range(count):
            step = start + tf.cast(i, tf.int64)
            entropy, l2, correct = self._step(*self.feed.draw(step, *arguments), step)
            entropy_sum += entropy
            l2_sum += l2
            correct_sum += correct
        return entropy_sum, l2_sum, correct_sum

    def _take_step(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> Any:
        images, labels = self.feed.share(images, labels)
        images = self.feed.prepare(images, step)
        if self.subject.revival:
            for name, mask in self.subject.masks.items():
                assign(self._kernels[name], self._kernels[name] * mask)
        gradients, entropy, l2, correct = self._compute(images, labels)
        gradients = mean_over_replicas(gradients)
        for i, mean in self._mean_of.items():
            assign(mean, next_momentum(mean, gradients[i]))
        gradients = self.mask_gradients(gradients)
        self.optimizer.apply_gradients(
            zip(gradients, self.variables, strict=True), skip_gradients_aggregation=True
        )
        return entropy, l2, correct

    def _dense_gradients(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        if not tf.distribute.has_strategy():
            return self._dense_part(images, labels, step)
        found = self._strategy.run(self._dense_part, args=(images, labels, step))
        mean = tf.distribute.ReduceOp.MEAN
        return {name: self._strategy.reduce(mean, part, axis=None) for name, part in found.items()}

    def _dense_part(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        images, labels = self.feed.share(images, labels)
        images = self.feed.prepare(images, step)
        kernels = {name: self._kernels[name] for name in self.subject.masks}
        with untouched_state(self.subject.model), tf.GradientTape() as tape:
            logits = self.subject.model(images, training=True)
            entropy = tf.reduce_mean(cross_entropy(logits, labels, self.label_smoothing))
        return tape.gradient(entropy, kernels)

    def _clear_slots(self, before: Mapping[str, np.ndarray]) -> None:
        """Zero the slots of every connection that is gone or new."""
        for name, mask in self.subject.masks.items():
            stays = before[name] * mask.numpy()
            for slot in self.slots.get(name, []):
                slot.assign(slot * stays)


def xla_by_default(model: keras.Model) -> bool:
    """Whether XLA made such a model's step faster where it was measured, on CPUs: dense nets
    gain 1.5 times and more, convolutions lose (`make bench` measures both)."""
    return all(len(shape) == 2 for shape in kernel_shapes(model).values())
