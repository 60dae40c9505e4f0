"""The zeros of a network's kernels: how many, where, and the channels that have nothing else."""

from typing import Any

import numpy as np


def zeros_of(weights: dict[str, np.ndarray]) -> dict[str, Any]:
    """Zeros of the kernels, as JSON values.

    Args:
        weights: arrays by name; those of at least two axes are kernels, their last axis is the
            output channel (of a depthwise kernel, whose name says so, the last two).

    Returns:
        `overall` and `largest`: the zeros' part of all kernel weights, and the largest part in one
        kernel; `kernels`: that part by name; `empty_channels`: for each kernel that has some, how
        many of its output channels have no weight but zeros, and how many channels there are.
    """
    kernels = {name: array for name, array in weights.items() if array.ndim >= 2}
    parts = {name: 1 - np.count_nonzero(array) / array.size for name, array in kernels.items()}
    size = sum(array.size for array in kernels.values())
    zeros = sum(array.size - np.count_nonzero(array) for array in kernels.values())
    empty = {name: _empty_channels(name, array) for name, array in kernels.items()}
    return {
        "overall": zeros / size if size else 0.0,
        "largest": max(parts.values(), default=0.0),
        "kernels": parts,
        "empty_channels": {name: list(found) for name, found in empty.items() if found[0]},
    }


def _empty_channels(name: str, kernel: np.ndarray) -> tuple[int, int]:
    last = 2 if "depthwise" in name.rpartition("/")[2] else 1
    used = kernel.any(axis=tuple(range(kernel.ndim - last)))
    return int(used.size - np.count_nonzero(used)), used.size


def empty_channels_in_words(zeros: dict[str, Any], *, batch_norm: bool) -> str | None:
    """A line on channels without weights in a network with batch norm, if it has any.

    Batch norm divides such channels by next to nothing. A MobileNet at 98% that had 158 of them
    lost 16 points in int8; with 34 it lost 0.2 (docs/results/deployment.md).

    Args:
        zeros: what `zeros_of` found.
        batch_norm: whether the network has batch norm.
    """
    empty = zeros["empty_channels"]
    if not empty or not batch_norm:
        return None
    worst = sorted(empty, key=lambda name: -empty[name][0] / empty[name][1])
    named = ", ".join(f"{name} {empty[name][0]} of {empty[name][1]}" for name in worst[:3])
    more = f" and {len(worst) - 3} more kernels" if len(worst) > 3 else ""
    total = sum(count for count, _ in empty.values())
    return (
        f"note: {total:,} output channels have no weight left ({named}{more}); before batch norm "
        "this can enlarge rounding and int8 errors; if the check finds them too large, prune these "
        "layers less (pruning.rules, max_sparsity)"
    )
