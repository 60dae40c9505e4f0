"""How alike solutions are, in weights and in what they predict. Plain numpy.

Disagreement and ensembles follow Fort, Hu & Lakshminarayanan (2019). The map of solutions is
classical multidimensional scaling: distances that fit in a plane are recovered exactly, and the
result needs no random start.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Weights = Mapping[str, np.ndarray]


def vector(weights: Weights, names: Sequence[str]) -> np.ndarray:
    """Some weights, one after the other, float64."""
    return np.concatenate([np.ravel(weights[name]).astype(np.float64) for name in names])


def l2_distances(vectors: np.ndarray) -> np.ndarray:
    """float64 [k, d] to the Euclidean distances [k, k], zero on the diagonal."""
    return np.array([np.linalg.norm(vectors - one, axis=1) for one in vectors])


def cosine_distances(vectors: np.ndarray) -> np.ndarray:
    """1 - cos of the angle between each two of float64 [k, d]; a zero vector is at distance 1."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(lengths > 0, lengths, 1.0)
    result = 1.0 - np.clip(units @ units.T, -1.0, 1.0)
    np.fill_diagonal(result, 0.0)
    return result


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = np.exp(shifted - shifted.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def disagreement(probabilities: np.ndarray) -> np.ndarray:
    """[k, n, classes] to [k, k]: the fraction of images that two networks classify differently."""
    classes = probabilities.argmax(axis=-1)
    return np.array([(classes != one).mean(axis=1) for one in classes])


def divergence(probabilities: np.ndarray) -> np.ndarray:
    """[k, n, classes] to [k, k]: KL(row || column) in nats, the mean over images."""
    logs = np.log(np.maximum(probabilities, 1e-30))
    own = (probabilities * logs).sum(axis=-1).mean(axis=1)
    crossed = np.einsum("anc,bnc->ab", probabilities, logs) / probabilities.shape[1]
    result = np.maximum(own[:, None] - crossed, 0.0)
    np.fill_diagonal(result, 0.0)
    return result


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """[n, classes] against int [n]."""
    return float((probabilities.argmax(axis=-1) == labels).mean())


def ensembles(probabilities: np.ndarray, labels: np.ndarray) -> list[float]:
    """The accuracy of the average softmax of the first 1, 2, ..., k networks.

    Args:
        probabilities: [k, n, classes].
        labels: int [n].
    """
    sums = np.cumsum(probabilities, axis=0)
    return [accuracy(total, labels) for total in sums]


def pairs_mean(matrix: np.ndarray) -> float | None:
    """The mean over pairs of different items; None for a single item."""
    count = len(matrix)
    if count < 2:
        return None
    return float((matrix.sum() - np.trace(matrix)) / (count * (count - 1)))


def plane_map(distances: np.ndarray) -> np.ndarray:
    """Classical MDS: places in the plane whose distances come close to the given ones.

    Args:
        distances: [k, k], symmetric.

    Returns:
        float64 [k, 2], centred; the first axis holds most of the spread, and the entry of largest
        size in each column is positive, so that the picture does not flip.
    """
    count = len(distances)
    centre = np.eye(count) - 1.0 / count
    values, vectors = np.linalg.eigh(-0.5 * centre @ np.square(distances) @ centre)
    places = np.zeros((count, 2))
    for axis, number in enumerate(np.argsort(values)[::-1][:2]):
        column = vectors[:, number] * np.sqrt(max(values[number], 0.0))
        places[:, axis] = column * (1.0 if column[np.abs(column).argmax()] >= 0 else -1.0)
    return places


def stress(distances: np.ndarray, places: np.ndarray) -> float:
    """How much a map distorts: root of sum (d - d_map)^2 / sum d^2 (Kruskal's stress 1)."""
    total = float(np.square(distances).sum())
    return float(np.sqrt(np.square(distances - l2_distances(places)).sum() / total)) if total else 0
