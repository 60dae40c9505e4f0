"""What every section of a config shares: strictness and the type of a point in training."""

import difflib
import re
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)


class Strict(BaseModel):
    """A section in which unknown keys, wrong types and non-finite numbers are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _check_keys(cls, data: Any) -> Any:
        """Name the nearest key where one is unknown; no file or layer name holds a NUL."""
        for key, value in data.items() if isinstance(data, dict) else ():
            if key not in cls.model_fields:
                shown = str(key)[:80]
                near = difflib.get_close_matches(shown, cls.model_fields, n=1, cutoff=0.5)
                known = ", ".join(cls.model_fields)
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {known}"
                raise ValueError(f"unknown key {shown!r}; {hint}")
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"{key}: expected text without NUL characters")
        return data


Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Field(strict=False)]
"""A JSON list; strictness applies to its items."""


MAX_STEPS = 2**31 - 1
MAX_EPOCHS = 1_000_000

_EPOCHS = r"^([0-9]+\.?[0-9]*|\.[0-9]+)ep$"


def _check_step(value: Any) -> int | float | str:
    if isinstance(value, str):
        if re.fullmatch(_EPOCHS, value) and float(value.removesuffix("ep")) <= MAX_EPOCHS:
            return value
    elif isinstance(value, float):
        if 0.0 <= value <= 1.0:
            return value
    elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_STEPS:
        return value
    raise ValueError(
        "expected a number of steps >= 0, a fraction of training in [0.0, 1.0] or '30ep'"
    )


Step = Annotated[
    int | float | str,
    PlainValidator(_check_step),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": MAX_STEPS},
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": _EPOCHS},
            ]
        }
    ),
]
"""A point in training: a whole number is a step, a decimal in [0, 1] a fraction of the run,
text such as `"30ep"` a number of epochs. `1` is step one, `1.0` the end."""


def resolve_step(value: int | float | str, *, total_steps: int, steps_per_epoch: float) -> int:
    """`value` as a step of a run of `total_steps` steps.

    >>> [resolve_step(v, total_steps=1000, steps_per_epoch=100) for v in (7, 0.25, "3ep", 1.0)]
    [7, 250, 300, 1000]
    """
    if isinstance(value, str):
        return round(float(value.removesuffix("ep")) * steps_per_epoch)
    if isinstance(value, float):
        return round(value * total_steps)
    return value


Sparsity = Annotated[float, Field(ge=0.0, lt=1.0)]
"""A fraction of zeros in [0, 1)."""
