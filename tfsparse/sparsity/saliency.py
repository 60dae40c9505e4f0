"""Pruning at initialisation: SNIP and GraSP score a fresh network once and cut it globally.

Scores are numpy arrays of the kernels' shapes, by layer; the larger stay.
"""

from collections.abc import Mapping

import numpy as np

from tfsparse.sparsity.masks import Masks, kept_count, top_k_masks


def snip_score(weights: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """|w * dL/dw|: how much the loss feels a connection (Lee et al. 2019, equation 6, unscaled)."""
    return np.abs(np.asarray(weights, np.float64) * np.asarray(gradient, np.float64))


def grasp_score(weights: np.ndarray, hessian_gradient: np.ndarray) -> np.ndarray:
    """w * (H g): how much gradient flow is lost with a connection (Wang et al. 2020).

    The paper's S = -w * (H g) is the change of the gradient flow when w is removed, and the
    largest S are removed. This is -S, so that here too the larger stay.

    Args:
        weights: the kernel.
        hessian_gradient: the kernel's part of H g, with H and g the Hessian and the gradient
            of the loss over all weights.
    """
    return np.asarray(weights, np.float64) * np.asarray(hessian_gradient, np.float64)


def masks_from_scores(scores: Mapping[str, np.ndarray], sparsity: float) -> Masks:
    """One global cut: the `kept_count` largest scores of all layers stay.

    A layer may be left without a connection; `masks.empty_layers` names it.

    Raises:
        UserError: a score is NaN, or the sparsity is outside [0, 1).
    """
    size = sum(int(np.size(score)) for score in scores.values())
    return top_k_masks(scores, kept_count(size, sparsity))
