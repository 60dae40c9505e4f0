"""When masks are updated during dynamic sparse training, and what fraction is dropped then."""

import math
from dataclasses import dataclass
from typing import Any, get_args

import tensorflow as tf

from tfsparse.config.sparsity import GrowthConfig
from tfsparse.errors import UserError

DROP_SCHEDULES: tuple[str, ...] = get_args(GrowthConfig.model_fields["drop_schedule"].annotation)


def check_drop_fraction(fraction: float) -> float:
    """`fraction` as a float in (0, 1).

    Raises:
        UserError: anything else.
    """
    numeric = isinstance(fraction, int | float) and not isinstance(fraction, bool)
    if not numeric or not 0.0 < fraction < 1.0:
        raise UserError(f"drop_fraction: expected a fraction in (0, 1), received {fraction!r}")
    return float(fraction)


@dataclass(frozen=True)
class UpdateSchedule:
    """Updates at begin_step, begin_step + frequency, ... up to and including end_step.

    An update at step t uses the weights after t optimizer steps.
    """

    begin_step: int
    end_step: int
    frequency: int

    def __post_init__(self) -> None:
        for name, least in (("begin_step", 0), ("end_step", 0), ("frequency", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(
                    f"{name}: expected a whole number of steps >= {least}, received {value!r}"
                )
        if self.end_step < self.begin_step:
            raise UserError(
                f"end_step: expected at least begin_step {self.begin_step}, "
                f"received {self.end_step}"
            )

    def is_update_step(self, step: Any) -> Any:
        """Whether masks are updated at `step`: a bool for an int, a bool tensor for a tensor.

        >>> [step for step in range(12) if UpdateSchedule(2, 9, 3).is_update_step(step)]
        [2, 5, 8]
        """
        since = step - self.begin_step
        return (since >= 0) & (step <= self.end_step) & (since % self.frequency == 0)

    def update_steps(self) -> list[int]:
        """All update steps, rising."""
        return list(range(self.begin_step, self.end_step + 1, self.frequency))

    def check_within(self, total_steps: int) -> None:
        """Refuse a schedule that goes on after the last of `total_steps` steps.

        Raises:
            UserError: end_step is past the end.
        """
        if self.end_step > total_steps:
            raise UserError(
                f"end_step: expected at most the run's {total_steps} steps, "
                f"received {self.end_step}"
            )


@dataclass(frozen=True)
class DropFraction:
    """The fraction of a layer's connections that an update drops, over training.

    With a = `initial` and x = (t - begin_step) / (end_step - begin_step) clipped to [0, 1]:

        cosine          a / 2 * (1 + cos(pi * x))      (Evci et al. 2020, equation 1)
        constant        a
        learning_rate   a * lr(t) / lr(reference)

    >>> drop = DropFraction(0.3, "cosine", begin_step=0, end_step=100)
    >>> [round(float(drop.at(step)), 9) for step in (0, 50, 100)]
    [0.3, 0.15, 0.0]
    """

    initial: float
    schedule: str = "cosine"
    begin_step: int = 0
    end_step: int = 1

    def __post_init__(self) -> None:
        check_drop_fraction(self.initial)
        if self.schedule not in DROP_SCHEDULES:
            raise UserError(
                f"drop_schedule: expected one of {', '.join(DROP_SCHEDULES)}, "
                f"received {self.schedule!r}"
            )
        if self.schedule == "cosine" and self.end_step <= self.begin_step:
            raise UserError(
                f"end_step: expected more than begin_step {self.begin_step} for a cosine to fall, "
                f"received {self.end_step}"
            )

    def at(self, step: tf.Tensor | int, learning_rate_ratio: tf.Tensor | float = 1.0) -> tf.Tensor:
        """The fraction at `step` as a float64 scalar, in [0, 1].

        Args:
            step: int scalar or tensor.
            learning_rate_ratio: lr(t) / lr(reference), read by schedule "learning_rate" only.
                The reference is the first rate, or the peak where the rate is warmed up from 0.
        """
        initial = tf.constant(self.initial, tf.float64)
        if self.schedule == "constant":
            return initial
        if self.schedule == "learning_rate":
            return tf.clip_by_value(initial * tf.cast(learning_rate_ratio, tf.float64), 0.0, 1.0)
        # float64: in float32 half of the cosine is not 0.5, and the drop counts of layers whose
        # product is whole would hang on it.
        progress = tf.cast(step - self.begin_step, tf.float64) / (self.end_step - self.begin_step)
        progress = tf.clip_by_value(progress, 0.0, 1.0)
        return initial * 0.5 * (1.0 + tf.cos(math.pi * progress))
