"""The configs of paths between solutions: lines, curves and planes."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tfsparse.config.analysis import Place
from tfsparse.config.data import DataConfig
from tfsparse.config.distribution import DistributionConfig
from tfsparse.config.fields import Many, Step, Strict
from tfsparse.config.run import NAME


class EndConfig(Strict):
    """A weight set: a run's, times a mask, or a curve's control point."""

    run: str = Field(min_length=1)
    """The folder of a finished run; `{seed}` stands for this config's seed."""
    at: Place = "end"
    """start: before the first step; end: after the last; a number: a step that was kept."""
    mask: str | None = None
    """The folder of a run whose masks multiply the kernels."""
    control_point: int | None = Field(None, ge=0)
    """When given, `run` is the folder of a finished curve and this is one of its points."""
    label: str | None = Field(None, min_length=1)
    """What outputs and charts call it."""

    @model_validator(mode="after")
    def _check(self) -> "EndConfig":
        if isinstance(self.at, int) and self.at < 0:
            raise ValueError(f"at: expected 'start', 'end' or a step >= 0, received {self.at}")
        if self.control_point is not None and self.at != "end":
            raise ValueError("at: has no effect together with control_point; remove it")
        return self


class RangeConfig(Strict):
    """Evenly spaced values of t."""

    first: float = -0.2
    last: float = 1.2
    points: int = Field(71, ge=2)

    @model_validator(mode="after")
    def _check(self) -> "RangeConfig":
        if self.first >= self.last:
            raise ValueError(f"first: expected less than last {self.last}, received {self.first}")
        return self

    def values(self) -> list[float]:
        """The values, with ends and every short decimal exact."""
        step = (self.last - self.first) / (self.points - 1)
        return [round(self.first + i * step, 12) + 0.0 for i in range(self.points)]  # no -0.0


class WalkConfig(Strict):
    """On which images and how the loss is evaluated."""

    name: str = Field(pattern=NAME)
    """The folder below run_dir; default: the config file's name."""
    about: str = ""
    """Purpose, expected time, expected result."""
    images: int | None = Field(None, ge=1)
    """How many training images; default: all."""
    augment: bool = False
    """Use the training's random changes, the same for every t."""
    batch_size: int = Field(1000, ge=1)
    """Images whose statistics batch norm shares in mode `batch`."""
    batch_norm: Literal["batch", "running", "recomputed"] = "batch"
    """Where batch norm takes its statistics from: each batch, as in training; the running
    averages, interpolated; all images, anew at every point."""
    weight_decay: float | None = Field(None, ge=0)
    """Of the L2 term of the interpolated kernels; default: that of the end's run."""
    label_smoothing: float | None = Field(None, ge=0, lt=1)
    """Default: that of the end's run."""
    data: DataConfig | None = None
    """Default: that of the end's run."""
    xla: bool | None = None
    """Compile with XLA; null decides by the amount of work."""
    distribution: DistributionConfig = DistributionConfig()
    """On which devices."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the draw of images, their changes and a curve's training."""
    run_dir: str = Field("runs/paths", min_length=1)


def _points_of_t(value: Any) -> Any:
    if isinstance(value, tuple) and not value:
        raise ValueError("expected at least one value of t, received an empty list")
    return value


class InterpolationConfig(WalkConfig):
    """theta(t) = t * end + (1 - t) * start: `python -m tfsparse.interpolate --config this.json`."""

    start: EndConfig
    end: EndConfig
    t: RangeConfig | Many[float] = RangeConfig()
    """A list, or first, last and points."""

    _check_t = field_validator("t")(_points_of_t)

    def values(self) -> list[float]:
        """The values of t, ascending, each once."""
        return _values(self.t)


class CurveTrainConfig(Strict):
    """How the inner control points are trained."""

    steps: int | None = Field(None, ge=0)
    """Optimizer steps; give either steps or epochs."""
    epochs: float | None = Field(None, gt=0)
    batch_size: int = Field(128, ge=1)
    """Images per step; one t is drawn per step."""
    learning_rate: float = Field(0.01, gt=0)
    momentum: float = Field(0.95, ge=0, lt=1)
    schedule: Literal["constant", "flat_then_linear"] = "constant"
    """flat_then_linear: constant for the first half, then linearly down to 1% at 90%."""
    log_every: Step = 100
    checkpoint_every: Step = 0.1

    @model_validator(mode="after")
    def _check(self) -> "CurveTrainConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("expected exactly one of train.steps and train.epochs")
        return self


class SweepConfig(Strict):
    """A grid of settings; each is a curve of its own, in a folder of its own."""

    learning_rate: Many[float] = Field(min_length=1)
    momentum: Many[float] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> "SweepConfig":
        if min(self.learning_rate) <= 0:
            raise ValueError("learning_rate: expected numbers above 0")
        if min(self.momentum) < 0 or max(self.momentum) >= 1:
            raise ValueError("momentum: expected numbers in [0, 1)")
        return self


class GridConfig(Strict):
    """A grid on a plane."""

    points: int = Field(21, ge=2)
    """Along each axis."""
    margin: float = Field(0.25, ge=0)
    """What is added around the three solutions, as a fraction of their extent."""


class CurveConfig(WalkConfig):
    """A curve from the end (t = 0) to the start (t = 1), as in paper 1:
    `python -m tfsparse.curve --config this.json`."""

    start: EndConfig
    end: EndConfig
    shape: Literal["bezier", "chain"] = "bezier"
    """A Bezier curve, or a chain of straight pieces through its control points."""
    order: int = 2
    """Of the Bezier curve, or the number of pieces; order - 1 inner control points."""
    subspace: Literal["sparse", "dense"] = "sparse"
    """sparse: every point of the curve is zero outside the mask; dense: all weights are free."""
    mask: str | None = None
    """The folder of the run whose masks span the sparse subspace; default: the end's run."""
    train: CurveTrainConfig
    weight_decay: float | None = Field(1e-4, ge=0)
    """Of the L2 term of the interpolated kernels; null: that of the end's run."""
    t: RangeConfig | Many[float] = RangeConfig(first=0.0, last=1.0)
    """Where the finished curve, and the line beside it, are evaluated."""
    line: bool = True
    """Also walk the straight line between the two ends."""
    sweep: SweepConfig | None = None
    plane: GridConfig | None = None
    """When given, also walk the plane through end, start and the middle control point."""

    _check_t = field_validator("t")(_points_of_t)

    @model_validator(mode="after")
    def _check(self) -> "CurveConfig":
        if self.order < 2:
            raise ValueError(
                f"order: expected at least 2, received {self.order}; "
                "`tfsparse.interpolate` walks the straight line"
            )
        if self.mask is not None and self.subspace == "dense":
            raise ValueError("mask: has no effect in subspace 'dense'; remove it")
        return self

    def values(self) -> list[float]:
        """The values of t, ascending, each once."""
        return _values(self.t)


class PlaneConfig(WalkConfig):
    """The plane through three solutions: `python -m tfsparse.interpolate --config this.json`."""

    corners: Many[EndConfig]
    """The first is the origin, the second lies on the x axis, the third above it."""
    grid: GridConfig = GridConfig()
    curves: Many[str] = ()
    """Folders of finished curves whose projections are drawn in."""

    @field_validator("corners")
    @classmethod
    def _three(cls, value: tuple[EndConfig, ...]) -> tuple[EndConfig, ...]:
        if len(value) != 3:
            raise ValueError(f"expected three solutions, received {len(value)}")
        return value


def _values(t: RangeConfig | tuple[float, ...]) -> list[float]:
    return t.values() if isinstance(t, RangeConfig) else sorted(set(t))
