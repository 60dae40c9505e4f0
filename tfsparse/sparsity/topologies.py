"""RadiX-Nets and random topologies: networks that are sparse from birth, as plain numpy masks.

Robinett & Kepner, "RadiX-Net: Structured Sparse Matrices for Deep Neural Networks"
(arXiv 1905.00416); trained by Alford et al., "Training Behavior of Sparse Neural Network
Topologies". Written in their letters: N is a list of radix lists, B the list of widths in blocks.

With N' the product of the first radix list and P the cyclic shift of N' neurons, a layer of
radix r at place value v is the N' x N' matrix W = sum_{j<r} P^(j v), and the layer of the
network is kron(ones(B_in, B_out), W): neuron b N' + p stands in block b at position p.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfsparse.errors import UserError
from tfsparse.sparsity.masks import empty_neurons, random_mask


class StarvedNeurons(UserWarning):
    """A random topology left neurons without input; they can only ever emit their bias."""


@dataclass(frozen=True)
class RadixLayer:
    """One layer: input (b, p) meets output (c, q) if q - p is j * place, j < radix, modulo base.

    Args:
        base: N', the number of positions; `place * radix` divides it.
        radix: connections of each position.
        place: the place value v of this radix in its list.
        blocks_in: B of the input side.
        blocks_out: B of the output side.
        trimmed: how many inputs are removed from the front (784 of 800 is trimmed=16).
    """

    base: int
    radix: int
    place: int
    blocks_in: int
    blocks_out: int
    trimmed: int = 0

    def __post_init__(self) -> None:
        for name in ("base", "radix", "place", "blocks_in", "blocks_out"):
            _whole(getattr(self, name), name, least=1)
        if self.base % (self.radix * self.place):
            raise UserError(
                f"RadiX layer: expected place value x radix to divide base {self.base}, "
                f"received {self.place} x {self.radix}"
            )
        whole = self.base * self.blocks_in
        if not 0 <= _whole(self.trimmed, "trimmed", least=0) < whole:
            raise UserError(f"trimmed: expected 0 to {whole - 1} inputs, received {self.trimmed}")

    @property
    def shape(self) -> tuple[int, int]:
        """(inputs, outputs), the inputs after trimming."""
        return self.base * self.blocks_in - self.trimmed, self.base * self.blocks_out

    @property
    def connections(self) -> int:
        """How many weights there are: every input has `radix * blocks_out` of them."""
        return self.shape[0] * self.radix * self.blocks_out

    @property
    def density(self) -> float:
        """Connections over inputs x outputs: radix / base, whatever the blocks and the trimming."""
        return self.radix / self.base

    @property
    def sparsity(self) -> float:
        """1 - density."""
        return 1.0 - self.density

    def mask(self) -> np.ndarray:
        """The layer as uint8 [inputs, outputs] of 0 and 1."""
        shift = np.arange(self.base)
        steps = (shift[None, :] - shift[:, None]) % self.base
        small = (steps % self.place == 0) & (steps < self.place * self.radix)
        ones = np.ones((self.blocks_in, self.blocks_out), np.uint8)
        return np.kron(ones, small.astype(np.uint8))[self.trimmed :]

    def trimmed_to(self, inputs: int) -> "RadixLayer":
        """The layer for `inputs` inputs: the first ones are removed.

        Alford et al. remove "the top 16 neurons" of 800 for MNIST's 784 pixels, which their
        figures draw at the top: the first. The other end would give the same counts.

        Raises:
            UserError: more inputs than the layer has, none, or an output that loses them all.
        """
        whole = self.base * self.blocks_in
        if not 1 <= _whole(inputs, "inputs", least=0) <= whole:
            raise UserError(f"inputs: expected 1 to {whole} to trim to, received {inputs}")
        layer = replace(self, trimmed=whole - inputs)
        check_fed(layer.mask(), f"RadiX layer trimmed from {whole} to {inputs} inputs")
        return layer


@dataclass(frozen=True)
class RadixNet:
    """A RadiX-Net: the layers of (N, B), made by `radix_net`."""

    radices: tuple[tuple[int, ...], ...]
    blocks: tuple[int, ...]
    layers: tuple[RadixLayer, ...]

    @property
    def base(self) -> int:
        """N', the product of the first radix list."""
        return math.prod(self.radices[0])

    @property
    def widths(self) -> tuple[int, ...]:
        """Neurons per layer before trimming: N' * B_i, one more than there are layers."""
        return tuple(self.base * block for block in self.blocks)

    @property
    def densities(self) -> tuple[float, ...]:
        """r_i / N' for each layer."""
        return tuple(layer.density for layer in self.layers)

    @property
    def connections(self) -> int:
        """All weights of the net (without biases)."""
        return sum(layer.connections for layer in self.layers)

    @property
    def paths(self) -> int:
        """How many paths join any input to any output: the same for every pair.

        The product of the radices of all lists but the first, times the inner widths in blocks.
        """
        later = math.prod(math.prod(system) for system in self.radices[1:])
        return later * math.prod(self.blocks[1:-1])

    def masks(self) -> list[np.ndarray]:
        """uint8 [inputs, outputs] for each layer."""
        return [layer.mask() for layer in self.layers]

    def trimmed_to(self, inputs: int) -> "RadixNet":
        """The net for fewer inputs: its first layer loses the first ones."""
        first = self.layers[0].trimmed_to(inputs)
        return replace(self, layers=(first, *self.layers[1:]))


