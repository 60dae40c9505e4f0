"""Checking masks that come from outside, and storing them as `.npz` files."""

import difflib
import os
from collections.abc import Mapping, Sequence

import numpy as np

from tfsparse import files
from tfsparse.errors import UserError

_SHOWN = 6  # layer names listed in a message; a network may have hundreds


def validate_masks(
    masks: Mapping[str, np.ndarray], shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, np.ndarray]:
    """The masks as uint8 arrays of 0 and 1, each of its layer's shape.

    Booleans, integers and floats are taken as long as every value is 0 or 1. A layer of `shapes`
    without a mask stays dense.

    Args:
        masks: arrays by layer name.
        shapes: kernel shapes of the layers that may be masked; None checks the values only.

    Raises:
        UserError: an unknown layer, another shape, a dtype that is no number, or other values;
            the message names the layer.
    """
    checked = {}
    for name, mask in masks.items():
        mask = np.asarray(mask)
        if shapes is not None:
            if name not in shapes:
                raise UserError(_unknown_layer(name, shapes))
            expected = tuple(int(n) for n in shapes[name])
            if mask.shape != expected:
                raise UserError(
                    f"mask of layer {name!r}: expected shape {expected}, received {mask.shape}"
                )
        checked[name] = _as_zeros_and_ones(name, mask)
    return checked


def load_masks(
    path: str | os.PathLike[str], shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, np.ndarray]:
    """The masks of an `.npz` file whose entries are named after layers, checked.

    Raises:
        UserError: missing, truncated, pickled or otherwise unreadable file, no mask in it, or
            anything `validate_masks` refuses; the message starts with the path.
    """
    arrays = files.read_npz(path)
    if not arrays:
        raise UserError(f"{path}: expected one mask per layer, received an empty file")
    try:
        return validate_masks(arrays, shapes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def save_masks(path: str | os.PathLike[str], masks: Mapping[str, np.ndarray]) -> None:
    """Write the masks as uint8 to an `.npz` file, in one rename."""
    files.write_npz(path, validate_masks(masks))


def _as_zeros_and_ones(name: str, mask: np.ndarray) -> np.ndarray:
    if mask.dtype.kind not in "buif":
        raise UserError(
            f"mask of layer {name!r}: expected zeros and ones, received dtype {mask.dtype}"
        )
    wrong = (mask != 0) & (mask != 1)
    if wrong.any():
        index = np.unravel_index(int(np.argmax(wrong)), mask.shape)
        place = [int(i) for i in index]
        raise UserError(
            f"mask of layer {name!r}: expected only 0 and 1, received {mask[index]} at {place}"
        )
    return mask.astype(np.uint8)


def _unknown_layer(name: str, shapes: Mapping[str, Sequence[int]]) -> str:
    close = difflib.get_close_matches(name, shapes, n=1)
    if close:
        hint = f"did you mean {close[0]!r}?"
    else:
        names = list(shapes)
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        hint = f"expected one of {', '.join(names[:_SHOWN]) or '(none)'}{more}"
    return f"mask of layer {name!r}: the model has no such layer to mask; {hint}"
