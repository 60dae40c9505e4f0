"""A compact checkpoint: one bit for every weight, and only the weights that are not zero.

The `.npz` holds for each array `name` either `dense/<name>`, or `bits/<name>` (packed bits, first
element in the highest bit), `values/<name>` and `shape/<name>`. A masked negative weight is -0.0;
where there are such, `signs/<name>` has one more bit for every zero. It is read without pickle
and gives every array back bit by bit.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfsparse import files
from tfsparse.errors import UserError

_PARTS = ("dense", "bits", "values", "shape", "signs")


def write_compact(path: str | Path, arrays: Mapping[str, np.ndarray]) -> int:
    """Write arrays to a compact `.npz`.

    Args:
        path: the file; it appears whole or not at all.
        arrays: float arrays by name.

    Returns:
        The size of the file in bytes.
    """
    packed: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        array = np.asarray(array)
        flat = array.reshape(-1)
        kept = flat != 0  # true for NaN
        values = flat[kept]
        if values.nbytes + kept.size / 8 < array.nbytes:
            packed[f"bits/{name}"] = np.packbits(kept)
            packed[f"values/{name}"] = values
            packed[f"shape/{name}"] = np.asarray(array.shape, np.int64)
            signs = np.signbit(flat[~kept])
            if signs.any():
                packed[f"signs/{name}"] = np.packbits(signs)
        else:
            packed[f"dense/{name}"] = array
    files.write_npz(path, packed)
    return Path(path).stat().st_size


def read_compact(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a compact `.npz`, bit by bit as they were.

    Raises:
        UserError: missing or damaged file, or parts that do not fit together.
    """
    stored = files.read_npz(path)
    result: dict[str, np.ndarray] = {}
    for key, array in stored.items():
        part, _, name = key.partition("/")
        if part not in _PARTS or not name:
            raise UserError(f"{path}: not a compact checkpoint: unknown entry {key!r}")
        if part == "dense":
            result[name] = array
        elif part == "bits":
            result[name] = _unpacked(path, name, stored)
    return result


def _unpacked(path: str | Path, name: str, stored: dict[str, np.ndarray]) -> np.ndarray:
    bits, values = stored[f"bits/{name}"], stored.get(f"values/{name}")
    shape = stored.get(f"shape/{name}")
    if values is None or shape is None or shape.ndim != 1 or shape.dtype.kind not in "iu":
        raise UserError(f"{path}: not a compact checkpoint: {name!r} lacks its values or shape")
    size = 1
    for length in shape.tolist():
        size *= max(0, int(length))
    fits = bits.dtype == np.uint8 and bits.ndim == 1 and len(bits) == (size + 7) // 8
    kept = np.unpackbits(bits)[:size].astype(bool) if fits else np.zeros(0, bool)
    if not fits or values.ndim != 1 or len(values) != np.count_nonzero(kept):
        raise UserError(f"{path}: damaged: {name!r} has bits and values that do not fit together")
    array = np.zeros(size, values.dtype)
    array[kept] = values
    signs = stored.get(f"signs/{name}")
    if signs is not None:
        zeros = size - len(values)
        if signs.dtype != np.uint8 or signs.shape != ((zeros + 7) // 8,):
            raise UserError(f"{path}: damaged: {name!r} has signs that do not fit its zeros")
        negative = np.unpackbits(signs)[:zeros].astype(bool)
        array[~kept] = np.where(negative, -0.0, 0.0).astype(values.dtype)
    return array.reshape(shape)
