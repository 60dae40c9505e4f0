"""The config of a study: the runs and evaluations behind one figure, and what is claimed of them.

A study file is read in two passes. The outline is checked first; then the values of the chosen
preset replace the `{placeholders}` and the rest is checked as it will be used.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tfsparse.config.fields import Strict

NAME = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"

Kind = Literal["train", "interpolation", "curve", "plane", "analysis"]
Scalar = str | int | float | bool
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class PresetConfig(Strict):
    """One size of a study."""

    about: str
    """What runs, how long it takes, what to expect."""
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    """Replaces the study's axes of the same names."""
    values: dict[str, Any] = Field(default_factory=dict)
    """What `{name}` stands for; replaces the study's values of the same names."""
    claims: list[str] | None = None
    """Names of the claims that its pieces can answer; null: all of them."""


class StudyOutline(Strict):
    """A study file before a preset is chosen; parts that hold placeholders are still open."""

    study: str = Field(pattern=NAME)
    """The study's name; results go to `<study>_<preset>`."""
    family: str | None = Field(None, pattern=NAME)
    """Studies of one family share their pieces, which lie in `<family>_<preset>`: a run that
    several figures need is made once. A piece's name means the same in all of them."""
    about: str
    """Purpose, expected time, expected result."""
    title: str
    """Heading of the figure."""
    paper: str
    """Which figure of which paper."""
    axes: dict[str, list[Any]] = Field(default_factory=dict)
    """Lists over which pieces are multiplied. `seed` is a list of whole numbers; other entries
    are numbers or texts, or objects with a `label` whose fields are written `{axis.field}`."""
    values: dict[str, Any] = Field(default_factory=dict)
    presets: dict[str, PresetConfig] = Field(min_length=1)
    pieces: list[dict[str, Any]] = Field(min_length=1)
    measures: dict[str, dict[str, Any]]
    reference: list[dict[str, Any]] = Field(default_factory=list)
    claims: list[dict[str, Any]] = Field(default_factory=list)
    figure: dict[str, Any]


class PieceTemplate(Strict):
    """One kind of piece, once per combination of the axes named in `over`."""

    name: str
    """The piece's name; with axis `seed` in `over`, `/seed_<n>` is added."""
    kind: Kind
    over: list[str] = Field(default_factory=list)
    where: dict[str, list[Scalar]] = Field(default_factory=dict)
    """Keep only combinations whose axis (or `axis.field`) is one of these."""
    series: str
    """The line of the figure this piece belongs to."""
    at: dict[str, Scalar] = Field(default_factory=dict)
    """Where on the figure: pieces of one series at one place are replicates of each other."""
    measures: list[str] = Field(default_factory=list)
    """Which measures are read from this piece's summary."""
    seconds: float | None = Field(None, gt=0)
    """Stated time, for the plan before anything was measured."""
    config: dict[str, Any]
    """The command's config. `{"piece": name}` stands for the folder of that piece (of the same
    seed, or of `"seed": n`), `{"every": name}` for the list of its folders over all seeds."""


class MeasureConfig(Strict):
    """A number read from a finished piece's summary."""

    path: str
    """Keys joined by dots, such as `test.accuracy`."""
    label: str
    percent: bool = False
    """The number is a fraction and is shown in percent."""
    better: Literal["higher", "lower", "neither"] = "neither"
    dead_below: float | None = None
    """A replicate below this counts as dead: it stays in every mean and is counted apart."""


class ReferenceConfig(Strict):
    """Numbers of a paper, shown beside ours."""

    measure: str
    series: str
    source: str
    """Where the numbers stand."""
    at: dict[str, Scalar] = Field(default_factory=dict)
    along: str | None = None
    """The key of `at` to which the first entry of each point belongs."""
    points: list[Pair] = Field(default_factory=list)
    """Pairs (place, number) when `along` is given."""
    value: float | None = None
    """The one number when `along` is not given."""

    @model_validator(mode="after")
    def _check(self) -> "ReferenceConfig":
        series, single = self.along is not None and bool(self.points), self.value is not None
        if series == single or single == (self.along is not None):
            raise ValueError("expected either along and points, or value")
        return self


class Selection(Strict):
    """Which pieces a claim speaks of."""

    series: str
    at: dict[str, Scalar] = Field(default_factory=dict)
    """Fixes or replaces keys of the claim's places."""


class ClaimConfig(Strict):
    """A sentence of a paper as a named check; see `tfsparse.studies.checks` for each check."""

    name: str = Field(pattern=NAME)
    sentence: str
    """The paper's sentence."""
    paper: float | str | None = None
    """The paper's number, or the words where it gives none."""
    check: Literal[
        "greater", "not_worse", "equal", "value", "share", "spread", "unrelated", "near_levels"
    ]
    measure: str
    of: Selection
    than: Selection | None = None
    at: dict[str, list[Scalar]] = Field(default_factory=dict)
    """The places: every combination of these lists."""
    paired: bool = False
    """greater, not_worse, equal: compare replicates of the same seed, which share their networks'
    ends or starts, so that what these have in common does not count as noise."""
    margin: float = Field(0.0, ge=0)
    """greater: more than this much; not_worse, equal, unrelated: within this much."""
    low: float | None = None
    high: float | None = None
    """value, share: the range that is claimed."""
    above: float | None = None
    below: float | None = None
    """share: counts replicates above / below this."""
    along: str | None = None
    """unrelated: the key of the places against which the measure is ranked."""
    levels: list[float] = Field(default_factory=list)
    tolerance: float = Field(0.02, gt=0)
    """near_levels: the levels, and how close a replicate must lie."""
    confidence: float = Field(0.95, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _check(self) -> "ClaimConfig":
        compares = self.check in ("greater", "not_worse", "equal", "spread")
        if compares != (self.than is not None):
            word = "a selection" if compares else "none"
            raise ValueError(f"than: expected {word} for check {self.check!r}")
        if self.paired and (not compares or self.check == "spread"):
            raise ValueError(f"paired: has no effect on check {self.check!r}; remove it")
        if self.check in ("value", "share") and self.low is None and self.high is None:
            raise ValueError(f"expected low or high for check {self.check!r}")
        if self.check == "share" and (self.above is None) == (self.below is None):
            raise ValueError("expected either above or below for check 'share'")
        if self.check == "unrelated" and self.along is None:
            raise ValueError("expected along for check 'unrelated'")
        if self.check in ("equal", "unrelated") and self.margin == 0:
            raise ValueError(f"expected a margin above 0 for check {self.check!r}")
        if self.check == "near_levels" and not (self.levels and self.below is not None):
            raise ValueError("expected levels and below for check 'near_levels'")
        return self


class FigureConfig(Strict):
    """Which chart is drawn from the pieces."""

    chart: str
    """A name of `tfsparse.charts.study_figures`."""
    args: dict[str, Any] = Field(default_factory=dict)


class StudyConfig(Strict):
    """A study at one preset, as it is used; axes are applied by `tfsparse.studies.plan`."""

    study: str = Field(pattern=NAME)
    family: str | None = Field(None, pattern=NAME)
    preset: str = Field(pattern=NAME)
    about: str
    title: str
    paper: str
    axes: dict[str, list[Any]]
    measures: dict[str, MeasureConfig]
    reference: list[ReferenceConfig]
    claims: list[ClaimConfig]
    figure: FigureConfig
    pieces: list[dict[str, Any]]
    """Templates still with their axes' placeholders."""
