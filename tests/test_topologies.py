"""RadiX-Nets from (N, B): the paper's worked numbers, then properties over many (N, B)."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfsparse.errors import UserError
from tfsparse.sparsity.topologies import (
    RadixLayer,
    StarvedNeurons,
    check_fed,
    over_kernel,
    path_counts,
    radix_net,
    random_topology,
)


@st.composite
def nets(draw):
    """A valid (N, B) with a small N'."""
    first = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    assume(math.prod(first) <= 24)
    base = math.prod(first)

    def with_product(product):
        factors, left = [], product
        while left > 1:
            divisors = [d for d in range(2, left + 1) if left % d == 0]
            factors.append(draw(st.sampled_from(divisors)))
            left //= factors[-1]
        return factors

    systems = [first]
    for _ in range(draw(st.integers(0, 2))):
        systems.append(with_product(base))
    if draw(st.booleans()):
        systems.append(
            with_product(draw(st.sampled_from([d for d in range(2, base + 1) if base % d == 0])))
        )
    layers = sum(map(len, systems))
    blocks = draw(st.lists(st.integers(1, 3), min_size=layers + 1, max_size=layers + 1))
    return systems, blocks


@settings(max_examples=80, deadline=None)
@given(nets())
def test_every_input_reaches_every_output_by_the_same_number_of_paths(pair):
    net = radix_net(*pair)
    paths = path_counts(net.masks())
    assert paths.shape == (net.widths[0], net.widths[-1])
    assert (paths == net.paths).all()


@settings(max_examples=80, deadline=None)
@given(nets())
def test_degrees_are_regular_and_sizes_follow_the_formulas(pair):
    systems, blocks = pair
    net = radix_net(*pair)
    base = math.prod(systems[0])
    radices = list(itertools.chain(*systems))
    assert net.widths == tuple(base * b for b in blocks)
    assert net.connections == sum(int(mask.sum()) for mask in net.masks())
    for i, (layer, mask) in enumerate(zip(net.layers, net.masks(), strict=True)):
        assert mask.dtype == np.uint8 and set(np.unique(mask)) <= {0, 1}
        assert mask.shape == layer.shape == (base * blocks[i], base * blocks[i + 1])
        assert (mask.sum(0) == radices[i] * blocks[i]).all()
        assert (mask.sum(1) == radices[i] * blocks[i + 1]).all()
        assert mask.sum() == layer.connections
        assert mask.mean() == pytest.approx(radices[i] / base) == layer.density
        assert layer.sparsity == 1 - layer.density


@settings(max_examples=60, deadline=None)
@given(nets())
def test_a_layer_is_the_kronecker_product_of_its_shifts(pair):
    systems, blocks = pair
    net = radix_net(*pair)
    shift = np.roll(np.eye(net.base, dtype=np.int64), 1, axis=1)
    i = 0
    for system in systems:
        place = 1
        for radix in system:
            small = sum(np.linalg.matrix_power(shift, j * place) for j in range(radix))
            expected = np.kron(np.ones((blocks[i], blocks[i + 1]), np.int64), small)
            np.testing.assert_array_equal(net.layers[i].mask(), expected)
            place *= radix
            i += 1


def test_the_kronecker_factors_are_in_the_papers_order():
    # kron(ones, W): inputs 0 and N' are alike, inputs 0 and 1 are not (kron(W, ones) the reverse).
    mask = radix_net([[2, 2]], [2, 3, 1]).layers[0].mask()
    np.testing.assert_array_equal(mask[0], mask[4])
    assert (mask[0] != mask[1]).any()
    np.testing.assert_array_equal(mask[0], [1, 1, 0, 0] * 3)
    np.testing.assert_array_equal(mask[3], [1, 0, 0, 1] * 3)


def test_place_values_count_from_one_in_each_list():
    net = radix_net([[2, 3], [3, 2], [2]])
    assert [(layer.radix, layer.place) for layer in net.layers] == [
        (2, 1), (3, 2), (3, 1), (2, 3), (2, 1),
    ]  # fmt: skip


LARGE, SMALL = radix_net([[10, 10]], [8, 30, 1]), radix_net([[10, 10]], [8, 3, 1])


def test_the_large_lenet_300_100_has_3000_hidden_neurons():
    assert LARGE.widths == (800, 3000, 100)
    assert [layer.connections for layer in LARGE.layers] == [240_000, 30_000]
    assert LARGE.densities == (0.1, 0.1)
    assert [layer.sparsity for layer in LARGE.layers] == [0.9, 0.9]
    assert LARGE.paths == 30 and (path_counts(LARGE.masks()) == 30).all()


def test_the_small_lenet_300_100_has_300_hidden_neurons():
    assert SMALL.widths == (800, 300, 100)
    assert [layer.connections for layer in SMALL.layers] == [24_000, 3_000]
    assert [layer.sparsity for layer in SMALL.layers] == [0.9, 0.9]
    assert SMALL.paths == 3 and (path_counts(SMALL.masks()) == 3).all()


@pytest.mark.parametrize(
    ("net", "first", "total", "full", "low", "between"),
    [(LARGE, 235_200, 265_200, 2250, 210, 60), (SMALL, 23_520, 26_520, 225, 21, 6)],
)
def test_trimmed_to_mnist(net, first, total, full, low, between):
    trimmed = net.trimmed_to(784)
    mask = trimmed.layers[0].mask()
    assert mask.shape == trimmed.layers[0].shape == (784, net.widths[1])
    assert mask.sum() == trimmed.layers[0].connections == first
    assert trimmed.connections == total
    assert trimmed.layers[0].sparsity == 0.9 and mask.mean() == pytest.approx(0.1)
    expected = {80: full, 70: low, **dict.fromkeys(range(71, 80), between)}
    fan_in, counts = np.unique(mask.sum(0), return_counts=True)
    assert dict(zip(fan_in, counts, strict=True)) == expected


