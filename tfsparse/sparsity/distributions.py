"""How much per layer: spreading one sparsity over the layers of a network.

Layers are given by the shapes of their kernels; sparsities are fractions in [0, 1) by layer name.
`rules` then makes exceptions, and so moves the overall sparsity away from the nominal one: paper
1's "98%" ResNet-50 is 96.5% sparse.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfsparse.errors import UserError
from tfsparse.sparsity.masks import check_sparsity

Shapes = Mapping[str, Sequence[int]]


def uniform(shapes: Shapes, sparsity: float) -> dict[str, float]:
    """The same sparsity in every layer."""
    sparsity = check_sparsity(sparsity)
    return dict.fromkeys(shapes, sparsity)


def er(shapes: Shapes, sparsity: float) -> dict[str, float]:
    """Erdos-Renyi (Mocanu et al. 2018): density = min(1, eps * (n_in + n_out) / (n_in * n_out)).

    n_in and n_out are the last two axes, the channels of a convolution. eps is solved so that the
    overall sparsity is exactly `sparsity`.
    """
    return _spread(shapes, sparsity, lambda shape: shape[-2:])


def erk(shapes: Shapes, sparsity: float) -> dict[str, float]:
    """Erdos-Renyi-Kernel (Evci et al. 2020): density = min(1, eps * sum(shape) / prod(shape)).

    As `er`, but the kernel's height and width count as well.

    >>> shapes = {"dense1": (784, 300), "dense2": (300, 100), "logits": (100, 10)}
    >>> {name: round(s, 4) for name, s in erk(shapes, 0.9).items()}
    {'dense1': 0.9204, 'dense2': 0.7698, 'logits': 0.0}
    """
    return _spread(shapes, sparsity, lambda shape: shape)


DISTRIBUTIONS: dict[str, Callable[[Shapes, float], dict[str, float]]] = {
    "uniform": uniform,
    "er": er,
    "erk": erk,
}


def from_masks(masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The sparsity of each of another run's masks.

    Raises:
        UserError: a mask without a single connection, which no sparsity below 1 describes.
    """
    sparsities = {}
    for name, mask in masks.items():
        if not np.any(mask):
            raise UserError(f"mask of layer {name!r}: expected at least one connection, found none")
        sparsities[name] = 1.0 - int(np.count_nonzero(mask)) / int(np.size(mask))
    return sparsities


def exact_counts(shapes: Shapes, sparsities: Mapping[str, float]) -> dict[str, int]:
    """Kept weights per layer that sum to the rounded overall count, by largest remainders.

    Rounding each layer by itself can miss the overall count by half a weight per layer. Every
    layer keeps at least one weight, and so many nearly empty layers can exceed the count.
    """
    sizes = {name: math.prod(shapes[name]) for name in sparsities}
    wanted = {
        name: (1.0 - check_sparsity(value, f"sparsity of layer {name!r}")) * sizes[name]
        for name, value in sparsities.items()
    }
    # Whole products may be off by rounding: 0.29 * 100 must count as 29.
    counts = {
        name: min(sizes[name], max(1, math.floor(value + 1e-9))) for name, value in wanted.items()
    }
    missing = round(math.fsum(wanted.values())) - sum(counts.values())
    by_remainder = sorted(wanted, key=lambda name: counts[name] - wanted[name])  # stable
    for name in by_remainder[: max(0, missing)]:
        counts[name] += counts[name] < sizes[name]
    return counts


def _spread(
    shapes: Shapes, sparsity: float, axes: Callable[[tuple[int, ...]], tuple[int, ...]]
) -> dict[str, float]:
    """Densities min(1, eps * sum(axes) / prod(axes)) with eps solved for the overall count.

    The layers in which eps asks for more than all weights become dense one at a time, the most
    wanting first, and eps is solved again for the others.
    """
    sparsity = check_sparsity(sparsity)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    raw = {name: sum(axes(tuple(s))) / math.prod(axes(tuple(s))) for name, s in shapes.items()}
    order = sorted(shapes, key=lambda name: -raw[name])
    # weight[i]: what eps is multiplied with when order[:i] are dense.
    terms = np.array([raw[name] * sizes[name] for name in order], np.float64)
    weight = np.append(np.cumsum(terms[::-1])[::-1], 0.0)
    kept = (1.0 - sparsity) * sum(sizes.values())
    dense, eps = 0, 0.0
    while dense < len(order):
        eps = kept / weight[dense]
        if eps * raw[order[dense]] <= 1.0:
            break
        kept -= sizes[order[dense]]
        dense += 1
    full = set(order[:dense])
    return {
        name: 0.0 if name in full else max(0.0, float(1.0 - eps * raw[name])) for name in shapes
    }
