"""What a finished run says of itself: counts, sparsities, hashes."""

from typing import Any

import numpy as np
import tf_keras as keras

from tfsparse.config import RunConfig
from tfsparse.environment import now
from tfsparse.errors import RunFailed
from tfsparse.models import get_weights, kernel_shapes, maskable_layers
from tfsparse.runs import Run, weights_hash
from tfsparse.sparsity.mask_facts import mask_hash
from tfsparse.sparsity.subject import Subject


def layer_table(subject: Subject) -> dict[str, dict[str, Any]]:
    """Shape, size, kept weights, sparsity and positions of each maskable kernel, by layer name.

    Kept is what the mask keeps; a dense layer keeps all. A kernel is applied at `positions` places
    of an image, 1 for a dense layer: kept x positions are the layer's multiplications per image.
    """
    masks, shapes = subject.mask_arrays(), kernel_shapes(subject.model)
    table = {}
    for layer in maskable_layers(subject.model):
        name, shape = layer.name, shapes[layer.name]
        size = int(np.prod(shape))
        kept = int(np.count_nonzero(masks[name])) if name in masks else size
        table[name] = {
            "shape": shape,
            "size": size,
            "nonzero": kept,
            "sparsity": 1 - kept / size,
            "positions": positions(layer),
        }
    return table


def positions(layer: keras.layers.Layer) -> int | None:
    """At how many places of an image the layer's kernel is applied; None where sizes are open."""
    shape = getattr(layer, "output_shape", None)  # a layer used twice has no single one
    if not isinstance(shape, tuple) or None in shape[1:-1]:
        return None
    return int(np.prod(shape[1:-1]))


def check_target(subject: Subject, weights: dict[str, np.ndarray], origin: str) -> None:
    """Raise RunFailed unless every masked layer keeps just what it should, the rest exactly 0."""
    masks = subject.mask_arrays()
    for name, kept in subject.target.items():
        mask = masks[name]
        found = int(np.count_nonzero(mask))
        if found != kept:
            raise RunFailed(
                f"{origin}: layer {name!r} keeps {found} of {mask.size} weights, expected {kept} "
                f"(sparsity {1 - found / mask.size:.6g} instead of {1 - kept / mask.size:.6g})"
            )
        outside = int(np.count_nonzero(weights[f"{name}/kernel"] * (1 - mask)))
        if outside:
            raise RunFailed(
                f"{origin}: layer {name!r} has {outside} weights other than 0 under its mask"
            )


def summarise(
    config: RunConfig,
    run: Run,
    subject: Subject,
    *,
    steps: int,
    seconds: float,
    step_seconds: float,
    results: dict[str, Any],
    sources: dict[str, Any],
) -> dict[str, Any]:
    """The contents of summary.json.

    Args:
        config: of the run.
        run: whose weights are on disk.
        subject: at its end.
        steps: optimizer steps taken.
        seconds: of training, with evaluations, checkpoints and mask updates.
        step_seconds: of the steps alone; the rate is theirs.
        results: test, validation and train figures and the gradient's mean.
        sources: what was taken from which run.
    """
    layers = layer_table(subject)
    size = sum(layer["size"] for layer in layers.values())
    kept = sum(layer["nonzero"] for layer in layers.values())
    stored = {layer.kernel.ref() for layer in maskable_layers(subject.model)}
    others = [w for w in subject.model.trainable_weights if w.ref() not in stored]
    total = size + int(sum(np.prod(weight.shape) for weight in others))
    masks = subject.mask_arrays()
    chosen = {name: choice._asdict() for name, choice in subject.representations.items()}
    return {
        "kind": "training",
        "name": config.name,
        "method": config.method,
        "model": config.model.name,
        "data": config.data.name,
        "seed": config.seed,
        "steps": steps,
        "batch_size": config.train.batch_size,
        "nominal_sparsity": subject.nominal_sparsity,
        "sparsity": 1 - kept / size if size else 0.0,
        "layers": layers,
        **({"representations": chosen} if chosen else {}),
        "parameters": {"total": total, "kept": total - size + kept},
        **results,
        "weights_hash": {
            "initial": weights_hash(run.initial_weights()),
            "final": weights_hash(get_weights(subject.model)),
        },
        "mask_hash": mask_hash(masks) if masks else None,
        "sources": sources,
        "seconds": seconds,
        "images_per_second": steps * config.train.batch_size / max(step_seconds, 1e-9),
        "finished_at": now(),
    }
