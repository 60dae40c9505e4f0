"""The sections on sparsity: how much, where, when, and from which initial weights."""

from typing import Literal

from pydantic import Field, model_validator

from tfsparse.config.fields import Many, Sparsity, Step, Strict


class Rule(Strict):
    """An exception for some layers; of several that match, the last one counts."""

    layers: str = Field(min_length=1)
    """A layer name, a pattern such as `stage1_*`, `@first_conv` or `@last_dense`."""
    exclude: bool = False
    """Keep these layers dense."""
    max_sparsity: Sparsity | None = None
    """Never sparser than this."""
    sparsity: Sparsity | None = None
    """Exactly this sparse."""

    @model_validator(mode="after")
    def _check(self) -> "Rule":
        given = [self.exclude, self.max_sparsity is not None, self.sparsity is not None]
        if sum(given) != 1:
            raise ValueError("expected exactly one of exclude: true, max_sparsity and sparsity")
        return self


PAPER_RULES = (
    Rule(layers="@first_conv", exclude=True),
    Rule(layers="@last_dense", max_sparsity=0.8),
)
"""Paper 1, appendix A: the first convolution stays dense, the last dense layer is capped at 80%."""


class PruningConfig(Strict):
    """Magnitude pruning on the polynomial schedule of Zhu & Gupta (tfmot's PolynomialDecay)."""

    final_sparsity: Sparsity
    initial_sparsity: Sparsity = 0.0
    begin_step: Step = 0.25
    end_step: Step = 0.75
    frequency: Step = 100
    """Steps between two mask updates."""
    power: float = Field(3.0, gt=0)
    final_update: bool = True
    """Update once more at end_step where the frequency does not reach it; without it such a
    schedule stops short of final_sparsity and the run fails."""
    revival: bool = False
    """Let pruned weights take gradient steps and come back at a later mask update."""
    policy: Literal["xnnpack_latency"] | None = None
    """xnnpack_latency: prune only the layers that tfmot's PruneForLatencyOnXNNPack allows, whatever
    the rules say of others; a model that XNNPACK cannot run sparsely is refused."""
    rules: Many[Rule] = PAPER_RULES

    @model_validator(mode="after")
    def _check(self) -> "PruningConfig":
        if self.initial_sparsity > self.final_sparsity:
            raise ValueError(
                f"initial_sparsity: expected at most final_sparsity {self.final_sparsity}, "
                f"received {self.initial_sparsity}"
            )
        return self


class MaskConfig(Strict):
    """A mask that is drawn or read, not learnt."""

    kind: Literal[
        "exact", "bernoulli", "shuffled", "source", "file", "magnitude", "global_magnitude"
    ] = "exact"
    """exact / bernoulli: drawn at random with an exact count or per edge; shuffled: as many per
    layer as the source run's mask; source: that mask, under other initial weights than that run's;
    file: an .npz; magnitude: one cut of the source's weights."""
    sparsity: Sparsity | None = None
    distribution: Literal["uniform", "er", "erk", "source"] = "uniform"
    """How the sparsity is spread over layers; source: as in the source run."""
    file: str | None = None
    rules: Many[Rule] = PAPER_RULES

    @model_validator(mode="after")
    def _check(self) -> "MaskConfig":
        if (self.kind == "file") != (self.file is not None):
            raise ValueError("expected mask.file together with kind 'file', and only then")
        counted = self.kind in ("file", "shuffled", "source") or self.distribution == "source"
        if not counted and self.sparsity is None:
            raise ValueError(f"expected mask.sparsity for kind {self.kind!r}")
        return self


class GrowthConfig(Strict):
    """Dynamic sparse training: drop the smallest weights, grow as many new connections."""

    drop_fraction: float = Field(0.3, gt=0, lt=1)
    drop_schedule: Literal["cosine", "constant", "learning_rate"] = "cosine"
    begin_step: Step = 0
    end_step: Step = 0.75
    frequency: int = Field(100, ge=1)
    """Steps between two updates."""
    replace_step: bool = False
    """An update replaces the gradient step at its step instead of following it."""
    reinit_when_same: bool = False
    """A connection that is dropped and grown in one update starts at 0 again."""


class InitConfig(Strict):
    """The initial weights."""

    kind: Literal["default", "dense", "per_neuron", "per_layer"] = "default"
    """default: the model's own initializers, then masked; dense: He by the dense fan-in, then
    masked; per_neuron: by the unmasked inputs of each neuron; per_layer: by the layer's density."""
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["normal", "uniform"] = "normal"
    scale: float = Field(2.0, gt=0)
    """The variance is scale / fan; 2 is He's."""
