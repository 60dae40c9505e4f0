"""Intervals and correlations of the claims, against hand-worked numbers and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tfsparse.studies.statistics import (
    describe,
    deviations,
    difference_interval,
    mean_interval,
    rank_correlation,
    share_interval,
    shift_interval,
)

HIGH = [0.97, 0.98, 0.99]  # mean 0.98, variance 1e-4
LOW = [0.90, 0.91, 0.92]  # mean 0.91, variance 1e-4


def test_welch_interval_by_hand() -> None:
    # Equal variances 1e-4 and n = 3: standard error sqrt(2e-4 / 3), 4 degrees of freedom,
    # t(0.95; 4) = 2.1318.
    found = difference_interval(HIGH, LOW, 0.90)
    half = 2.131847 * math.sqrt(2e-4 / 3)
    assert found.estimate == pytest.approx(0.07)
    assert (found.low, found.high) == pytest.approx((0.07 - half, 0.07 + half), rel=1e-6)


def test_welch_interval_agrees_with_scipy() -> None:
    first, second = [0.1, 0.5, 0.3, 0.9], [0.2, 0.25]
    theirs = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
    ours = difference_interval(first, second, 0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_shift_interval_by_hand() -> None:
    # Three of each: U = 0 has probability 1/20, so each end at 95% is the outermost difference.
    found = shift_interval([5.0, 7.0, 20.0], [1.0, 2.0, 3.0], 0.90)
    assert (found.estimate, found.low, found.high) == (5.0, 2.0, 19.0)
    # Five of each: P(U <= 4) = 12/252 and P(U <= 5) = 19/252, so it is the fifth from each side.
    first, second = [float(10 * i) for i in range(5)], [0.0, 1.0, 2.0, 3.0, 4.0]
    found = shift_interval(first, second, 0.90)
    differences = sorted(a - b for a in first for b in second)
    assert (found.low, found.high) == (differences[4], differences[-5])


@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(-10, 10), min_size=2, max_size=6, unique=True),
    st.sampled_from([0.8, 0.9, 0.95]),
)
def test_shift_interval_ends_where_the_rank_test_turns(
    first: list[float], second: list[float], confidence: float
) -> None:
    differences = np.sort(np.subtract.outer(first, second), axis=None)
    assume(np.diff(differences).min() > 1e-6)
    found, tail = shift_interval(first, second, confidence), (1 - confidence) / 2

    def p(shift: float) -> float:
        moved = np.asarray(first) - shift
        return stats.mannwhitneyu(moved, second, alternative="greater", method="exact").pvalue

    if math.isinf(found.low):
        assert p(differences[0] - 1) > tail
    else:
        assert p(found.low - 1e-7) <= tail * (1 + 1e-6) < p(found.low + 1e-7)
        assert found.low <= found.estimate <= found.high


def test_intervals_without_enough_values_are_unbounded() -> None:
    for interval in (
        difference_interval([1.0], LOW, 0.9),
        shift_interval([1.0, 2.0], LOW, 0.9),
        mean_interval([1.0], 0.9),
        rank_correlation([1, 2, 3, 4], [1, 2, 3, 4], 0.9),
        rank_correlation([1, 1, 1, 1, 1], [1, 2, 3, 4, 5], 0.9),
    ):
        assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert describe([2.0]) == {"mean": 2.0, "std": None, "n": 1}
    assert describe([]) == {"mean": None, "std": None, "n": 0}


def test_equal_values_are_certain_only_from_three_on() -> None:
    assert mean_interval([0.5, 0.5], 0.9).low == -math.inf
    assert mean_interval([0.5] * 3, 0.9).low == 0.5
    assert difference_interval([0.9] * 2, [0.5] * 3, 0.9).low == -math.inf
    assert difference_interval([0.9] * 3, [0.5] * 3, 0.9).low == pytest.approx(0.4)


def test_share_interval_by_hand() -> None:
    # All of n succeed: the lower end p solves p ** n = tail.
    found = share_interval(5, 5, 0.90)
    assert found.low == pytest.approx(0.05 ** (1 / 5))
    assert found.high == 1.0
    assert share_interval(0, 5, 0.90).high == pytest.approx(1 - 0.05 ** (1 / 5))


def test_rank_correlation_is_one_for_any_rising_relation() -> None:
    found = rank_correlation([1, 2, 3, 4, 5, 6], [1, 8, 27, 64, 125, 216], 0.9)
    assert found.estimate == pytest.approx(1.0)
    assert found.low > 0.9


def test_deviations_from_the_median() -> None:
    assert deviations([1.0, 2.0, 9.0]) == [1.0, 0.0, 7.0]
