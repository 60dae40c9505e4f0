"""The optimizer section: which update rule, which learning-rate schedule, which weight decay."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from tfsparse.config.fields import Many, Step, Strict


class ConstantRate(Strict):
    """The same learning rate at every step."""

    schedule: Literal["constant"]
    value: float = Field(gt=0)


class StepsRate(Strict):
    """Linear warm-up from 0, then a factor at every boundary."""

    schedule: Literal["steps"]
    value: float = Field(gt=0)
    """The rate after warm-up."""
    warmup: Step = 0
    boundaries: Many[Step] = ()
    factor: float = Field(0.1, gt=0, le=1)
    """What the rate is multiplied by at each boundary."""


class CosineRate(Strict):
    """Linear warm-up from 0, then half a cosine down to `final`."""

    schedule: Literal["cosine"]
    value: float = Field(gt=0)
    warmup: Step = 0
    final: float = Field(0.0, ge=0)


RateSection = ConstantRate | StepsRate | CosineRate


def _number_is_constant(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"schedule": "constant", "value": value}
    if not isinstance(value, dict | BaseModel):
        raise ValueError("expected a number or a section with a key 'schedule'")
    return value


LearningRate = Annotated[
    Annotated[RateSection, Field(discriminator="schedule")],
    BeforeValidator(_number_is_constant, json_schema_input_type=float | RateSection),
]
"""A schedule; a bare number means a constant rate."""


class OptimizerConfig(Strict):
    """The update rule."""

    name: Literal["sgd", "adam"] = "sgd"
    learning_rate: LearningRate = ConstantRate(schedule="constant", value=0.1)
    """A number (constant) or a schedule."""
    reference_batch_size: int | None = Field(None, ge=1)
    """When set, rates are meant per this many images and scaled by batch_size / this."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD."""
    nesterov: bool = False
    beta_1: float = Field(0.9, ge=0, lt=1)
    """First-moment decay of Adam."""
    beta_2: float = Field(0.999, ge=0, lt=1)
    """Second-moment decay of Adam."""
    epsilon: float = Field(1e-7, gt=0)
    """Adam's epsilon."""
    weight_decay: float = Field(0.0, ge=0)
    """wd of the term wd/2 * ||kernels||^2 in the objective; masked weights, biases and batch
    norm do not enter."""

    @model_validator(mode="after")
    def _check(self) -> "OptimizerConfig":
        if self.nesterov and self.name != "sgd":
            raise ValueError("nesterov: expected optimizer 'sgd', received 'adam'")
        return self
