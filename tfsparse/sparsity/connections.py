"""A sparse matrix as the list of its connections, in plain numpy: memory grows with the list."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfsparse.errors import UserError
from tfsparse.sparsity.masks import check_sparsity, kept_count


@dataclass(frozen=True, eq=False)
class Connections:
    """Which input meets which output, sorted by output and then by input.

    Args:
        inputs: number of inputs.
        outputs: number of outputs.
        sources: int32 [connections], the input of each connection.
        targets: int32 [connections], its output, rising.
    """

    inputs: int
    outputs: int
    sources: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def kernel_shape(self) -> tuple[int]:
        """One weight per connection, in the order of the list."""
        return (len(self),)

    @property
    def dense_shape(self) -> tuple[int, int]:
        """(inputs, outputs)."""
        return self.inputs, self.outputs

    @cached_property
    def by_input(self) -> np.ndarray:
        """int32 [connections]: the connections in the order of their inputs."""
        return np.argsort(self.sources, kind="stable").astype(np.int32)

    @cached_property
    def output_starts(self) -> np.ndarray:
        """int32 [outputs + 1]: where the connections of each output begin in the list."""
        return _starts(self.targets, self.outputs)

    @cached_property
    def input_starts(self) -> np.ndarray:
        """int32 [inputs + 1]: where the connections of each input begin in `by_input`."""
        return _starts(self.sources, self.inputs)

    @property
    def most_inputs(self) -> int:
        """The largest fan-in."""
        return int(np.diff(self.output_starts).max(initial=0))

    @property
    def most_outputs(self) -> int:
        """The largest fan-out."""
        return int(np.diff(self.input_starts).max(initial=0))

    def pack(self, dense: np.ndarray) -> np.ndarray:
        """The weights of a dense kernel [inputs, outputs] in the order of the list."""
        return dense[self.sources, self.targets]

    def unpack(self, compact: np.ndarray) -> np.ndarray:
        """The dense kernel of a list of weights; zero where nothing is connected."""
        dense = np.zeros(self.dense_shape, compact.dtype)
        dense[self.sources, self.targets] = compact
        return dense


def connections_of(mask: np.ndarray) -> Connections:
    """The connections of a 0/1 mask; all axes but the last are the inputs, in C order.

    >>> connections_of(np.array([[1, 0], [1, 1]])).sources.tolist()
    [0, 1, 1]

    Raises:
        UserError: the mask has no connection.
    """
    mask = np.asarray(mask).reshape(-1, np.shape(mask)[-1])
    targets, sources = np.nonzero(mask.T)
    if not targets.size:
        raise UserError("topology: expected at least 1 connection, received none")
    return Connections(*mask.shape, sources.astype(np.int32), targets.astype(np.int32))


def random_connections(shape: Sequence[int], sparsity: float, seed: int) -> Connections:
    """Exactly `kept_count` connections at random, without ever making the dense mask.

    The way to draw a layer whose mask would not fit into memory (245,000 x 38,400).

    Args:
        shape: of the kernel; all axes but the last are the inputs.
        sparsity: a fraction in [0, 1).
        seed: of the draw.
    """
    check_sparsity(sparsity)
    outputs, inputs = int(shape[-1]), math.prod(int(n) for n in shape[:-1])
    count = kept_count(inputs * outputs, sparsity)
    rng = np.random.default_rng(seed)
    drawn = np.zeros(0, np.int64)
    while drawn.size < count:
        more = (rng.random(count - drawn.size + 16) * (inputs * outputs)).astype(np.int64)
        both = np.concatenate([drawn, more])
        # The first `count` distinct places in the order drawn; sorting before cutting would
        # favour low places.
        drawn = both[np.sort(np.unique(both, return_index=True)[1])]
    places = np.sort(drawn[:count])
    targets, sources = places // inputs, places % inputs
    return Connections(inputs, outputs, sources.astype(np.int32), targets.astype(np.int32))


def _starts(sorted_by: np.ndarray, bins: int) -> np.ndarray:
    counts = np.bincount(sorted_by, minlength=bins)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
