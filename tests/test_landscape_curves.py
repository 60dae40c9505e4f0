"""Paths as weighted sums of control points; verdicts; planes. Numbers one can check by hand."""

import doctest

import numpy as np
import pytest
from scipy import stats
from scipy.interpolate import BPoly

from tfsparse.config.landscape import RangeConfig
from tfsparse.errors import UserError
from tfsparse.landscape import curves, plane, results, verdicts
from tfsparse.landscape.curves import bernstein, chain, gram, line, mix, on_the_line, squared_norms
from tfsparse.landscape.plane import grid, plane_through, project
from tfsparse.landscape.verdicts import mean_covariance, plateau, verdict

T = np.linspace(-0.2, 1.2, 71)


@pytest.mark.parametrize("module", [curves, verdicts, results])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


# ---- curves ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", range(1, 8))
def test_bernstein_weights_sum_to_one_and_agree_with_scipy(order):
    np.testing.assert_allclose(bernstein(order, T).sum(axis=1), 1.0, rtol=1e-12)
    inside = T[(T >= 0) & (T <= 1)]
    expected = stats.binom.pmf(np.arange(order + 1)[None], order, inside[:, None])
    np.testing.assert_allclose(bernstein(order, inside), expected, rtol=1e-9, atol=1e-15)
    for i in range(order + 1):
        polynomial = BPoly(np.eye(order + 1)[i][:, None], [0, 1], extrapolate=True)
        np.testing.assert_allclose(bernstein(order, T)[:, i], polynomial(T), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("matrix", [bernstein(1, [0, 1]), bernstein(3, [0, 1]), chain(3, [0, 1])])
def test_both_ends_are_one_hot(matrix):
    last = matrix.shape[1] - 1
    assert np.flatnonzero(matrix[0]).tolist() == [0]
    assert np.flatnonzero(matrix[1]).tolist() == [last]
    assert matrix[0, 0] == matrix[1, last] == 1.0


def test_the_line_runs_from_start_to_end():
    start, end = {"a": np.array([1.0, 2.0])}, {"a": np.array([3.0, 6.0])}
    at = [mix((start, end), row)["a"].tolist() for row in line([0.0, 0.25, 1.0, 1.5])]
    assert at == [[1, 2], [1.5, 3], [3, 6], [4, 8]]


def test_ends_of_a_mix_are_the_points_bit_by_bit():
    rng = np.random.default_rng(0)
    points = [{"w": rng.normal(size=9).astype(np.float32) * s} for s in (1, 1e-30, 1e30)]
    points[0]["w"][:2] = -0.0
    for t, point in ((0.0, points[0]), (1.0, points[2])):
        found = mix(points, bernstein(2, [t])[0])["w"]
        assert found.tobytes() == point["w"].tobytes() and found is not point["w"]


def test_a_chain_passes_through_its_points_and_extends_its_ends():
    points = [{"w": np.array([v])} for v in (0.0, 10.0, 4.0)]
    at = [float(mix(points, row)["w"][0]) for row in chain(2, [-0.1, 0.25, 0.5, 0.75, 1.1])]
    np.testing.assert_allclose(at, [-2, 5, 10, 7, 2.8])


def test_a_curve_starts_on_the_line():
    first, last = {"w": np.array([0.0])}, {"w": np.array([3.0])}
    inner = on_the_line(first, last, 3)
    assert [float(point["w"][0]) for point in inner] == [1.0, 2.0]
    rows = bernstein(3, T)
    on_curve = [float(mix([first, *inner, last], row)["w"][0]) for row in rows]
    np.testing.assert_allclose(on_curve, 3 * T, atol=1e-12)


def test_norms_are_those_of_the_interpolated_weights():
    rng = np.random.default_rng(0)
    points = [{"a": rng.normal(size=(3, 2)), "b": rng.normal(size=4)} for _ in range(3)]
    rows = bernstein(2, T)
    expected = [float((mix(points, row)["a"] ** 2).sum()) for row in rows]
    np.testing.assert_allclose(squared_norms(rows, gram(points, ["a"])), expected, rtol=1e-12)
    opposite = [{"w": points[0]["a"]}, {"w": -points[0]["a"]}]
    assert squared_norms(line([0.5]), gram(opposite, ["w"])).tolist() == [0.0]


# ---- verdicts ----------------------------------------------------------------------------


def test_covariance_is_that_of_means():
    losses = np.random.default_rng(0).normal(size=(4, 50))
    np.testing.assert_allclose(mean_covariance(losses), np.cov(losses) / 50, rtol=1e-12)
    assert mean_covariance(np.ones((2, 1))).tolist() == [[0, 0], [0, 0]]


def test_a_verdict_by_hand():
    t = np.array([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
    loss = np.array([99.0, 2.0, 1.0, 4.0, 3.0, 1.0, 99.0])
    covariance = np.diag([0.0, 0.01, 0.04, 0.09, 0.0, 0.0, 0.0])
    covariance[2, 3] = covariance[3, 2] = 0.02
    found = verdict(t, loss, covariance, towards=1)
    assert (found["max_rise"], found["max_rise_t"], found["monotone"]) == (3.0, 0.5, False)
    assert found["max_rise_se"] == pytest.approx(np.sqrt(0.04 + 0.09 - 2 * 0.02))
    assert (found["climb"], found["climb_t"]) == (3.0, 0.5)
    assert found["climb_se"] == found["max_rise_se"]
    assert (found["peak"], found["peak_se"]) == (4.0, pytest.approx(0.3))
    assert (found["barrier"], found["barrier_t"], found["has_barrier"]) == (2.0, 0.5, True)
    assert found["barrier_se"] == pytest.approx(np.sqrt(0.09 + 0.01))
    assert found["integral"] == pytest.approx(0.25 * (1.0 + 1 + 4 + 3 + 0.5))
    assert found["integral_se"] == pytest.approx(0.25 * np.sqrt(0.01 / 4 + 0.04 + 0.09 + 2 * 0.02))
    assert found["plateau"] == pytest.approx(0.025)
    assert found["half_drop"] == pytest.approx(0.125)
    assert (found["drop"], found["drop_se"]) == (1.0, pytest.approx(0.1))
    back = verdict(t, loss, covariance, towards=0)
    assert (back["max_rise"], back["max_rise_t"]) == (2.0, 0.75)
    assert (back["climb"], back["climb_t"]) == (3.0, 0.5)  # 1, 3, 4: two neighbours' rises
    assert back["climb_se"] == pytest.approx(0.3)
    assert back["plateau"] is back["half_drop"] is None and back["integral"] == found["integral"]


def test_a_climb_is_what_it_is_however_fine_the_points():
    for count in (5, 41, 401):
        t = np.linspace(0, 1, count)
        loss = 1 - t + np.clip(t - 0.25, 0, 0.5) * 2  # 1, 0.75 at 0.25, 1.25 at 0.75, 1
        covariance = np.diag(np.linspace(1, 2, count))
        found = verdict(t, loss, covariance, towards=1)
        assert (found["climb"], found["climb_t"]) == (pytest.approx(0.5), 0.75)
        assert found["climb_se"] == pytest.approx(np.sqrt(1.25 + 1.75))
    assert found["max_rise"] < 0.01


def test_a_climb_starts_before_it_ends():
    t = np.linspace(0, 1, 4)
    found = verdict(t, np.array([5.0, 1.0, 1.5, 0.0]), np.zeros((4, 4)), towards=1)
    assert found["climb"] == 0.5
    falling = verdict(t, np.array([3.0, 2.0, 1.0, 0.0]), np.eye(4), towards=1)
    assert (falling["climb"], falling["climb_se"]) == (0.0, 0.0)


def test_noise_is_no_rise_and_a_shared_error_hides_none():
    t = np.linspace(0, 1, 11)
    loss = 1 - t
    loss[5] += 0.12  # a rise of 0.02
    variance = 0.01**2
    apart, together = np.eye(11) * variance, np.full((11, 11), variance)
    assert verdict(t, loss, apart, towards=1)["monotone"]
    assert not verdict(t, loss, together, towards=1)["monotone"]


def test_falling_lines_have_no_barrier():
    t = np.linspace(0, 1, 5)
    found = verdict(t, 3 - t, np.zeros((5, 5)), towards=1)
    assert found["monotone"] and found["max_rise"] == pytest.approx(-0.25)
    assert found["barrier"] == 0 and not found["has_barrier"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_gives_no_verdict(bad):
    t = np.linspace(0, 1, 3)
    found = verdict(t, np.array([1.0, bad, 0.0]), np.zeros((3, 3)), towards=1)
    assert set(found.values()) == {None}
    assert verdict(t + 5, np.ones(3), np.zeros((3, 3)), towards=1)["barrier"] is None


def test_plateau_by_hand():
    t = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert plateau(t, np.array([1.0, 1.1, 1.0, 0.8, 0.3, 0.0])) == pytest.approx(0.5)
    assert plateau(t, np.ones(6)) is None


# ---- planes ------------------------------------------------------------------------------


def corners():
    rng = np.random.default_rng(3)
    return [{"w": rng.normal(size=(4, 3)), "b": rng.normal(size=2)} for _ in range(3)]


def flat(weights):
    return np.concatenate([weights["w"].ravel(), weights["b"]])


def test_a_plane_keeps_distances():
    points = corners()
    found = plane_through(points, ["w", "b"], "abc")
    for i in range(3):
        for j in range(3):
            expected = np.linalg.norm(flat(points[i]) - flat(points[j]))
            assert np.linalg.norm(found.places[i] - found.places[j]) == pytest.approx(expected)
    assert found.places[0].tolist() == [0, 0] and found.places[1, 1] == 0
    assert found.places[2, 1] > 0


def test_places_of_a_plane_are_weighted_sums():
    points = corners()
    found = plane_through(points, ["w", "b"], "abc")
    np.testing.assert_allclose(found.coefficients(found.places), np.eye(3), atol=1e-12)
    places = grid(found, 4, 0.5)
    rows = found.coefficients(places)
    np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_allclose(found.at(rows), places, atol=1e-12)
    vectors = np.array([flat(mix(points, row)) for row in rows])
    for i, j in ((0, 5), (3, 12), (7, 8)):
        expected = np.linalg.norm(places[i] - places[j])
        assert np.linalg.norm(vectors[i] - vectors[j]) == pytest.approx(expected)
    extent = np.ptp(found.places, axis=0)
    np.testing.assert_allclose(np.ptp(places, axis=0), 2 * extent)


def test_projection_finds_points_of_the_plane_and_drops_what_is_beside_it():
    points = corners()
    found = plane_through(points, ["w", "b"], "abc")
    beside = {"w": points[0]["w"], "b": points[0]["b"] + 5}
    every = [*points, beside]
    products = gram(every, ["w", "b"])
    inside = np.array([[0.2, 0.3, 0.5, 0.0]])
    at = project(products, inside, found, np.eye(3, 4))
    np.testing.assert_allclose(at, found.at(inside[:, :3]), atol=1e-9)
    dropped = project(products, np.array([[0, 0, 0, 1.0]]), found, np.eye(3, 4))[0]
    away = flat(beside) - flat(mix(points, found.coefficients(dropped[None])[0]))
    for other in points[1:]:
        assert abs(away @ (flat(other) - flat(points[0]))) < 1e-9


def test_three_points_on_a_line_span_no_plane():
    a, b, _ = corners()
    middle = mix((a, b), np.array([0.5, 0.5]))
    with pytest.raises(UserError, match="one, two, three: expected three solutions that span"):
        plane_through([a, b, middle], ["w", "b"], ["one", "two", "three"])
    with pytest.raises(UserError, match="span a plane"):
        plane_through([a, a, b], ["w", "b"], ["one", "two", "three"])


def test_modules_are_free_of_tensorflow():
    for module in (curves, verdicts, plane):
        assert not hasattr(module, "tf")


@pytest.mark.parametrize("points", [15, 29, 71, 141])
def test_a_range_of_t_holds_short_decimals_and_a_plain_zero(points):
    values = RangeConfig(first=-0.2, last=1.2, points=points).values()
    assert len(values) == points and (values[0], values[-1]) == (-0.2, 1.2)
    assert {"0.0", "0.5", "1.0"} <= {repr(value) for value in values}
