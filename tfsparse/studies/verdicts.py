"""An interval beside the range that is claimed: holds, does not hold, not decided."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tfsparse.studies.observations import Group
from tfsparse.studies.statistics import Interval

Verdict = Literal["holds", "does not hold", "not decided"]
INFINITY = math.inf


@dataclass(frozen=True)
class Point:
    """A claim at one place: the estimate, the claimed range, and the two verdict intervals."""

    at: Mapping[str, Any]
    of: Group
    than: Group | None
    interval: Interval
    strict: Interval
    """The same at the level corrected for the number of places."""
    claimed: tuple[float, float]
    differences: tuple[float, ...] | None = None
    """Of replicates of the same seed, where the claim pairs them."""
    by_ranks: bool = False
    """The intervals are of the shift, not of the difference of means."""

    @property
    def verdict(self) -> Verdict:
        """The verdict at this place alone."""
        return decide(self.interval, self.claimed)

    @property
    def fails(self) -> bool:
        """Whether the claim fails here at the corrected level, and with it everywhere."""
        return decide(self.strict, self.claimed) == "does not hold"


def decide(interval: Interval, claimed: tuple[float, float]) -> Verdict:
    """Where an interval lies to the open range `claimed`.

    >>> decide(Interval(2, 1, 3), (0, 5)), decide(Interval(2, 1, 3), (4, 5))
    ('holds', 'does not hold')
    >>> decide(Interval(2, 1, 3), (2.5, 5))
    'not decided'
    """
    low, high = claimed
    if interval.low > low and interval.high < high:
        return "holds"
    if interval.low >= high or interval.high <= low:
        return "does not hold"
    return "not decided"


def combine(points: Sequence[Point]) -> Verdict:
    """Holds at every place, fails at one of them (corrected level), or neither."""
    if points and all(point.verdict == "holds" for point in points):
        return "holds"
    if any(point.fails for point in points):
        return "does not hold"
    return "not decided"
