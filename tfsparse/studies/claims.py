"""Sentences of a paper beside our numbers, with a verdict each, as JSON values and in words."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from tfsparse.charts.words import place_words
from tfsparse.config.study import ClaimConfig
from tfsparse.studies.checks import CHECKS
from tfsparse.studies.observations import Observation
from tfsparse.studies.plan import Plan
from tfsparse.studies.statistics import describe
from tfsparse.studies.verdicts import INFINITY, Point, Verdict, combine


def check_claim(
    claim: ClaimConfig, plan: Plan, observations: Sequence[Observation]
) -> dict[str, Any]:
    """The claim with our numbers and the verdict, as JSON values."""
    points = CHECKS[claim.check](claim, plan, observations)
    weakest = min(points, key=_against)
    verdict = combine(points)
    return {
        "name": claim.name,
        "sentence": claim.sentence,
        "paper": claim.paper,
        "check": claim.check,
        "measure": claim.measure,
        "confidence": claim.confidence,
        "ours": _ours(weakest),
        "verdict": verdict,
        "detail": _detail(claim, plan, weakest, len(points), verdict),
        "points": [_point_json(point) for point in points],
    }


def check_claims(plan: Plan, observations: Sequence[Observation]) -> list[dict[str, Any]]:
    """Every claim of the study, in its order."""
    return [check_claim(claim, plan, observations) for claim in plan.config.claims]


def _against(point: Point) -> tuple[bool, float]:
    """Least for the place that speaks loudest against the claim and stands for it: one at which
    it fails comes before a wider interval that decides nothing."""
    return not point.fails, _room(point)


def _room(point: Point) -> float:
    """How far the interval lies inside the claimed range; small or negative: not inside."""
    low, high = point.claimed
    room = min(point.interval.low - low, high - point.interval.high)
    return -INFINITY if math.isnan(room) else room


def _ours(point: Point) -> dict[str, Any]:
    """mean, std and n of what is claimed, at one place.

    Of a difference, mean is the difference of the means (of the shift by ranks, the median of all
    differences), std the root of the summed variances
    and n the smaller number of replicates; of pairs, all three are of their differences.
    """
    if point.than is None:
        numbers = describe(point.of.values)
        return {**numbers, "estimate": _finite(point.interval.estimate)}
    first, second = describe(point.of.values), describe(point.than.values)
    if point.differences is not None:
        return {**describe(point.differences), "of": first, "than": second}
    stds = [numbers["std"] for numbers in (first, second)]
    known = [float(std) for std in stds if std is not None]
    return {
        "mean": _finite(point.interval.estimate),
        "std": math.hypot(*known) if len(known) == 2 else None,
        "n": min(len(point.of.values), len(point.than.values)),
        "of": first,
        "than": second,
    }


def _point_json(point: Point) -> dict[str, Any]:
    groups = {"of": point.of, "than": point.than}
    return {
        "at": dict(point.at),
        **{
            key: {
                "series": group.series,
                "at": dict(group.at),
                **describe(group.values),
                "failed": group.failed,
                "dead": group.dead,
                "open": group.open,
            }
            for key, group in groups.items()
            if group is not None
        },
        "estimate": _finite(point.interval.estimate),
        "low": _finite(point.interval.low),
        "high": _finite(point.interval.high),
        "claimed": [_finite(end) for end in point.claimed],
        "verdict": point.verdict,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


_WORDS = {
    "greater": "difference",
    "not_worse": "difference",
    "equal": "difference",
    "spread": "difference of mean distances from the median",
    "value": "mean",
    "share": "share",
    "unrelated": "rank correlation",
    "near_levels": "share near a level",
}
_RATIOS = ("share", "unrelated", "near_levels")


def _detail(claim: ClaimConfig, plan: Plan, point: Point, count: int, verdict: Verdict) -> str:
    """One sentence: what was found where, against what, and why it is not decided."""
    scale = plan.config.measures[claim.measure]
    word = "shift by ranks" if point.by_ranks else _WORDS[claim.check]
    factor, unit = (100, " pp" if point.than else " %") if scale.percent else (1, "")
    if claim.check in _RATIOS:
        factor, unit = 1, ""

    def show(value: float) -> str:
        return f"{value * factor:.4g}{unit}" if math.isfinite(value) else "unbounded"

    where = ", ".join(f"{key} {place_words(key, value)}" for key, value in point.at.items())
    found = point.interval
    parts = []
    if math.isnan(found.estimate):
        few = "too few" if point.of.values else "no finished"
        parts.append(f"{word}: {few} replicates to compare")
    else:
        sizes = f"n = {len(point.of.values)}"
        if point.differences is not None:
            sizes = f"n = {len(point.differences)} pairs"
        elif point.than is not None:
            sizes += f" and {len(point.than.values)}"
        parts.append(
            f"{word} {show(found.estimate)}, between {show(found.low)} and "
            f"{show(found.high)}; claimed: {_claimed_words(point.claimed, show)} ({sizes})"
        )
    if where:
        prefix = f"weakest of {count} places, " if count > 1 else ""
        parts.append(f"at {where}" if not prefix else f"{prefix}{where}")
    groups = [group for group in (point.of, point.than) if group is not None]
    for state in ("dead", "failed", "open"):
        number = sum(getattr(group, state) for group in groups)
        if number:
            parts.append(f"{number} {'not yet run' if state == 'open' else state}")
    if verdict == "not decided" and any(len(group.values) < 2 for group in groups):
        parts.append("an uncertainty needs at least two replicates")
    return "; ".join(parts)


def _claimed_words(claimed: tuple[float, float], show: Callable[[float], str]) -> str:
    low, high = claimed
    if math.isinf(high):
        return f"above {show(low)}" if math.isfinite(low) else "anything"
    if math.isinf(low):
        return f"below {show(high)}"
    return f"between {show(low)} and {show(high)}"
