"""The plane through three solutions. Plain numpy.

Every point of the plane is origin + x * u + y * v with orthonormal u, v, and so a weighted sum of
the three solutions: planes are walked by the same evaluation as lines and curves (Garipov et al.
2018, section 3.3 and Figure 1).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfsparse.errors import UserError
from tfsparse.landscape.curves import Weights, gram


@dataclass(frozen=True)
class Plane:
    """The plane of three weight vectors, in its own coordinates.

    The first solution is the origin, the second lies on the positive x axis, the third above it.
    Lengths are Euclidean distances in weight space.

    Args:
        places: [3, 2], where the three solutions lie.
    """

    places: np.ndarray

    def coefficients(self, xy: np.ndarray) -> np.ndarray:
        """The weights of the three solutions at places of the plane.

        Args:
            xy: [m, 2].

        Returns:
            float64 [m, 3]; rows sum to 1.
        """
        basis = self.places[1:] - self.places[0]
        inner = np.linalg.solve(basis.T, (np.asarray(xy, np.float64) - self.places[0]).T).T
        return np.column_stack([1.0 - inner.sum(axis=1), inner])

    def at(self, rows: np.ndarray) -> np.ndarray:
        """The places [m, 2] of weighted sums [m, 3] of the three solutions."""
        return np.asarray(rows, np.float64) @ self.places


def plane_through(points: Sequence[Weights], names: Sequence[str], labels: Sequence[str]) -> Plane:
    """The plane through three weight sets.

    Args:
        points: three weight sets.
        names: the weights that enter distances.
        labels: what the three are called in an error.

    Raises:
        UserError: two of the points agree, or the three lie on one line.
    """
    products = gram(points, names)

    def inner(a: int, b: int) -> float:
        """<p_a - p_0, p_b - p_0>."""
        return float(products[a, b] - products[a, 0] - products[0, b] + products[0, 0])

    length = np.sqrt(max(inner(1, 1), 0.0))
    scale = np.sqrt(max(inner(2, 2), 0.0))
    along = inner(1, 2) / length if length else 0.0
    height = np.sqrt(max(inner(2, 2) - along**2, 0.0))
    if length <= 1e-12 or height <= 1e-6 * max(length, scale):
        raise UserError(
            f"{', '.join(labels)}: expected three solutions that span a plane, these lie on one "
            "line; choose three that differ"
        )
    return Plane(np.array([[0.0, 0.0], [length, 0.0], [along, height]]))


def project(
    products: np.ndarray, rows: np.ndarray, plane: Plane, corners: np.ndarray
) -> np.ndarray:
    """Where weighted sums of further points fall when dropped onto the plane.

    Args:
        products: [k, k], inner products of all k control points (`gram`).
        rows: [m, k], the places as weighted sums of the control points.
        plane: through three places.
        corners: [3, k], these three places as weighted sums of the control points.

    Returns:
        float64 [m, 2].
    """
    sides = corners[1:] - corners[0]
    right = (rows - corners[0]) @ products @ sides.T
    inner = np.linalg.solve(sides @ products @ sides.T, right.T).T
    return inner @ (plane.places[1:] - plane.places[0]) + plane.places[0]


def grid(plane: Plane, points: int, margin: float) -> np.ndarray:
    """A grid over the three solutions with a margin.

    Args:
        plane: the plane.
        points: along each axis, >= 2.
        margin: what is added on each side, as a fraction of the extent.

    Returns:
        float64 [points * points, 2], x changing fastest.
    """
    low, high = plane.places.min(axis=0), plane.places.max(axis=0)
    extent = (high - low) * margin
    x, y = (np.linspace(low[i] - extent[i], high[i] + extent[i], points) for i in (0, 1))
    grid_x, grid_y = np.meshgrid(x, y)
    return np.column_stack([grid_x.ravel(), grid_y.ravel()])
