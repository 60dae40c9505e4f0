"""The spectrum of a run's Hessian, alone or before and after one mask update."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse import files
from tfsparse.analysis.hessian import exact_hessian
from tfsparse.analysis.kinds import Note, Summary, described, write_table
from tfsparse.analysis.lanczos import Density, spectral_density
from tfsparse.analysis.mask_update import update_masks
from tfsparse.analysis.products import Products
from tfsparse.analysis.solutions import gradient_flow, open_solution
from tfsparse.config.analysis import AnalysisConfig, HessianConfig
from tfsparse.models import set_weights
from tfsparse.runs import Run
from tfsparse.seeds import named_seed
from tfsparse.sparsity.masks import Masks
from tfsparse.training.gradient_flow import fixed_batch

NOISE = 1e-5
"""Eigenvalues closer to 0 than this, relative to the largest, count as zero: the products are
float32."""

Batch = tuple[tf.Tensor, tf.Tensor]


def analyze_hessian(config: AnalysisConfig, run: Run, note: Note) -> Summary:
    """eigenvalues.npz, histogram.csv; the summary holds the spectra's numbers."""
    section = config.hessian
    assert section is not None
    solution = open_solution(section.run)
    data = solution.data()
    batch = fixed_batch(data, section.examples, config.seed)
    model = solution.model(data)
    set_weights(model, solution.weights(section.at))
    masks = solution.masks(section.at)
    entering = masks if section.coordinates == "unmasked" else {}
    arrays: dict[str, np.ndarray] = {}
    rows: list[dict[str, Any]] = []

    def measure(moment: str, chosen: Masks) -> Summary:
        spectrum, found = _spectrum(model, chosen, batch, section, config.seed, note)
        arrays.update({f"{moment}_{key}": value for key, value in spectrum.items()})
        rows.extend(_histogram(spectrum, section.bins, moment))
        return {**found, "gradient_norm": gradient_flow(model, chosen, *batch)["norm"]}

    result: Summary = {
        **described(solution), "at": section.at, "spectrum_method": section.method,
        "coordinates": section.coordinates, "n": int(batch[1].shape[0]),
    }  # fmt: skip
    if section.update is None:
        result["spectrum"] = measure("spectrum", entering)
    else:
        before = measure("before", masks)
        growing = fixed_batch(
            data, solution.config.train.batch_size, named_seed(config.seed, "growth_batch")
        )
        after_masks = update_masks(model, masks, section.update, *growing, config.seed)
        after = measure("after", after_masks)
        result |= {
            "update": section.update.algorithm, "before": before, "after": after,
            "change": {
                key: after[key] - before[key]
                for key in ("negative", "negative_share", "negative_sum", "smallest", "largest",
                            "gradient_norm")
            },
        }  # fmt: skip
    files.write_npz(run.path / "eigenvalues.npz", arrays)
    write_table(run, "histogram.csv", rows)
    return result


def _spectrum(
    model: keras.Model, masks: Masks, batch: Batch, section: HessianConfig, seed: int, note: Note
) -> tuple[dict[str, np.ndarray], Summary]:
    """The spectrum as arrays, and its numbers."""
    if section.method == "exact":
        hessian = exact_hessian(model, masks, *batch, limit=section.limit)
        values = hessian.eigenvalues()
        edge = NOISE * float(np.abs(values).max(initial=0.0))
        negative = values[values < -edge]
        return {"values": values}, {
            "dimensions": len(values),
            "smallest": float(values[0]),
            "largest": float(values[-1]),
            "trace": float(values.sum()),
            "negative": len(negative),
            "negative_share": len(negative) / len(values),
            "negative_sum": float(negative.sum()),
            "zero": int((np.abs(values) <= edge).sum()),
            "asymmetry": hessian.asymmetry,
            "product_error": hessian.product_error,
        }
    products = Products(model, masks, *batch)
    total = section.lanczos_vectors
    density = spectral_density(
        products, products.dimensions, steps=section.lanczos_steps, vectors=total,
        seed=named_seed(seed, "lanczos"), note=lambda done: note(f"Lanczos: {done} of {total}"),
    )  # fmt: skip
    return {"nodes": density.nodes, "weights": density.weights}, _density_numbers(density)


def _density_numbers(density: Density) -> Summary:
    edge = NOISE * float(np.abs(density.nodes).max())
    below = density.nodes < -edge
    share = float(density.weights[below].sum())
    return {
        "dimensions": density.dimensions,
        "smallest": float(density.nodes[0]),
        "largest": float(density.nodes[-1]),
        "trace": density.trace(),
        "negative": round(share * density.dimensions),
        "negative_share": share,
        "negative_sum": density.dimensions * float(density.nodes[below] @ density.weights[below]),
        "zero": None,
        "asymmetry": None,
        "product_error": None,
    }


def _histogram(spectrum: dict[str, np.ndarray], bins: int, moment: str) -> list[dict[str, Any]]:
    """low, high and the share of eigenvalues of bins between the smallest and the largest."""
    values = spectrum.get("values", spectrum.get("nodes"))
    assert values is not None
    weights = spectrum.get("weights", np.full(len(values), 1 / len(values)))
    shares, edges = np.histogram(values, bins=bins, weights=weights)
    return [
        {"moment": moment, "low": float(low), "high": float(high), "share": float(share)}
        for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True)
    ]
