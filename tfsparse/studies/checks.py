"""The checks that a claim may name.

Every check puts a confidence interval beside the range that is claimed. It *holds* where the
whole interval lies in the range, *does not hold* where the interval lies wholly outside, and is
*not decided* otherwise: too few replicates, or an effect too small for them. Each end of an
interval is trusted at the claim's `confidence`, so `equal` is the usual two one-sided tests.

Where a replicate is dead, greater, not_worse and equal look at the shift between both groups, by
ranks, since a mean of dead and living networks has no meaningful interval.

With `paired`, greater, not_worse and equal look at the differences of replicates of the same seed.

A claim about several places holds when it holds at each of them. It does not hold when it fails
at one, at a level divided by the number of places.

| check | claims |
|---|---|
| greater | mean(of) - mean(than) > margin |
| not_worse | mean(of) is at most margin worse than mean(than), by the measure's `better` |
| equal | mean(of) - mean(than) within +- margin |
| value | mean(of) between low and high |
| share | the part of replicates (over all places) above / below a number is between low and high |
| spread | replicates of `of` lie farther from their median than those of `than`, by margin |
| unrelated | the rank correlation of the measure with `along` within +- margin |
| near_levels | living replicates below `below` lie near one of `levels`, not by chance alone |
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tfsparse.config.study import ClaimConfig
from tfsparse.studies.observations import Group, Observation, pairs, select
from tfsparse.studies.plan import Plan, places
from tfsparse.studies.statistics import (
    UNKNOWN,
    Interval,
    deviations,
    difference_interval,
    mean_interval,
    rank_correlation,
    share_interval,
    shift_interval,
)
from tfsparse.studies.verdicts import INFINITY, Point

Estimate = Callable[[float], Interval]
"""The interval whose ends are each trusted at the given confidence."""


def _two_sided(confidence: float) -> float:
    """The coverage of an interval each of whose ends is trusted at `confidence`."""
    return 2 * confidence - 1


def _point(
    claim: ClaimConfig,
    count: int,
    at: Mapping[str, Any],
    of: Group,
    than: Group | None,
    estimate: Estimate,
    claimed: tuple[float, float],
    differences: tuple[float, ...] | None = None,
    by_ranks: bool = False,
) -> Point:
    corrected = 1 - (1 - claim.confidence) / count
    intervals = estimate(claim.confidence), estimate(corrected)
    return Point(at, of, than, *intervals, claimed, differences, by_ranks)


def _differences(
    claim: ClaimConfig, plan: Plan, observations: Sequence[Observation]
) -> list[Point]:
    assert claim.than is not None  # checked by the config
    margin = claim.margin
    sign = -1.0 if claim.check == "not_worse" and _lower_is_better(claim, plan) else 1.0
    low, high = {
        "greater": (margin, INFINITY),
        "not_worse": (-margin, INFINITY),
        "equal": (-margin, margin),
        "spread": (margin, INFINITY),
    }[claim.check]
    points = []
    all_places = places(claim)
    for place in all_places:
        chosen = [
            (claim.of.series, {**place, **claim.of.at}),
            (claim.than.series, {**place, **claim.than.at}),
        ]
        of, than = (select(plan, observations, claim.measure, *one) for one in chosen)
        differences = None
        if claim.paired:
            found = pairs(observations, claim.measure, chosen[0], chosen[1])
            differences = tuple(sign * (first - second) for first, second in found)
        by_ranks = bool(of.dead or than.dead) and not claim.paired and claim.check != "spread"

        def estimate(
            confidence: float, of: Group = of, than: Group = than,
            differences: tuple[float, ...] | None = differences, by_ranks: bool = by_ranks,
        ) -> Interval:  # fmt: skip
            if differences is not None:
                known = mean_interval(differences, _two_sided(confidence)) if differences else None
                return known or Interval(math.nan, *UNKNOWN)
            if not (of.values and than.values):
                return Interval(math.nan, *UNKNOWN)
            first = [sign * value for value in of.values]
            second = [sign * value for value in than.values]
            if claim.check == "spread":
                if min(len(first), len(second)) < 3:  # two are always equally far from their median
                    return Interval(math.nan, *UNKNOWN)
                first, second = deviations(first), deviations(second)
            interval = shift_interval if by_ranks else difference_interval
            return interval(first, second, _two_sided(confidence))

        points.append(
            _point(claim, len(all_places), place, of, than, estimate, (low, high), differences,
                   by_ranks)
        )  # fmt: skip
    return points


def _value(claim: ClaimConfig, plan: Plan, observations: Sequence[Observation]) -> list[Point]:
    points = []
    all_places = places(claim)
    for place in all_places:
        of = select(plan, observations, claim.measure, claim.of.series, {**place, **claim.of.at})

        def estimate(confidence: float, of: Group = of) -> Interval:
            if not of.values:
                return Interval(math.nan, *UNKNOWN)
            return mean_interval(of.values, _two_sided(confidence))

        points.append(_point(claim, len(all_places), place, of, None, estimate, _range(claim)))
    return points


def _share(claim: ClaimConfig, plan: Plan, observations: Sequence[Observation]) -> list[Point]:
    of = _pooled(claim, plan, observations)
    hits = sum(_counts(claim, value) for value in of.values)
    # A share reaches 0 and 1; the claimed range includes these ends.
    low, high = _range(claim)
    low, high = (-INFINITY if low <= 0 else low), (INFINITY if high >= 1 else high)

    def estimate(confidence: float) -> Interval:
        if not of.values:
            return Interval(math.nan, *UNKNOWN)
        return share_interval(hits, len(of.values), _two_sided(confidence))

    return [_point(claim, 1, claim.at, of, None, estimate, (low, high))]


def _unrelated(claim: ClaimConfig, plan: Plan, observations: Sequence[Observation]) -> list[Point]:
    of = _pooled(claim, plan, observations)
    pairs = [
        (float(item.at[str(claim.along)]), value)
        for item in observations
        if item.series == claim.of.series
        and (value := item.values.get(claim.measure)) is not None
        and any(_lies(item, {**place, **claim.of.at}) for place in places(claim))
    ]

    def estimate(confidence: float) -> Interval:
        x, y = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return rank_correlation(x, y, _two_sided(confidence))

    return [_point(claim, 1, claim.at, of, None, estimate, (-claim.margin, claim.margin))]


def _near_levels(
    claim: ClaimConfig, plan: Plan, observations: Sequence[Observation]
) -> list[Point]:
    of = _pooled(claim, plan, observations)
    assert claim.below is not None  # checked by the config
    # A dead network has an accuracy near one class's share for whatever reason it died.
    floor = plan.config.measures[claim.measure].dead_below or 0.0
    stuck = tuple(value for value in of.values if floor <= value < claim.below)
    near = sum(min(abs(value - level) for level in claim.levels) <= claim.tolerance
               for value in stuck)  # fmt: skip
    chance = covered(claim.levels, claim.tolerance, floor, claim.below)
    of = replace(of, values=stuck)

    def estimate(confidence: float) -> Interval:
        if not stuck:
            return Interval(math.nan, *UNKNOWN)
        return share_interval(near, len(stuck), _two_sided(confidence))

    return [_point(claim, 1, claim.at, of, None, estimate, (chance, INFINITY))]


CHECKS: dict[str, Callable[[ClaimConfig, Plan, Sequence[Observation]], list[Point]]] = {
    "greater": _differences,
    "not_worse": _differences,
    "equal": _differences,
    "spread": _differences,
    "value": _value,
    "share": _share,
    "unrelated": _unrelated,
    "near_levels": _near_levels,
}


def covered(levels: Sequence[float], tolerance: float, low: float, high: float) -> float:
    """The part of [low, high] that lies within `tolerance` of a level: what chance would give.

    >>> round(covered([0.1, 0.2], 0.02, 0.0, 0.4), 12)
    0.2
    """
    total, reached = 0.0, low
    for level in sorted(levels):
        start, end = max(level - tolerance, reached), min(level + tolerance, high)
        if end > start:
            total += end - start
            reached = end
    return total / (high - low)


def _pooled(claim: ClaimConfig, plan: Plan, observations: Sequence[Observation]) -> Group:
    """The replicates of all places of the claim as one group."""
    groups = [
        select(plan, observations, claim.measure, claim.of.series, {**place, **claim.of.at})
        for place in places(claim)
    ]
    return Group(
        series=claim.of.series,
        at={**claim.at, **claim.of.at},
        measure=claim.measure,
        values=tuple(value for group in groups for value in group.values),
        failed=sum(group.failed for group in groups),
        dead=sum(group.dead for group in groups),
        open=sum(group.open for group in groups),
    )


def _lies(item: Observation, place: Mapping[str, Any]) -> bool:
    return all(item.at.get(key) == value for key, value in place.items())


def _lower_is_better(claim: ClaimConfig, plan: Plan) -> bool:
    return plan.config.measures[claim.measure].better == "lower"


def _counts(claim: ClaimConfig, value: float) -> bool:
    return value > claim.above if claim.above is not None else value < claim.below  # type: ignore[operator]


def _range(claim: ClaimConfig) -> tuple[float, float]:
    low = -INFINITY if claim.low is None else claim.low
    return low, INFINITY if claim.high is None else claim.high
