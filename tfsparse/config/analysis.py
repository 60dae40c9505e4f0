"""The config of one analysis of finished runs: `python -m tfsparse.analyze --config this.json`."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tfsparse.config.distribution import DistributionConfig
from tfsparse.config.fields import Many, Sparsity, Strict
from tfsparse.config.run import NAME, ModelConfig

Place = Literal["start", "end"] | int
"""start: before the first step; end: after the last; a number: a step whose weights were kept."""


class SignalConfig(Strict):
    """The spread of the logits at initialisation against sparsity, for uneven masks."""

    model: ModelConfig = ModelConfig()
    input_shape: Many[int] = (28, 28, 3)
    num_classes: int = Field(10, ge=2)
    sparsities: Many[Sparsity] = Field((0.0, 0.5, 0.8, 0.9, 0.95, 0.98), min_length=1)
    inits: Many[Literal["dense", "per_layer", "per_neuron"]] = Field(
        ("dense", "per_layer", "per_neuron"), min_length=1
    )
    images: int = Field(500, ge=2)
    """Images of standard normal noise."""
    repeats: int = Field(3, ge=1)
    """Masks and initial weights per sparsity."""
    unevenness: float = Field(2.0, ge=0)
    """Neurons at quantile q of a layer get connections in proportion to q to this power; 0 gives
    all neurons the same chance."""

    @field_validator("input_shape")
    @classmethod
    def _check_shape(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(value) != 3 or min(value) < 1:
            raise ValueError("expected [height, width, channels]")
        return value


class FlowConfig(Strict):
    """The gradient flow of a run at its start and end, and what its log says of it."""

    run: str = Field(min_length=1)
    examples: int = Field(1000, ge=1)
    """Size of the fixed batch of training images."""
    early: float = Field(0.25, gt=0, le=1)
    """The first part of training, as a fraction, over which the log is averaged."""


class UpdateConfig(Strict):
    """One drop-and-grow update made for the analysis alone."""

    algorithm: Literal["set", "rigl", "rigl_inverted"] = "rigl"
    drop_fraction: float = Field(0.3, gt=0, lt=1)


class HessianConfig(Strict):
    """The spectrum of the cross-entropy's Hessian over connections and biases."""

    run: str = Field(min_length=1)
    at: Place = "end"
    method: Literal["exact", "lanczos"] = "exact"
    coordinates: Literal["unmasked", "all"] = "unmasked"
    """all: also the weights outside the masks."""
    examples: int = Field(1000, ge=1)
    limit: int = Field(10_000, ge=1)
    """The most coordinates for the exact method."""
    update: UpdateConfig | None = None
    """When given, the spectrum is taken before and after this update of the masks."""
    lanczos_steps: int = Field(80, ge=2)
    lanczos_vectors: int = Field(4, ge=1)
    bins: int = Field(200, ge=2)
    """Of the histogram that is stored beside the eigenvalues."""

    @model_validator(mode="after")
    def _check(self) -> "HessianConfig":
        if isinstance(self.at, int) and self.at < 0:
            raise ValueError(f"at: expected 'start', 'end' or a step >= 0, received {self.at}")
        if self.update is not None and self.coordinates == "all":
            raise ValueError("update: expected coordinates 'unmasked'; an update changes no others")
        return self


class SimilarityConfig(Strict):
    """How alike runs are: to a solution, to their own starts and to each other."""

    solution: str = Field(min_length=1)
    """The run all others are compared to, such as a pruned one."""
    runs: Many[str] = Field(min_length=1)
    split: Literal["test", "validation", "train"] = "test"
    """The images on which predictions are compared."""
    limit: int | None = Field(None, ge=1)
    """Use only the first so many of these images."""
    dead_below: float | None = Field(None, gt=0, lt=1)
    """Runs of less accuracy on them are dead: kept in the rows, left out of means and ensembles.

    A dead network says one class for every image, so what it shares with others is not learned."""

    @model_validator(mode="after")
    def _check(self) -> "SimilarityConfig":
        if len(set(self.runs)) < len(self.runs):
            raise ValueError("runs: expected every run once")
        return self


class AnalysisConfig(Strict):
    """One analysis; the section named by `kind` holds its settings."""

    name: str = Field(pattern=NAME)
    """The folder below run_dir; default: the config file's name."""
    about: str = ""
    """Purpose, expected time, expected result."""
    kind: Literal["signal", "gradient_flow", "hessian", "similarity"]
    signal: SignalConfig | None = None
    gradient_flow: FlowConfig | None = None
    hessian: HessianConfig | None = None
    similarity: SimilarityConfig | None = None
    distribution: DistributionConfig = DistributionConfig()
    """On which devices."""
    seed: int = Field(0, ge=0, lt=2**31)
    run_dir: str = Field("runs/analyses", min_length=1)

    @model_validator(mode="after")
    def _check(self) -> "AnalysisConfig":
        if getattr(self, self.kind) is None:
            raise ValueError(f"kind {self.kind!r}: expected a section {self.kind!r}")
        for other in ("signal", "gradient_flow", "hessian", "similarity"):
            if other != self.kind and getattr(self, other) is not None:
                raise ValueError(f"kind {self.kind!r}: section {other!r} has no effect; remove it")
        return self
