"""Training a curve between two fixed solutions.

min over the inner control points of the mean objective on the curve, by one draw of t ~ U(0, 1)
per batch (Garipov et al. 2018, equation 2; paper 1, section 2). The curve is linear in its control
points, so the gradient of a control point is its coefficient times the gradient at the drawn
weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.landscape.curves import Weights
from tfsparse.landscape.operations import refuse_opaque, take_apart
from tfsparse.models import maskable_layers, named_variables
from tfsparse.seeds import stateless_seed
from tfsparse.training.feeds import MemoryFeed, StreamFeed
from tfsparse.training.objective import cross_entropy, l2_term
from tfsparse.training.one_step import arrange
from tfsparse.training.strategies import assign, mean_over_replicas

TOTALS = ("cross_entropy", "l2", "correct")


@dataclass(frozen=True)
class Descent:
    """The update rule: SGD with momentum, v = m v + g, theta = theta - rate v.

    Args:
        learning_rate: the rate, or its first value.
        momentum: m in [0, 1).
        weight_decay: wd of the L2 term wd/2 ||kernels||^2 of the interpolated weights.
        label_smoothing: of the cross-entropy.
        flat_then_linear: the rate is constant up to half of the steps, then falls linearly to 1%
            at 90% (Garipov's code); else it is constant.
        total_steps: for the schedule.
    """

    learning_rate: float = 0.01
    momentum: float = 0.95
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    flat_then_linear: bool = False
    total_steps: int = 1

    def rate(self, step: Any) -> Any:
        """The learning rate of the step after `step` steps, as a float32 tensor.

        >>> descent = Descent(1.0, flat_then_linear=True, total_steps=100)
        >>> [round(float(descent.rate(s)), 3) for s in (0, 50, 70, 90, 99)]
        [1.0, 1.0, 0.505, 0.01, 0.01]
        """
        rate = tf.constant(self.learning_rate, tf.float32)
        if not self.flat_then_linear:
            return rate
        done = tf.cast(step, tf.float32) / max(1, self.total_steps)
        return rate * (1.0 - 0.99 * tf.clip_by_value((done - 0.5) / 0.4, 0.0, 1.0))


class CurveTrainer:
    """Trains the inner control points of a curve.

    Args:
        model: the architecture; its trainable variables are overwritten by layers whose inner
            workings are not known, and by nothing else.
        points: all control points, first to last; the outer two stay as they are.
        chain: a chain of straight pieces; else a Bezier curve.
        masks: by layer; gradients outside are dropped and the inner points stay zero there.
            Empty for the dense subspace.
        feed: where batches come from.
        batch_size: images per step.
        descent: the update rule.
        seed: of the draws of t.
        xla: compile the step with XLA.
    """

    def __init__(
        self,
        model: keras.Model,
        points: Sequence[Weights],
        *,
        chain: bool,
        masks: Mapping[str, np.ndarray],
        feed: MemoryFeed | StreamFeed,
        batch_size: int,
        descent: Descent,
        seed: int,
        xla: bool = False,
    ) -> None:
        self.batch_size, self.descent = batch_size, descent
        self._feed, self._chain, self._order = feed, chain, len(points) - 1
        self._operations = take_apart(model, "batch")
        self._variables = named_variables(model)
        trained = {v.ref() for v in model.trainable_variables}
        self._names = [name for name, v in self._variables.items() if v.ref() in trained]
        kernels = {f"{layer.name}/kernel" for layer in maskable_layers(model)}
        self._kernels = [name for name in self._names if name in kernels]
        self._others = [
            {name: value for name, value in point.items() if name not in self._names}
            for point in points
        ]
        self._masks = {
            f"{layer}/kernel": tf.constant(mask, tf.float32) for layer, mask in masks.items()
        }
        self._first, self._last = (
            {name: tf.constant(point[name], tf.float32) for name in self._names}
            for point in (points[0], points[-1])
        )
        self.bends = {
            name: tf.Variable(
                np.stack([point[name] for point in points[1:-1]]).astype(np.float32),
                trainable=False,
            )
            for name in self._names
        }
        self.velocity = {
            name: tf.Variable(tf.zeros_like(bends), trainable=False)
            for name, bends in self.bends.items()
        }
        self._t_seed = stateless_seed(seed, "curve_points")
        refuse_opaque(self._operations)
        self._step, self._compute = arrange(self._take_step, self.gradients, xla=xla)
        self._loop = tf.function(self._steps)

    def run(self, step: int, count: int) -> dict[str, float]:
        """Take `count` steps from `step` on, all within one epoch.

        Returns:
            The sums over steps of mean cross-entropy and L2 term at the drawn t, and the number
            of images classified rightly.
        """
        arguments = self._feed.start(step)
        totals = self._loop(tf.constant(step, tf.int64), tf.constant(count), *arguments)
        return {name: float(total) for name, total in zip(TOTALS, totals, strict=True)}

    def points(self) -> list[dict[str, np.ndarray]]:
        """All control points; weights that are not trained stay where they were."""
        inner = [
            {name: bends[i].numpy() for name, bends in self.bends.items()}
            for i in range(self._order - 1)
        ]
        ends = [{n: v.numpy() for n, v in end.items()} for end in (self._first, self._last)]
        return [
            {**others, **own}
            for own, others in zip([ends[0], *inner, ends[1]], self._others, strict=True)
        ]

    def coefficients(self, t: tf.Tensor) -> tf.Tensor:
        """The weights of the control points at t (a float32 scalar), float32 [order + 1]."""
        n = self._order
        i = tf.range(n + 1, dtype=tf.float32)
        if self._chain:
            return tf.maximum(0.0, 1.0 - tf.abs(t * n - i))
        binomials = tf.constant([math.comb(n, k) for k in range(n + 1)], tf.float32)
        return binomials * (1.0 - t) ** (n - i) * t**i

    def draw(self, step: tf.Tensor) -> tf.Tensor:
        """The t of a step: uniform in [0, 1), from the seed and the step alone."""
        first, second = self._t_seed
        seed = tf.stack([first, second + tf.cast(step, tf.int32)])
        # Philox gives the same bits under XLA, but not the same uniform floats.
        bits = tf.random.stateless_uniform(
            [], seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
        )
        return tf.cast(bits // 256, tf.float32) / 2.0**24

    def _steps(self, start: tf.Tensor, count: tf.Tensor, *arguments: Any) -> Any:
        entropy_sum = l2_sum = correct_sum = tf.constant(0.0)
        for i in tf.range(count):
            step = start + tf.cast(i, tf.int64)
            images, labels = self._feed.draw(step, *arguments)
            entropy, l2, correct = self._step(images, labels, step)
            entropy_sum += entropy
            l2_sum += l2
            correct_sum += correct
        return entropy_sum, l2_sum, correct_sum

    def _take_step(self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor) -> Any:
        images, labels = self._feed.share(images, labels)
        images = self._feed.prepare(images, step)
        row = self.coefficients(self.draw(step))
        weights = {name: self._at(row, name) for name in self._names}
        gradients, entropy, l2, correct = self._compute(images, labels, weights)
        gradients = mean_over_replicas(gradients)
        rate = self.descent.rate(step)
        for name, gradient in gradients.items():
            if name in self._masks:
                gradient *= self._masks[name]
            pull = tf.reshape(row[1:-1], [-1, *[1] * gradient.shape.rank]) * gradient
            velocity = self.descent.momentum * self.velocity[name] + pull
            assign(self.velocity[name], velocity)
            assign(self.bends[name], self.bends[name] - rate * velocity)
        return entropy, l2, correct

    def _at(self, row: tf.Tensor, name: str) -> tf.Tensor:
        """A weight of the curve at a row of coefficients."""
        bends = self.bends[name]
        total = row[0] * self._first[name] + row[-1] * self._last[name]
        for i in range(1, self._order):
            total += row[i] * bends[i - 1]
        return total

    def gradients(
        self, images: tf.Tensor, labels: tf.Tensor, weights: dict[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor]:
        """The objective's gradients at given weights, with its parts.

        Returns:
            gradients by name, mean cross-entropy, L2 term, images classified rightly.
        """
        # Read by layers that are not known only: batch norm goes by the batch.
        still = {name: tf.constant(value) for name, value in self._others[0].items()}
        opaque = self._operations.opaque
        sources = [self._variables[n] if n in opaque else weights[n] for n in self._names]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            logits = self._operations.run(images, {**still, **weights})
            entropy = tf.reduce_mean(cross_entropy(logits, labels, self.descent.label_smoothing))
        found = tape.gradient(entropy, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        gradients = dict(zip(self._names, found, strict=True))
        decay = self.descent.weight_decay
        for name in self._kernels if decay else []:
            gradients[name] += decay * weights[name]
        l2 = l2_term([weights[name] for name in self._kernels], decay)
        right = tf.equal(tf.argmax(logits, -1, output_type=labels.dtype), labels)
        return gradients, entropy, l2, tf.reduce_sum(tf.cast(right, tf.float32))
