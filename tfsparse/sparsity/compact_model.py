"""Swapping the layers of a model for those that store only their connections, and back."""

from collections.abc import Mapping

import numpy as np
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.models import kernel_shapes, maskable_layers
from tfsparse.sparsity.compact_conv import CompactConv2D, has_compact_twin
from tfsparse.sparsity.compact_dense import CompactDense
from tfsparse.sparsity.compact_layer import CompactLayer
from tfsparse.sparsity.layers import masked
from tfsparse.sparsity.masks import validate_masks
from tfsparse.sparsity.radix_dense import RadixDense
from tfsparse.sparsity.representation import Choice, choose_representation
from tfsparse.sparsity.topologies import RadixLayer

_RADIX_ON_CONVOLUTIONS = (
    "a RadiX-Net over channels, repeated over the window, is this project's choice, no paper's"
)


def choose(
    model: keras.Model,
    masks: Mapping[str, np.ndarray],
    radix: Mapping[str, RadixLayer],
    asked: str = "fastest",
) -> dict[str, Choice]:
    """How each masked layer is to be stored and computed.

    Args:
        model: of plain layers.
        masks: 0/1 arrays by layer name.
        radix: RadiX structures of some of the layers.
        asked: "fastest" by measured crossover, "masked", or "compact": as compact as can be.
    """
    chosen = {}
    for layer in maskable_layers(model):
        if layer.name not in masks:
            continue
        mask = masks[layer.name]
        structure = radix.get(layer.name) if mask.ndim == 2 else None
        able = mask.ndim == 2 or has_compact_twin(layer)
        choice = choose_representation(mask.shape, int(mask.sum()), radix=structure)
        if asked == "masked":
            choice = Choice("masked", "asked for by topology.representation")
        elif not able:
            choice = Choice("masked", "only convolutions of stride 1 and SAME padding can be other")
        elif asked == "compact":
            choice = Choice(
                "radix" if structure else "compact", "asked for by topology.representation"
            )
        if mask.ndim > 2 and layer.name in radix:
            choice = choice._replace(why=f"{choice.why}; {_RADIX_ON_CONVOLUTIONS}")
        chosen[layer.name] = choice
    return chosen


def compact(
    model: keras.Model,
    masks: Mapping[str, np.ndarray],
    radix: Mapping[str, RadixLayer] | None = None,
    choices: Mapping[str, Choice] | None = None,
) -> tuple[keras.Model, dict[str, Choice]]:
    """The twin of `model` in which each masked layer has its fastest representation.

    Args:
        model: a Sequential or functional model of plain layers; its weights are taken over.
        masks: 0/1 arrays by layer name; layers without one stay as they are.
        radix: RadiX structures by layer name; each must be that of the mask.
        choices: representations that are not to be chosen here.

    Returns:
        The twin, and for each masked layer its representation with the reason.

    Raises:
        UserError: a mask that does not fit, or a RadiX structure that is not its mask's.
    """
    radix, masks = dict(radix or {}), validate_masks(masks, kernel_shapes(model))
    for name, mask in masks.items():
        if mask.ndim == 2 and name in radix and not np.array_equal(radix[name].mask(), mask):
            raise UserError(f"layer {name!r}: the mask is not that of its RadiX structure")
    chosen = {**choose(model, masks, radix), **(choices or {})}
    source = masked(model, masks)

    def twin(layer: keras.layers.Layer) -> keras.layers.Layer:
        way = chosen.get(layer.name)
        if way is None or way.representation == "masked":
            return layer.__class__.from_config(layer.get_config())
        if way.representation == "radix":
            if layer.name not in radix:
                raise UserError(f"layer {layer.name!r}: expected a RadiX structure, received none")
            return RadixDense.from_dense(layer, radix[layer.name])
        kind = CompactConv2D if isinstance(layer, keras.layers.Conv2D) else CompactDense
        return kind.from_dense(layer)

    result = keras.models.clone_model(source, clone_function=twin)
    for layer in result.layers:
        if not isinstance(layer, CompactLayer):  # those came with their weights
            layer.set_weights(source.get_layer(layer.name).get_weights())
    return result, chosen


def expand(model: keras.Model) -> keras.Model:
    """The twin of `model` with masked layers in place of compact ones, same weights.

    From there `strip` leads to plain layers, and `masks_of` to the masks.
    """

    def twin(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, CompactLayer):
            return layer.to_masked_dense()
        return layer.__class__.from_config(layer.get_config())

    result = keras.models.clone_model(model, clone_function=twin)
    for layer in result.layers:
        source = model.get_layer(layer.name)
        if not isinstance(source, CompactLayer):
            layer.set_weights(source.get_weights())
    return result
