"""Making masks: which weights of a layer stay.

A mask is a uint8 array of the kernel's shape: 1 where the weight stays, 0 where it is removed.
Masks of a network are a dict keyed by layer name. Everything here is plain numpy; what can be
read off finished masks is in `mask_facts`, checking and storing them in `mask_files`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfsparse.errors import UserError
from tfsparse.seeds import named_seed
from tfsparse.sparsity.mask_facts import (
    Overlap,
    SparsityReport,
    empty_layers,
    empty_neurons,
    layer_overlaps,
    mask_hash,
    overlap,
    sparsity_of,
)
from tfsparse.sparsity.mask_files import load_masks, save_masks, validate_masks

__all__ = [
    "Masks", "Overlap", "SparsityReport", "check_sparsity", "empty_layers", "empty_neurons",
    "global_magnitude_masks", "kept_count", "layer_overlaps", "load_masks", "magnitude_mask",
    "mask_hash", "overlap", "random_mask", "save_masks", "shuffled_masks", "sparsity_of",
    "top_k_mask", "top_k_masks", "validate_masks",
]  # fmt: skip

Masks = dict[str, np.ndarray]


def check_sparsity(sparsity: float, where: str = "sparsity") -> float:
    """`sparsity` as a float in [0, 1).

    Raises:
        UserError: no number, not finite, or outside [0, 1).
    """
    numeric = isinstance(sparsity, int | float | np.number) and not isinstance(sparsity, bool)
    if not numeric or not 0.0 <= float(sparsity) < 1.0:
        raise UserError(f"{where}: expected a fraction in [0, 1), received {sparsity!r}")
    return float(sparsity)


def kept_count(size: int, sparsity: float) -> int:
    """How many of `size` weights stay at `sparsity`: max(1, round(size * (1 - sparsity))).

    The product is taken in float32 and a half is rounded to even, because that is what the
    pruning of `tensorflow-model-optimization` does: a mask made here and one made there keep
    the same number. Nothing is removed at sparsity 0, where float32 alone would be off by one
    from 2**24 weights on.

    >>> kept_count(1000, 0.9), kept_count(5, 0.5), kept_count(40, 0.99)
    (100, 2, 1)
    """
    sparsity = check_sparsity(sparsity)
    if size < 0:
        raise UserError(f"size: expected a number of weights, received {size}")
    if sparsity == 0.0:
        return int(size)
    kept = np.rint(np.float32(size) * (np.float32(1.0) - np.float32(sparsity)))
    return min(int(size), max(1, int(kept)))


def top_k_mask(scores: np.ndarray, kept: int) -> np.ndarray:
    """The mask of the `kept` largest scores; of equal scores the lower flat index wins.

    A threshold would keep every score equal to it, and so keep everything in a layer that is
    mostly zero already; here the count is exact.

    Args:
        scores: finite numbers of any shape; minus infinity is allowed and chosen last.
        kept: how many ones the mask has, 0 to `scores.size`.

    Raises:
        UserError: a score is NaN, or `kept` is out of range.
    """
    scores = np.asarray(scores)
    flat = scores.reshape(-1)
    if not 0 <= kept <= flat.size:
        raise UserError(f"kept: expected 0 to {flat.size} of {flat.size}, received {kept}")
    if np.isnan(flat).any():
        raise UserError("scores: expected numbers to rank, received NaN (a diverged run?)")
    mask = np.zeros(flat.size, np.uint8)
    if kept:
        threshold = np.partition(flat, flat.size - kept)[flat.size - kept]
        above = flat > threshold
        mask[above] = 1
        ties = np.flatnonzero(flat == threshold)
        mask[ties[: kept - int(np.count_nonzero(above))]] = 1
    return mask.reshape(scores.shape)


def top_k_masks(scores: Mapping[str, np.ndarray], kept: int) -> Masks:
    """One mask per layer so that the `kept` largest scores of all layers together stay.

    Equal scores are chosen by layer name, then by flat index, so the order in which the layers
    are given changes nothing. A layer may be left with no weight (see `empty_layers`).
    """
    names = sorted(scores)
    arrays = [np.asarray(scores[name]) for name in names]
    if not arrays:
        return {}
    chosen = top_k_mask(np.concatenate([array.reshape(-1) for array in arrays]), kept)
    ends = np.cumsum([array.size for array in arrays])
    masks = {
        name: chosen[end - array.size : end].reshape(array.shape).copy()
        for name, array, end in zip(names, arrays, ends, strict=True)
    }
    return {name: masks[name] for name in scores}


def magnitude_mask(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """Keep the largest |w| of one layer: exactly `kept_count(size, sparsity)` of them.

    >>> magnitude_mask(np.array([0.5, -2.0, 0.0, 1.0]), 0.5)
    array([0, 1, 0, 1], dtype=uint8)
    """
    weights = np.asarray(weights)
    return top_k_mask(_magnitudes(weights), kept_count(weights.size, sparsity))


def global_magnitude_masks(weights: Mapping[str, np.ndarray], sparsity: float) -> Masks:
    """Keep the largest |w| over all layers together, by one cut through the network."""
    sizes = sum(np.asarray(array).size for array in weights.values())
    magnitudes = {name: _magnitudes(np.asarray(array)) for name, array in weights.items()}
    return top_k_masks(magnitudes, kept_count(sizes, sparsity))


def random_mask(
    shape: Sequence[int], sparsity: float, seed: int, *, exact: bool = True
) -> np.ndarray:
    """Keep weights at random: an exact count, or each by itself with probability 1 - sparsity.

    `exact=False` is the Bernoulli mask of Alford et al. ("present with probability 1 - s"): its
    count varies around size * (1 - sparsity) and may be 0.
    """
    sparsity = check_sparsity(sparsity)
    shape = tuple(int(n) for n in shape)
    # Uniform numbers and a cut, not Generator.choice: only the raw stream is stable over numpy
    # versions.
    numbers = np.random.default_rng(seed).random(math.prod(shape))
    if exact:
        return top_k_mask(numbers, kept_count(numbers.size, sparsity)).reshape(shape)
    return (numbers >= sparsity).astype(np.uint8).reshape(shape)


def shuffled_masks(masks: Mapping[str, np.ndarray], seed: int) -> Masks:
    """Random masks with the counts of `masks` in each layer: its distribution, not its places."""
    shuffled = {}
    for name, mask in masks.items():
        mask = np.asarray(mask)
        rng = np.random.default_rng(named_seed(seed, "shuffled_mask", name))
        numbers = rng.random(mask.size).reshape(mask.shape)
        shuffled[name] = top_k_mask(numbers, int(np.count_nonzero(mask)))
    return shuffled


def _magnitudes(weights: np.ndarray) -> np.ndarray:
    # Half types compare the same as float32; abs of the smallest integer would overflow.
    return np.abs(weights.astype(np.result_type(weights.dtype, np.float32), copy=False))
