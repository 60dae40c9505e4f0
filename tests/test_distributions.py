"""Distributions: the values of the papers, and an overall sparsity that is exact."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsparse.errors import UserError
from tfsparse.sparsity import distributions as d
from tfsparse.sparsity.masks import kept_count, random_mask

LENET_300_100 = {"dense1": (784, 300), "dense2": (300, 100), "logits": (100, 10)}
LENET_5 = {
    "conv1": (5, 5, 1, 6), "conv2": (5, 5, 6, 16), "dense1": (256, 120), "dense2": (120, 84),
    "logits": (84, 10),
}  # fmt: skip


def overall(shapes, sparsities):
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    return math.fsum(sparsities[name] * sizes[name] for name in shapes) / sum(sizes.values())


def test_uniform_is_one_number():
    assert d.uniform(LENET_5, 0.9) == dict.fromkeys(LENET_5, 0.9)


@pytest.mark.parametrize(
    ("shapes", "sparsity", "expected"),
    [
        (LENET_300_100, 0.90, [0.9204, 0.7698, 0.0]),
        (LENET_300_100, 0.95, [0.9615, 0.8887, 0.0815]),
        (LENET_5, 0.90, [0.3073, 0.9185, 0.9252, 0.8763, 0.3160]),
    ],
)
def test_erk_values_of_the_literature(shapes, sparsity, expected):
    assert [round(s, 4) for s in d.erk(shapes, sparsity).values()] == expected


def test_er_by_hand():
    # n (n_in + n_out) / (n_in n_out) = n_in + n_out: 30 and 15. Kept 0.25 * 250 = 62.5.
    # eps = 62.5 / 45 would give layer b density 62.5 / 45 * 15 / 50 = 0.4167, layer a
    # 62.5 / 45 * 30 / 200 = 0.2083.
    sparsities = d.er({"a": (10, 20), "b": (10, 5)}, 0.75)
    assert sparsities["a"] == pytest.approx(1 - 62.5 / 45 * 30 / 200)
    assert sparsities["b"] == pytest.approx(1 - 62.5 / 45 * 15 / 50)


def test_er_looks_at_channels_and_erk_at_the_kernel_too():
    shapes = {"pointwise": (1, 1, 64, 64), "conv": (3, 3, 64, 64), "dense": (64, 64)}
    er, erk = d.er(shapes, 0.9), d.erk(shapes, 0.9)
    assert er["pointwise"] == er["conv"] == er["dense"] == pytest.approx(0.9)
    assert erk["conv"] > erk["dense"]
    assert d.er(LENET_300_100, 0.9) == pytest.approx(d.erk(LENET_300_100, 0.9))


def test_a_layer_that_wants_too_much_is_dense_and_the_others_pay():
    # Raw densities: tiny (1+1)/1 = 2, big 110/1000 = .11. At 90%, 100.1 weights are kept:
    # eps = 100.1 / (2 + 110) = .89, tiny would get 1.79 > 1. It is dense; big keeps 99.1 of 1000.
    sparsities = d.erk({"tiny": (1, 1), "big": (10, 100)}, 0.9)
    assert sparsities["tiny"] == 0.0
    assert sparsities["big"] == pytest.approx(1 - 0.0991)


SHAPES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.one_of(
        st.tuples(st.integers(1, 300), st.integers(1, 300)),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 64), st.integers(1, 64)),
        st.tuples(st.integers(1, 50)),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.floats(0.0, 0.99), st.sampled_from(["uniform", "er", "erk"]))
def test_the_overall_sparsity_is_exact(shapes, sparsity, name):
    sparsities = d.DISTRIBUTIONS[name](shapes, sparsity)
    assert list(sparsities) == list(shapes)
    assert all(0.0 <= s < 1.0 for s in sparsities.values())
    assert overall(shapes, sparsities) == pytest.approx(sparsity, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.floats(0.0, 0.99), st.sampled_from(["uniform", "er", "erk"]))
def test_exact_counts_sum_to_the_overall_count(shapes, sparsity, name):
    sparsities = d.DISTRIBUTIONS[name](shapes, sparsity)
    counts = d.exact_counts(shapes, sparsities)
    sizes = {layer: math.prod(shape) for layer, shape in shapes.items()}
    assert all(1 <= counts[layer] <= sizes[layer] for layer in shapes)
    total = (1.0 - sparsity) * sum(sizes.values())
    forced = sum(1 for layer in shapes if (1.0 - sparsities[layer]) * sizes[layer] < 1.0)
    assert abs(sum(counts.values()) - total) <= 0.5 + 1e-6 + forced
    if not forced:
        assert abs(sum(counts.values()) - total) <= 0.5 + 1e-6
        for layer, size in sizes.items():
            assert abs(counts[layer] - (1.0 - sparsities[layer]) * size) < 1.0 + 1e-6


def test_exact_counts_by_hand():
    # Wanted: 2.5, 2.5, 5 of 10. Rounding each alone gives 2 + 2 + 5 = 9; one of the halves gets 3.
    shapes = {"a": (5,), "b": (5,), "c": (10,)}
    assert d.exact_counts(shapes, dict.fromkeys(shapes, 0.5)) == {"a": 3, "b": 2, "c": 5}
    assert d.exact_counts({"a": (10, 10)}, {"a": 0.71}) == {"a": 29}


def test_lenet_counts_are_exactly_ten_percent():
    counts = d.exact_counts(LENET_300_100, d.erk(LENET_300_100, 0.9))
    assert sum(counts.values()) == 26_620 and counts["logits"] == 1000
    assert sum(d.exact_counts(LENET_5, d.erk(LENET_5, 0.95)).values()) in (2209, 2210)


def test_the_sparsities_of_another_runs_masks():
    masks = {"a": np.array([[1, 0], [0, 0]]), "b": np.ones(3)}
    assert d.from_masks(masks) == {"a": 0.75, "b": 0.0}
    with pytest.raises(UserError, match="'gone'"):
        d.from_masks({"gone": np.zeros(4)})


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40_000), st.floats(0.0, 0.99), st.integers(0, 9))
def test_counts_survive_the_way_through_a_sparsity(size, sparsity, seed):
    mask = random_mask((size,), sparsity, seed)
    again = d.from_masks({"x": mask})["x"]
    assert kept_count(size, again) == mask.sum()


@pytest.mark.parametrize("spread", [d.uniform, d.er, d.erk])
@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan")])
def test_a_sparsity_that_is_no_fraction_is_refused(spread, sparsity):
    with pytest.raises(UserError, match=r"\[0, 1\)"):
        spread(LENET_5, sparsity)


def test_many_layers_are_spread_in_linear_time():
    def seconds(n):
        shapes = {f"layer{i}": (1 + i % 50, 1 + i % 97) for i in range(n)}
        start = time.perf_counter()
        d.exact_counts(shapes, d.erk(shapes, 0.2))
        return time.perf_counter() - start

    seconds(100)
    assert seconds(16_000) < 8 * 4 * min(seconds(2000) for _ in range(2))