def test_the_large_net_has_as_many_weights_as_the_dense_lenet_300_100():
    assert LARGE.trimmed_to(784).connections == 784 * 300 + 300 * 100


def test_trimming_removes_the_first_inputs():
    whole = LARGE.layers[0].mask()
    np.testing.assert_array_equal(LARGE.trimmed_to(784).layers[0].mask(), whole[16:])
    assert (whole[16:] != whole[:-16]).any()  # the other end would be another topology
    assert LARGE.trimmed_to(800) == LARGE


def test_figure_5_has_width_8_and_is_75_percent_sparse():
    net = radix_net([[2, 2, 2]])
    assert net.widths == (8, 8, 8, 8) and net.densities == (0.25, 0.25, 0.25)
    assert net.paths == 1


def test_a_last_list_may_have_a_smaller_product():
    net = radix_net([[2, 2, 2], [2, 2]])
    assert net.paths == 4 and (path_counts(net.masks()) == 4).all()


@pytest.mark.parametrize(
    ("radices", "blocks", "message"),
    [
        ([], None, "N: expected one or more lists"),
        ([2, 2], None, "N, list 1: expected a list of radices, received 2"),
        ([[]], None, r"N, list 1: expected a list of radices, received \[\]"),
        ([[2, 1]], None, "radix: expected a whole number >= 2, received 1"),
        ([[2, 2.0]], None, "radix: expected a whole number >= 2, received 2.0"),
        ([[2, True]], None, "radix: expected a whole number >= 2, received True"),
        ([[2, 6], [3, 3], [2]], None, "N, list 2: expected radices with the product 12, .* 9"),
        ([[2, 6], [2, 3], [2]], None, "N, list 2: expected radices with the product 12, .* 6"),
        ([[2, 6], [5]], None, "N, list 2: expected .* a divisor of 12, .* the product 5"),
        ([[2, 6], [4, 6]], None, "N, list 2: expected .* a divisor of 12, .* the product 24"),
        ([[10, 10]], [8, 30], "B: expected 3 widths in blocks for 2 radices, received 2"),
        ([[10, 10]], [8, 30, 1, 1], "B: expected 3 widths .* received 4"),
        ([[10, 10]], 8, "B: expected 3 widths"),
        ([[10, 10]], [8, 0, 1], r"B\[1\]: expected a whole number >= 1, received 0"),
        ([[10, 10]], [8, 2.5, 1], r"B\[1\]: expected a whole number >= 1, received 2.5"),
    ],
)
def test_a_broken_constraint_names_the_number_expected(radices, blocks, message):
    with pytest.raises(UserError, match=message):
        radix_net(radices, blocks)


def test_trimming_that_starves_a_neuron_is_refused():
    layer = radix_net([[2, 2]]).layers[0]  # output q hears inputs q and q - 1
    assert layer.trimmed_to(3).connections == 6
    with pytest.raises(UserError, match=r"at least 1 input for each of 4 .* 0 for 1 .* neuron 1"):
        layer.trimmed_to(2)
    with pytest.raises(UserError, match="expected 1 to 4 to trim to, received 5"):
        layer.trimmed_to(5)
    with pytest.raises(UserError, match="expected place value x radix to divide base 10"):
        RadixLayer(10, 3, 1, 1, 1)


def test_random_topologies_keep_an_exact_count_or_one_per_edge():
    exact = random_topology((784, 300), 0.9, seed=1)
    assert exact.sum() == 23_520
    edges = random_topology((784, 300), 0.9, seed=1, exact=False).astype(int)
    deviation = math.sqrt(784 * 300 * 0.9 * 0.1)
    assert edges.sum() != 23_520 and abs(edges.sum() - 23_520) < 5 * deviation
    np.testing.assert_array_equal(exact, random_topology((784, 300), 0.9, seed=1))
    assert (exact != random_topology((784, 300), 0.9, seed=2)).any()
    assert random_topology((5, 5, 6, 16), 0.5, seed=0).sum() == 1200


def test_a_random_topology_warns_of_neurons_without_input():
    with pytest.warns(StarvedNeurons, match=r"dense2: .* of 100 neurons have no input"):
        random_topology((300, 100), 0.99, seed=0, exact=False, name="dense2")
    with pytest.raises(UserError, match="dense2: expected at least 1 connection, received 0"):
        random_topology((2, 2), 0.999999, seed=0, exact=False, name="dense2")
    with pytest.raises(UserError, match=r"fraction in \[0, 1\)"):
        random_topology((2, 2), 1.0, seed=0)


def test_check_fed_names_the_neuron():
    mask = np.ones((3, 4), np.uint8)
    check_fed(mask, "fine")
    mask[:, 2] = 0
    with pytest.raises(UserError, match=r"mine: .* for 1 of them .* neuron 2"):
        check_fed(mask, "mine")


def test_a_convolution_repeats_the_mask_over_its_window():
    mask = SMALL.layers[1].mask()
    kernel = over_kernel(mask, (3, 5, 300, 100))
    assert kernel.shape == (3, 5, 300, 100) and kernel.flags.writeable
    assert (kernel == mask).all() and kernel.mean() == pytest.approx(0.1)
    with pytest.raises(UserError, match=r"expected a kernel of \(300, 100\) channels"):
        over_kernel(mask, (3, 5, 100, 300))
