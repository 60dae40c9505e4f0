"""The spectrum of a large symmetric matrix from its products with vectors alone. Plain numpy.

Stochastic Lanczos quadrature: from a random unit vector v, m Lanczos steps give a small
tridiagonal matrix whose eigenvalues (nodes) and squared first eigenvector components (weights)
are a Gauss quadrature of the spectral density seen by v; the mean over several v estimates
the density itself (Lin, Saad & Yang 2016; Ghorbani, Krishnan & Xiao 2019).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Density:
    """An estimated spectral density: point masses.

    Args:
        nodes: float64 [k], rising; the outermost are close to the outermost eigenvalues.
        weights: float64 [k], summing to 1: the share of eigenvalues each node stands for.
        dimensions: of the matrix.
    """

    nodes: np.ndarray
    weights: np.ndarray
    dimensions: int

    def share(self, low: float, high: float) -> float:
        """The estimated share of eigenvalues in [low, high)."""
        return float(self.weights[(self.nodes >= low) & (self.nodes < high)].sum())

    def trace(self) -> float:
        """The estimated sum of the eigenvalues."""
        return self.dimensions * float(self.nodes @ self.weights)

    def smooth(self, grid: np.ndarray, width: float) -> np.ndarray:
        """The density at places `grid`, each node a normal distribution of standard deviation
        `width`."""
        apart = (np.asarray(grid)[:, None] - self.nodes) / width
        bells = np.exp(-0.5 * apart**2) / (width * np.sqrt(2 * np.pi))
        return bells @ self.weights


def lanczos(product: Product, start: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal and off-diagonal of the tridiagonal matrix of at most `steps` steps.

    Every new vector is made orthogonal to all earlier ones, twice: without that, rounding makes
    copies of eigenvalues that were found already.

    Args:
        product: multiplies float64 [d] by the symmetric matrix.
        start: float64 [d], not zero.
        steps: at least 1; fewer are made where the matrix has fewer eigenvalues to show.

    Returns:
        float64 [m] and [m - 1].
    """
    vector = start / np.linalg.norm(start)
    basis, diagonal, beside = [vector], [], []
    for _ in range(min(steps, len(start))):
        image = np.asarray(product(basis[-1]), np.float64)
        diagonal.append(float(basis[-1] @ image))
        known = np.array(basis)
        for _ in range(2):
            image = image - known.T @ (known @ image)
        length = float(np.linalg.norm(image))
        if length <= 1e-9 * max(1e-30, np.abs(diagonal).max()) or len(basis) == len(start):
            break
        beside.append(length)
        basis.append(image / length)
    return np.array(diagonal), np.array(beside[: len(diagonal) - 1])


def spectral_density(
    product: Product,
    dimensions: int,
    *,
    steps: int = 80,
    vectors: int = 4,
    seed: int = 0,
    note: Callable[[int], None] = lambda done: None,
) -> Density:
    """Estimate a matrix's spectral density.

    Args:
        product: multiplies float64 [dimensions] by the symmetric matrix.
        dimensions: of the matrix.
        steps: Lanczos steps, one product each; the basis holds steps x dimensions numbers.
        vectors: random starts (signs) that are averaged.
        seed: of the starts.
        note: called after every start with how many are done.
    """
    generator = np.random.default_rng(seed)
    nodes, weights = [], []
    for number in range(vectors):
        start = generator.choice([-1.0, 1.0], dimensions)
        diagonal, beside = lanczos(product, start, steps)
        small = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, columns = np.linalg.eigh(small)
        nodes.append(values)
        weights.append(columns[0] ** 2 / vectors)
        note(number + 1)
    together = np.concatenate(nodes)
    order = np.argsort(together)
    return Density(together[order], np.concatenate(weights)[order], dimensions)
