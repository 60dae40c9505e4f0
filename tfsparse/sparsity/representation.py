"""How a sparse layer is stored and computed: which of three ways, and why."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from tfsparse.sparsity.topologies import RadixLayer

Representation = Literal["masked", "compact", "radix"]

# Measured crossovers of forward + backward: dense layers at batch 128 on a 2-core CPU with
# AVX-512 (the same comparison on another machine is tests/benchmarks/bench_radix.py),
# convolutions on one core with AVX2, where 5x5 from 200 to 500 channels gained 1.5 times at 99%,
# 100 to 250 nothing, and 97% lost 1.8 times.
_CROSSOVERS = {
    "compact": (0.97, 200_000),
    "radix": (0.75, 400_000),
    "convolution": (0.99, 1_000_000),
}
_TOO_LARGE = 2**28
"""Kernel entries from which a masked dense layer is never made: kernel, mask, product and
gradient alone would take 4 GiB of float32."""


class Choice(NamedTuple):
    """A representation and one sentence of reason, fit for a run's summary."""

    representation: Representation
    why: str


def choose_representation(
    shape: Sequence[int], connections: int, *, radix: RadixLayer | None = None
) -> Choice:
    """The fastest way to train a layer with these connections, by measured crossover.

    >>> choose_representation((784, 300), 23_520).representation
    'masked'
    >>> choose_representation((784, 30_000), 235_200).representation
    'compact'

    Args:
        shape: of the kernel; (inputs, outputs) for a dense layer.
        connections: how many weights it has.
        radix: the RadiX structure of a dense layer, when it has one.
    """
    size = int(np.prod([int(n) for n in shape], dtype=np.int64))
    sparsity = 1.0 - connections / size
    best: Representation = "compact" if radix is None else "radix"
    from_sparsity, from_size = _CROSSOVERS["convolution" if len(shape) > 2 else best]
    facts = f"{size:,} places, sparsity {sparsity:.4f}"
    if size >= _TOO_LARGE:
        return Choice(best, f"{facts}: the dense matrix is too large")
    rule = f"from sparsity {from_sparsity} and {from_size:,} places on"
    if round(sparsity, 4) >= from_sparsity and size >= from_size:
        return Choice(best, f"{facts}: {best} was measured faster {rule}")
    return Choice("masked", f"{facts}: {best} was measured faster only {rule}")
