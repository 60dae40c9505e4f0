"""Removing neurons and channels that no input reaches or that nothing reads.

A channel goes when every kernel that reads it either ignores it or can take its constant value
into the bias. Removing one makes others superfluous, so this repeats until nothing changes.
"""

from dataclasses import dataclass, field

import numpy as np
import tf_keras as keras

from tfsparse.deploy.channels import Channels, Space, channels_of
from tfsparse.deploy.constants import constant_channels
from tfsparse.models import get_weights, set_weights

_layers = keras.layers


@dataclass
class Shrunk:
    """A smaller model with the same outputs."""

    model: keras.Model
    removed: dict[str, int]
    """Layer name -> neurons or channels it lost."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Layer name -> why its superfluous channels stayed."""
    parameters_before: int = 0
    parameters_after: int = 0


def shrink(model: keras.Model) -> Shrunk:
    """The model without its superfluous neurons and channels; `model` is not changed.

    Outputs agree up to the rounding of float32 sums. At least one channel of each layer stays.

    Raises:
        UserError: a subclassed model, or a layer that is used more than once.
    """
    channels = channels_of(model)
    weights = get_weights(model)
    for layer in model.layers:
        if type(layer) in (_layers.Dense, _layers.Conv2D):
            size = int(layer.kernel.shape[-1])
            weights.setdefault(f"{layer.name}/bias", np.zeros(size, np.float32))
    dead = [np.zeros(space.channels, bool) for space in channels.spaces]
    skipped: dict[str, str] = {}
    while _sweep(model, channels, weights, dead, skipped):
        pass
    result = _rebuild(model, channels, weights, dead)
    removed = {
        writer: int(gone.sum())
        for space, gone in zip(channels.spaces, dead, strict=True)
        for writer in sorted(space.writers)
        if gone.any()
    }
    return Shrunk(result, removed, skipped, model.count_params(), result.count_params())


def _sweep(
    model: keras.Model,
    channels: Channels,
    weights: dict[str, np.ndarray],
    dead: list[np.ndarray],
    skipped: dict[str, str],
) -> bool:
    """Find superfluous channels, take their constants onward and cut them off."""
    skipped.clear()
    constants = constant_channels(model, channels, weights)
    changed = False
    for number, space in enumerate(channels.spaces):
        if not space.channels or not space.writers:
            continue
        foldable, bordered = _judge(model, channels, space, weights, constants)
        gone = foldable & ~dead[number]
        if space.pinned:
            if gone.any() and space.readers:
                _note(skipped, space, f"{gone.sum()} superfluous channels stay: {space.pinned}")
            continue
        if bordered.any():
            reason = f"{bordered.sum()} constant channels stay: zero padding changes their borders"
            _note(skipped, space, reason)
        if (dead[number] | gone).all():  # a layer needs at least one channel
            gone[np.flatnonzero(~dead[number])[:1]] = False
        if not gone.any():
            continue
        for reader in space.readers:
            _fold(channels, reader, gone, weights, constants)
        for writer in space.writers:
            weights[f"{writer}/kernel"][..., gone] = 0
            weights[f"{writer}/bias"][gone] = 0
        dead[number] |= gone
        changed = True
    return changed


def _judge(
    model: keras.Model,
    channels: Channels,
    space: Space,
    weights: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Channels that each reader ignores or can fold, and those only a border keeps from that."""
    foldable = np.ones(space.channels, bool)
    constant_only = np.ones(space.channels, bool)
    for reader in space.readers:
        unused = ~_rows(channels, reader, weights).any(axis=(0, 2))
        value = constants[channels.producers[reader][0]]
        layer = model.get_layer(reader)
        padded = getattr(layer, "padding", "valid") == "same" and layer.kernel_size != (1, 1)
        constant = ~np.isnan(value)
        foldable &= unused | (value == 0 if padded else constant)
        constant_only &= unused | constant
    return foldable, constant_only & ~foldable


def _rows(channels: Channels, reader: str, weights: dict[str, np.ndarray]) -> np.ndarray:
    """A view of a reader's kernel as [positions, channels, outputs]."""
    kernel = weights[f"{reader}/kernel"]
    source = channels.producers[reader][0]
    size = channels.space_of(source).channels
    return kernel.reshape(-1, size, kernel.shape[-1])


def _fold(
    channels: Channels,
    reader: str,
    gone: np.ndarray,
    weights: dict[str, np.ndarray],
    constants: dict[str, np.ndarray],
) -> None:
    """Add what constant channels contribute to a reader's bias, and cut them off."""
    rows = _rows(channels, reader, weights)
    value = np.nan_to_num(constants[channels.producers[reader][0]])[gone]
    moved = np.einsum("pco,c->o", rows[:, gone].astype(np.float64), value)
    bias = weights[f"{reader}/bias"]
    weights[f"{reader}/bias"] = (bias + moved).astype(bias.dtype)
    rows[:, gone] = 0


def _note(skipped: dict[str, str], space: Space, reason: str) -> None:
    for writer in space.writers:
        skipped[writer] = reason


def _rebuild(
    model: keras.Model,
    channels: Channels,
    weights: dict[str, np.ndarray],
    dead: list[np.ndarray],
) -> keras.Model:
    """A copy of the model whose layers have only the living channels."""

    def alive(name: str) -> np.ndarray:
        return ~dead[channels.of_output[name]]

    def smaller(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if type(layer) in (_layers.Dense, _layers.Conv2D):
            config["units" if type(layer) is _layers.Dense else "filters"] = int(
                alive(layer.name).sum()
            )
            config["use_bias"] = layer.use_bias or bool(weights[f"{layer.name}/bias"].any())
        return layer.__class__.from_config(config)

    result = keras.models.clone_model(model, clone_function=smaller)
    values = {}
    for name, value in weights.items():
        layer_name, _, weight = name.rpartition("/")
        layer = model.get_layer(layer_name.split("/")[0])
        kind = type(layer)
        if kind in (_layers.Dense, _layers.Conv2D):
            if weight == "kernel":
                source = channels.producers[layer.name][0]
                rows = _rows(channels, layer.name, weights)[:, alive(source)]
                living = rows[..., alive(layer.name)]
                shape = (*value.shape[:-2], -1, living.shape[-1])
                values[name] = living.reshape(shape)
            elif result.get_layer(layer.name).use_bias:
                values[name] = value[alive(layer.name)]
        elif kind is _layers.DepthwiseConv2D and weight == "depthwise_kernel":
            values[name] = value[:, :, alive(layer.name)]
        elif kind in (_layers.BatchNormalization, _layers.DepthwiseConv2D):
            values[name] = value[alive(layer.name)]
        else:
            values[name] = value
    set_weights(result, values)
    return result
