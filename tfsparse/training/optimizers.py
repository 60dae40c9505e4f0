"""Optimizers and learning-rate schedules from the config."""

import math
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfsparse.config import OptimizerConfig
from tfsparse.plan import Plan


@keras.saving.register_keras_serializable("tfsparse")
class Rate(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up from 0 to `value`, then drops at `boundaries` or half a cosine to `final`.

    Args:
        value: the rate after warm-up.
        warmup: steps of warm-up; step 0 has rate 0 when it is positive.
        boundaries: steps from which on the rate is multiplied once more by `factor`.
        factor: of each drop.
        cosine_steps: the step at which the cosine ends; 0 for no cosine.
        final: the rate at the cosine's end.
    """

    def __init__(
        self,
        value: float,
        warmup: int = 0,
        boundaries: tuple[int, ...] = (),
        factor: float = 1.0,
        cosine_steps: int = 0,
        final: float = 0.0,
    ) -> None:
        self.value, self.warmup, self.boundaries = value, warmup, tuple(boundaries)
        self.factor, self.cosine_steps, self.final = factor, cosine_steps, final

    def __call__(self, step: Any) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rate = tf.constant(self.value, tf.float32)
        if self.cosine_steps:
            span = max(1, self.cosine_steps - self.warmup)
            done = tf.clip_by_value((step - self.warmup) / span, 0.0, 1.0)
            rate = self.final + (self.value - self.final) * 0.5 * (1.0 + tf.cos(math.pi * done))
        for boundary in self.boundaries:
            rate = tf.where(step >= boundary, rate * self.factor, rate)
        if self.warmup:
            rate = tf.where(step < self.warmup, self.value * step / self.warmup, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        return dict(self.__dict__)


def make_rate(config: OptimizerConfig, plan: Plan) -> Rate:
    """The learning rate at each step of a run."""
    rate = config.learning_rate
    scale = 1.0
    if config.reference_batch_size is not None:
        scale = plan.batch_size / config.reference_batch_size
    if rate.schedule == "constant":
        return Rate(rate.value * scale)
    warmup = plan.step(rate.warmup)
    if rate.schedule == "steps":
        boundaries = tuple(plan.step(boundary) for boundary in rate.boundaries)
        return Rate(rate.value * scale, warmup, boundaries, rate.factor)
    return Rate(rate.value * scale, warmup, cosine_steps=plan.total_steps, final=rate.final * scale)


def make_optimizer(config: OptimizerConfig, plan: Plan) -> keras.optimizers.Optimizer:
    """The Keras optimizer; weight decay is part of the objective, not of the optimizer."""
    rate = make_rate(config, plan)
    if config.name == "adam":
        return keras.optimizers.Adam(
            rate,
            beta_1=config.beta_1,
            beta_2=config.beta_2,
            epsilon=config.epsilon,
            jit_compile=False,
        )
    return keras.optimizers.SGD(
        rate, momentum=config.momentum, nesterov=config.nesterov, jit_compile=False
    )


def slots(
    optimizer: keras.optimizers.Optimizer, variables: list[tf.Variable]
) -> list[list[tf.Variable]]:
    """The slot variables of each of the `variables` the optimizer was built with, in order."""
    if isinstance(optimizer, keras.optimizers.Adam):
        return [
            list(pair) for pair in zip(optimizer._momentums, optimizer._velocities, strict=True)
        ]
    momentums = getattr(optimizer, "momentums", [])
    return [[slot] for slot in momentums] or [[] for _ in variables]
