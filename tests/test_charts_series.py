"""Smoothing, thinning and folding of curves."""

import numpy as np
import pandas as pd
import pytest

from tfsparse.charts.logs import Log
from tfsparse.charts.series import METRICS, Source, available, curve_table, fold, smooth, thin


def log_of(steps, loss, *, seconds=None):
    table = pd.DataFrame({"step": steps, "loss": loss})
    if seconds is not None:
        table["seconds"] = seconds
    return Log({"train": table})


def test_smooth_by_hand():
    # 1: 0; 2: (0.5 * 0 + 1) / 1.5; 3: (0.25 * 0 + 0.5 * 1 + 1) / 1.75
    assert smooth(np.array([0.0, 1.0, 1.0]), 0.5) == pytest.approx([0, 2 / 3, 6 / 7])


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.99])
def test_smooth_keeps_constants_and_length(weight):
    assert smooth(np.full(7, 3.5), weight) == pytest.approx(np.full(7, 3.5))
    values = np.random.default_rng(0).normal(size=50)
    result = smooth(values, weight)
    assert len(result) == 50 and result.min() >= values.min() and result.max() <= values.max()
    if weight == 0:
        assert result == pytest.approx(values)


@pytest.mark.parametrize("weight", [-0.1, 1.0, 2.0])
def test_smooth_refuses(weight):
    with pytest.raises(ValueError, match="weight"):
        smooth(np.ones(3), weight)


def test_thin_keeps_spikes_and_ends():
    y = np.zeros(10_000)
    y[1234], y[8765] = 5.0, -5.0
    kept = thin(np.arange(10_000), y, 100)
    assert {0, 1234, 8765, 9_999} <= set(kept) and len(kept) <= 102
    assert list(kept) == sorted(kept)


@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_thin_leaves_short_curves(count):
    assert list(thin(np.arange(count), np.zeros(count), 100)) == list(range(count))


def test_fold_by_hand():
    sources = [
        Source("a/seed_0", "a", "pruned", log_of([10, 20], [1.0, 2.0])),
        Source("a/seed_1", "a", "pruned", log_of([10, 20], [3.0, 6.0])),
        Source("b/seed_0", "b", "dense", log_of([10], [7.0])),
    ]
    table = fold(curve_table(sources, "loss"))
    a, b = table[table["group"] == "a"], table[table["group"] == "b"]
    assert list(a["mean"]) == [2.0, 4.0] and list(a["n"]) == [2, 2]
    assert list(a["std"]) == pytest.approx([2**0.5, 8**0.5])  # n - 1 in the denominator
    assert list(a["high"]) == pytest.approx([2 + 2**0.5, 4 + 8**0.5])
    assert (b["mean"].item(), b["std"].item(), b["n"].item()) == (7.0, 0.0, 1)


def test_fold_of_unequal_lengths():
    sources = [
        Source("a/seed_0", "a", "pruned", log_of([10, 20, 30], [1.0, 1.0, 1.0])),
        Source("a/seed_1", "a", "pruned", log_of([10, 20], [3.0, 3.0])),
    ]
    table = fold(curve_table(sources, "loss"))
    assert list(table["n"]) == [2, 2, 1] and list(table["mean"]) == [2.0, 2.0, 1.0]


def test_smoothing_is_per_run_before_folding():
    sources = [Source("a/seed_0", "a", "pruned", log_of([1, 2], [0.0, 1.0]))]
    assert curve_table(sources, "loss", smoothing=0.5)["value"].tolist() == pytest.approx(
        [0, 2 / 3]
    )
    # What has no noise is never smoothed.
    rate = Log({"train": pd.DataFrame({"step": [1, 2], "learning_rate": [0.0, 1.0]})})
    table = curve_table([Source("a", "a", "dense", rate)], "learning_rate", smoothing=0.5)
    assert table["value"].tolist() == [0.0, 1.0]


def test_other_lines_are_placed_by_the_train_lines():
    log = Log(
        {
            "train": pd.DataFrame({"step": [10, 20], "loss": [1.0, 1.0], "seconds": [2.0, 6.0]}),
            "evaluation": pd.DataFrame({"step": [5, 15], "accuracy": [0.1, 0.2]}),
        }
    )
    table = curve_table([Source("a", "a", "dense", log)], "evaluation_accuracy", x="seconds")
    assert table["x"].tolist() == [1.0, 4.0]


def test_available_lists_what_is_there():
    empty, some = Source("a", "a", "x", Log()), Source("b", "b", "x", log_of([1], [1.0]))
    assert available([empty]) == [] and available([empty, some]) == ["loss"]
    assert curve_table([empty], "loss").empty
    assert all(metric.label for metric in METRICS.values())
