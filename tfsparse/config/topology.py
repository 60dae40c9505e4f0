"""The section on topologies: layers that are sparse from birth, by rule rather than by training."""

from typing import Literal

from pydantic import Field, model_validator

from tfsparse.config.fields import Many, Sparsity, Strict

_NEEDS = {"radix": ("N",), "bernoulli": ("sparsity",), "random": ("sparsity",), "file": ("file",)}
_MAY = {"radix": ("B",)}


class LayerTopology(Strict):
    """One topology over some layers."""

    layers: Many[str] = Field(min_length=1)
    """Layer names; for a RadiX-Net neighbours from input to output, one per radix."""
    kind: Literal["radix", "bernoulli", "random", "file"] = "radix"
    """radix: the RadiX-Net of N and B; bernoulli: each edge present with probability
    1 - sparsity; random: an exact count; file: masks from an .npz whose entries are layer names."""
    N: Many[Many[int]] | None = None
    """Radix lists of equal product; the last list's product may be a divisor of it."""
    B: Many[int] | None = None
    """Widths in blocks of N' neurons, one more than there are layers; null: all ones."""
    sparsity: Sparsity | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _check(self) -> "LayerTopology":
        needs = _NEEDS[self.kind]
        for name in ("N", "B", "sparsity", "file"):
            given = getattr(self, name) is not None
            if name in needs and not given:
                raise ValueError(f"expected topology.{name} for kind {self.kind!r}")
            if given and name not in (*needs, *_MAY.get(self.kind, ())):
                raise ValueError(f"kind {self.kind!r} takes no {name}; remove it")
        return self


class TopologyConfig(Strict):
    """Which layers get which topology; layers not named stay dense."""

    parts: Many[LayerTopology] = Field(min_length=1)
    representation: Literal["fastest", "masked", "compact"] = "fastest"
    """How sparse layers are stored and computed: whichever was measured faster for their size and
    sparsity, all as masked layers, or all with one stored weight per connection."""
