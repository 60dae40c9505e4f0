"""Lanczos, similarity and maps, on numbers one can check by hand."""

import math

import numpy as np
import pytest

from tfsparse.analysis.lanczos import lanczos, spectral_density
from tfsparse.analysis.similarity import (
    cosine_distances,
    disagreement,
    divergence,
    ensembles,
    l2_distances,
    pairs_mean,
    plane_map,
    softmax,
    stress,
    vector,
)


def symmetric(eigenvalues: np.ndarray, seed: int = 0) -> np.ndarray:
    """A symmetric matrix of a known spectrum."""
    size = len(eigenvalues)
    basis, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return basis @ np.diag(eigenvalues) @ basis.T


def test_lanczos_with_all_steps_finds_the_spectrum():
    known = np.array([-2.0, -0.5, 0.0, 1.0, 3.0, 10.0])
    matrix = symmetric(known)
    diagonal, beside = lanczos(lambda v: matrix @ v, np.arange(1.0, 7.0), 6)
    small = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    np.testing.assert_allclose(np.linalg.eigvalsh(small), known, atol=1e-8)


def test_lanczos_stops_where_nothing_new_is_to_be_found():
    diagonal, beside = lanczos(lambda v: 3.0 * v, np.ones(5), 4)
    assert diagonal.tolist() == pytest.approx([3.0]) and len(beside) == 0


def test_no_copies_of_converged_eigenvalues():
    """Without reorthogonalisation, 100 steps show the eigenvalue 1000 several times."""
    known = np.concatenate([np.linspace(0, 1, 199), [1000.0]])
    matrix = symmetric(known)
    density = spectral_density(lambda v: matrix @ v, 200, steps=100, vectors=1)
    assert (density.nodes > 500).sum() == 1
    assert density.nodes[-1] == pytest.approx(1000.0)


def test_density_of_a_known_spectrum():
    known = np.concatenate([np.full(300, -1.0), np.full(500, 0.0), np.full(200, 4.0)])
    matrix = symmetric(known)
    density = spectral_density(lambda v: matrix @ v, 1000, steps=10, vectors=8)
    assert density.weights.sum() == pytest.approx(1.0)
    assert density.share(-1.5, -0.5) == pytest.approx(0.3, abs=0.03)
    assert density.share(3.5, 4.5) == pytest.approx(0.2, abs=0.03)
    assert density.trace() == pytest.approx(500.0, rel=0.1)
    grid = np.linspace(-3, 6, 901)
    assert density.smooth(grid, 0.1).sum() * (grid[1] - grid[0]) == pytest.approx(1.0, abs=1e-3)


def test_density_depends_on_the_seed_alone():
    matrix = symmetric(np.linspace(-1, 1, 30))
    runs = [spectral_density(lambda v: matrix @ v, 30, steps=5, seed=s).nodes for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.allclose(runs[0], runs[2])


def test_distances_by_hand():
    points = np.array([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(l2_distances(points), [[0, 5, 3], [5, 0, 4], [3, 4, 0]])
    np.testing.assert_allclose(cosine_distances(points)[0], [0.0, 1.0, 1.0])
    assert cosine_distances(np.array([[1.0, 1.0], [-2.0, -2.0]]))[0, 1] == pytest.approx(2.0)
    weights = {"a/kernel": np.ones((2, 1)), "a/bias": np.zeros(1)}
    assert vector(weights, ["a/kernel"]).tolist() == [1.0, 1.0]


def test_softmax_of_large_logits():
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0])), [0.5, 0.5])


def test_disagreement_and_divergence_by_hand():
    one = np.array([[0.9, 0.1], [0.2, 0.8]])
    other = np.array([[0.6, 0.4], [0.7, 0.3]])
    both = np.array([one, other])
    np.testing.assert_allclose(disagreement(both), [[0.0, 0.5], [0.5, 0.0]])
    expected = 0.5 * (
        0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)
        + 0.2 * math.log(0.2 / 0.7) + 0.8 * math.log(0.8 / 0.3)
    )  # fmt: skip
    kl = divergence(both)
    assert kl[0, 1] == pytest.approx(expected) and kl[0, 0] == kl[1, 1] == 0.0
    assert kl[1, 0] != pytest.approx(kl[0, 1])


def test_divergence_of_certain_networks_is_finite():
    certain = np.array([[[1.0, 0.0]], [[0.0, 1.0]]])
    assert np.isfinite(divergence(certain)).all()


def test_three_half_right_networks_vote_right():
    labels = np.array([0, 0, 0])
    right, wrong = [0.9, 0.1], [0.4, 0.6]
    networks = np.array([[wrong, right, right], [right, wrong, right], [right, right, wrong]])
    assert ensembles(networks, labels) == [pytest.approx(2 / 3), 1.0, 1.0]


def test_pairs_mean():
    assert pairs_mean(np.array([[0.0, 2.0], [4.0, 0.0]])) == 3.0
    assert pairs_mean(np.zeros((1, 1))) is None


def test_a_map_of_points_in_a_plane_recovers_their_distances():
    points = np.random.default_rng(0).standard_normal((9, 2))
    turned = np.hstack([points, np.zeros((9, 5))]) @ symmetric_basis(7)
    distances = l2_distances(turned)
    places = plane_map(distances)
    np.testing.assert_allclose(l2_distances(places), distances, atol=1e-9)
    assert stress(distances, places) < 1e-9
    np.testing.assert_allclose(places.mean(axis=0), 0.0, atol=1e-9)
    assert places[:, 0].std() >= places[:, 1].std()


def symmetric_basis(size: int) -> np.ndarray:
    """A random rotation."""
    return np.linalg.qr(np.random.default_rng(1).standard_normal((size, size)))[0]


def test_a_map_of_a_regular_simplex_says_that_it_distorts():
    distances = 1.0 - np.eye(5)
    assert 0.1 < stress(distances, plane_map(distances)) < 0.9


def test_a_map_of_equal_points():
    assert not plane_map(np.zeros((3, 3))).any()
    assert stress(np.zeros((3, 3)), np.zeros((3, 2))) == 0
