"""The `.tflite` files an export can write."""

from dataclasses import dataclass

from tfsparse.errors import UserError


@dataclass(frozen=True)
class Variant:
    """One kind of `.tflite` file."""

    name: str
    weights: str
    """`float32`, `float16` or `int8`."""
    sparse: bool
    """Zeros are not stored."""
    about: str
    needs_examples: bool = False
    """Converted with a representative set from the training data."""
    origin: str | None = None
    """The variant with the same numbers, stored dense."""


_DENSE = (
    Variant("float32", "float32", False, "all weights as they are"),
    Variant("float16", "float16", False, "weights rounded to 16 bit, arithmetic in 32 bit"),
    Variant("int8_dynamic", "int8", False, "weights in 8 bit, activations quantized on the fly"),
    Variant(
        "int8",
        "int8",
        False,
        "weights, activations, input and output in 8 bit",
        needs_examples=True,
    ),
)

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for dense in _DENSE
    for variant in (
        dense,
        Variant(
            f"{dense.name}_sparse",
            dense.weights,
            True,
            f"{dense.about}; zeros not stored",
            dense.needs_examples,
            dense.name,
        ),
    )
}
"""By name: each dense form followed by its sparse one."""


def chosen(names: str | None) -> list[Variant]:
    """The variants in a comma-separated list; all of them for None.

    Raises:
        UserError: an unknown name.
    """
    if names is None:
        return list(VARIANTS.values())
    result = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in VARIANTS:
            raise UserError(
                f"--variants: unknown variant {name!r}; expected some of {', '.join(VARIANTS)}"
            )
        result.append(VARIANTS[name])
    if not result:
        raise UserError(f"--variants: expected some of {', '.join(VARIANTS)}, received none")
    return result
