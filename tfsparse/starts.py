"""The weights a run starts from: its own, drawn anew for its masks, or another run's."""

from typing import Any

import numpy as np
import tf_keras as keras

from tfsparse.config import InitConfig, RunConfig
from tfsparse.errors import UserError
from tfsparse.models import get_weights, kernel_shapes, set_weights
from tfsparse.sources import Source
from tfsparse.sparsity.initial_kernels import scale_against_dense, sparse_initial_weights
from tfsparse.sparsity.masks import Masks


def initialise(model: keras.Model, init: InitConfig, masks: Masks, seed: int) -> None:
    """Draw the kernels anew as the init section says; layers without a mask count as full."""
    if init.kind == "default":
        return
    shapes = kernel_shapes(model)
    full = {name: masks.get(name, np.ones(shape, np.uint8)) for name, shape in shapes.items()}
    weights = sparse_initial_weights(
        get_weights(model),
        full,
        seed=seed,
        kind=init.kind,
        mode=init.mode,
        distribution=init.distribution,
        scale=init.scale,
    )
    set_weights(model, weights)


def rescale(model: keras.Model, init: InitConfig, masks: Masks) -> None:
    """Give a ticket's kernels the spread the init section asks for; signs and ratios within a
    neuron stay the ticket's."""
    if init.kind in ("default", "dense"):
        return
    weights = get_weights(model)
    for name, mask in masks.items():
        key = f"{name}/kernel"
        weights[key] = weights[key] * scale_against_dense(
            mask, kind=init.kind, mode=init.mode, scale=init.scale
        )
    set_weights(model, weights)


def other_than(source: Source, config: RunConfig, model: keras.Model) -> dict[str, Any]:
    """Check that `model` does not start from the source's initial kernels.

    Returns:
        What the summary records of the source.

    Raises:
        UserError: a kernel is the same.
    """
    own, theirs = get_weights(model), source.weights_at(0)
    shared = [name for name in own if name.endswith("/kernel") and name in theirs]
    if any(np.array_equal(own[name], theirs[name]) for name in shared):
        raise UserError(
            f"method {config.method!r}: expected another initialisation than that of "
            f"{source.run.path}; choose another seed"
        )
    return source.record()


def from_end(source: Source, model: keras.Model) -> dict[str, Any]:
    """Give `model` the source's last weights; what the summary records."""
    set_weights(model, source.final_weights())
    return source.record(weights="final")


def from_ticket(source: Source, config: RunConfig, model: keras.Model) -> dict[str, Any]:
    """Give `model` the weights of the source's rewind step; what the summary records."""
    assert config.source is not None  # the caller has a source
    origin = source
    if config.source.weights_run is not None:
        origin = Source(config.source.weights_run.format(seed=config.seed), config)
    step = config.source.rewind_step
    set_weights(model, origin.weights_at(step))
    record = source.record(weights="rewound", rewind_step=step)
    return {**record, "weights_run": str(origin.run.path)}


def zero_outside(model: keras.Model, masks: Masks) -> None:
    """Multiply the initial kernels by masks that play no further part."""
    weights = get_weights(model)
    for name, mask in masks.items():
        weights[f"{name}/kernel"] = weights[f"{name}/kernel"] * mask
    set_weights(model, weights)
