"""What can be read off masks: sparsity, hash, overlap, neurons and layers left without weights."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tfsparse.errors import UserError


class SparsityReport(NamedTuple):
    """Fractions of removed weights in [0, 1]: `overall` weighs each layer by its size."""

    overall: float
    layers: dict[str, float]


class Overlap(NamedTuple):
    """`jaccard` = |a and b| / |a or b|; `fraction` = |a and b| / |a|, the share of a kept by b."""

    jaccard: float
    fraction: float


def sparsity_of(masks: Mapping[str, np.ndarray]) -> SparsityReport:
    """The sparsity of each layer and of all masked weights together; 0 for no masks at all."""
    kept = {name: int(np.count_nonzero(mask)) for name, mask in masks.items()}
    sizes = {name: int(np.size(mask)) for name, mask in masks.items()}
    layers = {name: 1.0 - kept[name] / sizes[name] if sizes[name] else 0.0 for name in masks}
    total = sum(sizes.values())
    return SparsityReport(1.0 - sum(kept.values()) / total if total else 0.0, layers)


def mask_hash(masks: Mapping[str, np.ndarray]) -> str:
    """The sha256 of the masks as 64 hex digits, whatever their dtype and the layers' order.

    Layer names, shapes and places of the ones are what counts.
    """
    digest = hashlib.sha256()
    for name in sorted(masks):
        mask = np.asarray(masks[name])
        # The lengths make the text of two different mask sets differ: no two can run together.
        header = f"{len(name.encode())}:{name}{mask.shape}"
        digest.update(header.encode("utf-8"))
        digest.update(np.packbits(mask.reshape(-1) != 0).tobytes())
    return digest.hexdigest()


def overlap(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> Overlap:
    """How much two sets of masks of the same network have in common, all layers together.

    Two sets without a single one are the same set: 1.0 and 1.0.

    Raises:
        UserError: other layers, or a layer of another shape.
    """
    return _overlap_of(_counts(a, b).values())


def layer_overlaps(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> dict[str, Overlap]:
    """`overlap` of each layer by itself."""
    return {name: _overlap_of([counts]) for name, counts in _counts(a, b).items()}


def empty_neurons(mask: np.ndarray) -> np.ndarray:
    """The indices of output neurons (channels, the last axis) that keep no incoming weight."""
    mask = np.asarray(mask)
    return np.flatnonzero(~np.any(mask, axis=tuple(range(mask.ndim - 1))))


def empty_layers(masks: Mapping[str, np.ndarray]) -> list[str]:
    """The names of layers that keep no weight: no signal passes them."""
    return [name for name, mask in masks.items() if not np.any(mask)]


def _counts(
    a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]
) -> dict[str, tuple[int, int, int]]:
    """Per layer: ones of a and of b, of either, of a."""
    odd = sorted(set(a) ^ set(b))
    if odd:
        raise UserError(f"masks to compare: layer {odd[0]!r} is in only one of the two sets")
    counts = {}
    for name in a:
        left, right = np.asarray(a[name]) != 0, np.asarray(b[name]) != 0
        if left.shape != right.shape:
            raise UserError(
                f"masks to compare: layer {name!r} has shape {left.shape} in one set"
                f" and {right.shape} in the other"
            )
        both = int(np.count_nonzero(left & right))
        ones, others = int(np.count_nonzero(left)), int(np.count_nonzero(right))
        counts[name] = (both, ones + others - both, ones)
    return counts


def _overlap_of(counts) -> Overlap:
    both, either, first = (sum(column) for column in zip((0, 0, 0), *counts, strict=True))
    # An empty `a` against a filled `b` shares nothing; two empty sets are equal.
    return Overlap(
        jaccard=both / either if either else 1.0,
        fraction=both / first if first else float(not either),
    )
