"""Where the weights of a RadiX layer stand in memory so that products over them are dense blocks.

A RadiX layer is a band: output position q hears positions q - j v, j < r, modulo N'. Positions of
one residue modulo v form a ring of n = N'/v places, cut into tiles of T places, T a divisor of r.
An output tile hears its own tile and the r/T before it; of its own it hears the places up to
each output's, of the farthest one the places after, so both share one T x T square and no
entry is spare. In memory the kernel is [tile and residue, tile distance, place in the input
tile, input block, place in the output tile, output block]: one dense matrix per output tile.
"""

from functools import cached_property

import numpy as np

from tfsparse.errors import UserError
from tfsparse.sparsity.topologies import RadixLayer

_LEAST_COLUMNS = 120
"""Outputs per block below which matrix products were measured to lose speed. Larger tiles waste
work on the shared square (a share T/r), smaller ones copy the inputs more often (r/T times)."""


def choose_tile(layer: RadixLayer) -> int:
    """The tile of `layer` that was measured fastest: a divisor of its radix.

    >>> from tfsparse.sparsity.topologies import radix_net
    >>> [choose_tile(layer) for layer in radix_net([[10, 10]], [8, 30, 1]).layers]
    [5, 10]
    """
    if layer.base == layer.place * layer.radix:
        return layer.radix  # the band closes to a full block: nothing is shared
    tiles = [t for t in range(1, layer.radix + 1) if layer.radix % t == 0]
    return next((t for t in tiles if t * layer.blocks_out >= _LEAST_COLUMNS), layer.radix)


class RadixLayout:
    """The compact kernel of a RadiX layer: [connections / blocks_out, blocks_out].

    One row holds the weights from one input to the output position q in every output block.
    Rows of trimmed inputs do not exist.
    """

    def __init__(self, layer: RadixLayer, tile: int | None = None) -> None:
        self.layer = layer
        self.tile = choose_tile(layer) if tile is None else tile
        if layer.radix % self.tile:
            raise UserError(f"tile: expected a divisor of {layer.radix}, received {self.tile}")
        self.distance = layer.radix // self.tile
        self.tiles = layer.base // (layer.place * self.tile)
        self.groups = self.tiles * layer.place
        self.dense_shape = layer.shape
        self.kernel_shape = (layer.connections // layer.blocks_out, layer.blocks_out)

    @property
    def shares_a_square(self) -> bool:
        """Whether the own and the farthest tile differ, so that their square must be split."""
        return self.tile > 1 and self.tiles > self.distance

    def upper(self) -> np.ndarray:
        """bool [tile, tile]: entries (input place, output place) that belong to the far tile."""
        place = np.arange(self.tile)
        return place[:, None] > place[None, :]

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """For each row of the untrimmed kernel: its input (negative: trimmed), its position q."""
        layer, tile = self.layer, self.tile
        t, rho, h, i, b, o = np.ogrid[
            : self.tiles, : layer.place, : self.distance, :tile, : layer.blocks_in, :tile
        ]
        far = (h == 0) & (i > o)
        source = (t - np.where(far, self.distance, h)) % self.tiles
        inputs = b * layer.base + (source * tile + i) * layer.place + rho - layer.trimmed
        outputs = (t * tile + o) * layer.place + rho
        shape = np.broadcast_shapes(inputs.shape, outputs.shape)
        inputs, outputs = np.broadcast_to(inputs, shape), np.broadcast_to(outputs, shape)
        return inputs.reshape(-1), outputs.reshape(-1)

    @cached_property
    def kept_rows(self) -> np.ndarray:
        """int32: which rows of the untrimmed kernel exist."""
        return np.flatnonzero(self._ends[0] >= 0).astype(np.int32)

    @cached_property
    def row_slots(self) -> np.ndarray:
        """int32: for each row of the untrimmed kernel its row here, or `kernel_shape[0]`."""
        slots = np.full(self._ends[0].size, self.kernel_shape[0], np.int32)
        slots[self.kept_rows] = np.arange(self.kept_rows.size, dtype=np.int32)
        return slots

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        inputs, outputs = (ends[self.kept_rows] for ends in self._ends)
        blocks = np.arange(self.layer.blocks_out) * self.layer.base
        return inputs[:, None], outputs[:, None] + blocks

    def pack(self, dense: np.ndarray) -> np.ndarray:
        """The compact kernel of a dense one [inputs, outputs]; zeros outside are left behind."""
        return np.ascontiguousarray(dense[self._places])

    def unpack(self, compact: np.ndarray) -> np.ndarray:
        """The dense kernel [inputs, outputs] of a compact one."""
        dense = np.zeros(self.dense_shape, compact.dtype)
        dense[self._places] = compact
        return dense
