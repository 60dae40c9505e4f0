"""What the finished pieces of a study measured, replicate by replicate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfsparse.errors import UserError
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Plan


@dataclass(frozen=True)
class Observation:
    """One piece: what it measured, or that it has not."""

    piece: str
    series: str
    at: Mapping[str, Any]
    seed: int | None
    state: str
    """finished, failed, or any other state of `tfsparse.studies.ledger`."""
    values: Mapping[str, float | None] = field(default_factory=dict)
    """By measure; None where the piece is not finished or the number was not finite."""


@dataclass(frozen=True)
class Group:
    """The replicates of one series at one place, for one measure."""

    series: str
    at: Mapping[str, Any]
    measure: str
    values: tuple[float, ...]
    failed: int
    """Pieces that failed or gave no finite number."""
    dead: int
    """Replicates below the measure's `dead_below`; they are among `values`."""
    open: int
    """Pieces that have not ended."""


def observe(plan: Plan) -> list[Observation]:
    """One observation per piece that has measures, in the plan's order.

    Raises:
        UserError: a finished piece's summary lacks a measure's path.
    """
    ledger = Ledger(plan.root)
    result = []
    for piece in plan.pieces.values():
        if not piece.measures:
            continue
        state = ledger.state(piece, plan)
        values: dict[str, float | None] = dict.fromkeys(piece.measures)
        if state == "finished":
            summary = ledger.summary(piece)
            for name in piece.measures:
                path = plan.config.measures[name].path
                values[name] = _number(summary, path, f"{piece.folder}/summary.json")
        result.append(Observation(piece.name, piece.series, piece.at, piece.seed, state, values))
    return result


def _number(summary: Mapping[str, Any], path: str, where: str) -> float | None:
    value: Any = summary
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise UserError(f"{where}: expected the number {path!r}, found no {part!r}")
        value = value[part]
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise UserError(f"{where}: {path}: expected a number, received {value!r}")
    return float(value)


def group(plan: Plan, observations: Sequence[Observation]) -> list[Group]:
    """Replicates put together, ordered by measure and then as they first appear."""
    found: dict[tuple[str, str, tuple[tuple[str, Any], ...]], list[Observation]] = {}
    for name in plan.config.measures:
        for observation in observations:
            if name in observation.values:
                key = (name, observation.series, tuple(observation.at.items()))
                found.setdefault(key, []).append(observation)
    return [_make_group(plan, measure, members) for (measure, _, _), members in found.items()]


def select(
    plan: Plan,
    observations: Sequence[Observation],
    measure: str,
    series: str,
    place: Mapping[str, Any],
) -> Group:
    """The replicates of `series` that lie at `place`, as one group."""
    members = [
        observation
        for observation in observations
        if observation.series == series
        and measure in observation.values
        and all(observation.at.get(key) == value for key, value in place.items())
    ]
    if not members:
        return Group(series, place, measure, (), 0, 0, 0)
    return _make_group(plan, measure, members, place)


def pairs(
    observations: Sequence[Observation],
    measure: str,
    first: tuple[str, Mapping[str, Any]],
    second: tuple[str, Mapping[str, Any]],
) -> list[tuple[float, float]]:
    """The numbers of two selections (series and place) at the same seed.

    What the places leave open (another key of `at`) must agree, too.

    Raises:
        UserError: two pieces of a selection have the same seed at the same place.
    """
    one, other = (_by_seed(observations, measure, *chosen) for chosen in (first, second))
    return [(one[key], other[key]) for key in one if key in other]


def _by_seed(
    observations: Sequence[Observation], measure: str, series: str, place: Mapping[str, Any]
) -> dict[tuple[Any, ...], float]:
    found: dict[tuple[Any, ...], float] = {}
    for item in observations:
        value = item.values.get(measure)
        at = item.at
        if item.series != series or any(at.get(key) != place[key] for key in place):
            continue
        if value is None or item.seed is None:
            continue
        key = (item.seed, *sorted((k, str(v)) for k, v in at.items() if k not in place))
        if key in found:
            raise UserError(f"{item.piece}: a second piece of {series!r} with seed {item.seed}")
        found[key] = value
    return found


def _make_group(
    plan: Plan,
    measure: str,
    members: Sequence[Observation],
    place: Mapping[str, Any] | None = None,
) -> Group:
    values = tuple(v for v in (item.values[measure] for item in members) if v is not None)
    floor = plan.config.measures[measure].dead_below
    ended = ("finished", "failed")
    return Group(
        series=members[0].series,
        at=members[0].at if place is None else place,
        measure=measure,
        values=values,
        failed=sum(item.state in ended and item.values[measure] is None for item in members),
        dead=0 if floor is None else sum(value < floor for value in values),
        open=sum(item.state not in ended for item in members),
    )