def radix_net(radices: Sequence[Sequence[int]], blocks: Sequence[int] | None = None) -> RadixNet:
    """The RadiX-Net of (N, B).

    >>> net = radix_net([[10, 10]], [8, 30, 1])
    >>> net.widths, net.connections, net.paths
    ((800, 3000, 100), 270000, 30)

    Args:
        radices: N, one or more lists of radices >= 2. All lists but the last have the same
            product N'; the last list's product divides it.
        blocks: B, one number per layer of neurons, thus one more than there are radices; all
            ones when None.

    Raises:
        UserError: a constraint is broken; the message names the number expected.
    """
    systems = _systems(radices)
    flat = [radix for system in systems for radix in system]
    blocks = _blocks([1] * (len(flat) + 1) if blocks is None else blocks, len(flat))
    base = math.prod(systems[0])
    layers: list[RadixLayer] = []
    for system in systems:
        place = 1  # each list counts its places from 1 again
        for radix in system:
            left, right = blocks[len(layers) : len(layers) + 2]
            layers.append(RadixLayer(base, radix, place, left, right))
            place *= radix
    return RadixNet(systems, blocks, tuple(layers))


def path_counts(masks: Iterable[np.ndarray]) -> np.ndarray:
    """The number of paths from each input to each output through a chain of masks, int64."""
    chain = iter(masks)
    total = next(chain).astype(np.int64)
    for mask in chain:
        total = total @ mask.astype(np.int64)
    return total


def random_topology(
    shape: Sequence[int], sparsity: float, seed: int, *, exact: bool = True, name: str = "topology"
) -> np.ndarray:
    """A random mask of `shape`: an exact count, or each edge present with probability 1 - sparsity.

    Few connections leave some neurons without input (one in twenty at a mean of three inputs).
    The paper's own nets have them, so this only warns (`StarvedNeurons`).

    Raises:
        UserError: sparsity outside [0, 1), or not a single connection was drawn.
    """
    mask = random_mask(shape, sparsity, seed, exact=exact)
    starved = empty_neurons(mask)
    if starved.size == mask.shape[-1]:
        raise UserError(
            f"{name}: expected at least 1 connection, received 0 of {mask.size} "
            f"at sparsity {sparsity}; lower the sparsity or draw an exact count"
        )
    if starved.size:
        warnings.warn(
            f"{name}: {starved.size} of {mask.shape[-1]} neurons have no input "
            f"(the first is neuron {starved[0]})",
            StarvedNeurons,
            stacklevel=2,
        )
    return mask


def over_kernel(mask: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A mask [inputs, outputs] for a kernel of `shape`: repeated over a convolution's window.

    RadiX-Nets are not defined for convolutions; joining channels so is this project's choice.

    Raises:
        UserError: the kernel's last two axes are not the mask's.
    """
    shape = tuple(int(n) for n in shape)
    if shape[-2:] != mask.shape:
        raise UserError(f"topology: expected a kernel of {mask.shape} channels, received {shape}")
    return np.broadcast_to(mask, shape).copy()


def check_fed(mask: np.ndarray, name: str) -> None:
    """Refuse a topology in which a neuron (an output channel) has no input.

    Raises:
        UserError: naming the first such neuron and their number.
    """
    starved = empty_neurons(mask)
    if starved.size:
        raise UserError(
            f"{name}: expected at least 1 input for each of {mask.shape[-1]} neurons, "
            f"received 0 for {starved.size} of them (the first is neuron {starved[0]})"
        )


def _systems(radices: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    if isinstance(radices, str | int) or not radices:
        raise UserError(f"N: expected one or more lists of radices, received {radices!r}")
    systems = []
    for i, system in enumerate(radices, 1):
        if isinstance(system, str | int) or not system:
            raise UserError(f"N, list {i}: expected a list of radices, received {system!r}")
        systems.append(tuple(_whole(radix, f"N, list {i}: radix", least=2) for radix in system))
    base = math.prod(systems[0])
    for i, system in enumerate(systems[1:], 2):
        product, last = math.prod(system), i == len(systems)
        if base % product or (product != base and not last):
            wanted = f"a divisor of {base}" if last else f"{base}"
            raise UserError(
                f"N, list {i}: expected radices with the product {wanted}, "
                f"received {list(system)} with the product {product}"
            )
    return tuple(systems)


def _blocks(blocks: Sequence[int], layers: int) -> tuple[int, ...]:
    if isinstance(blocks, str | int) or len(blocks) != layers + 1:
        count = "1 number" if isinstance(blocks, str | int) else f"{len(blocks)}"
        raise UserError(
            f"B: expected {layers + 1} widths in blocks for {layers} radices, received {count}"
        )
    return tuple(_whole(block, f"B[{i}]", least=1) for i, block in enumerate(blocks))


def _whole(value: int, name: str, *, least: int) -> int:
    """`value` as int, or a UserError: bools and decimals are no counts."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise UserError(f"{name}: expected a whole number >= {least}, received {value!r}")
    return int(value)
