"""From a config to the masks of a model's layers: which topology goes where."""

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from tfsparse.config.topology import LayerTopology, TopologyConfig
from tfsparse.errors import UserError
from tfsparse.seeds import named_seed
from tfsparse.sparsity.mask_files import load_masks
from tfsparse.sparsity.topologies import (
    RadixLayer,
    check_fed,
    over_kernel,
    radix_net,
    random_topology,
)

Shapes = Mapping[str, Sequence[int]]


def topology_masks(shapes: Shapes, config: TopologyConfig, seed: int) -> dict[str, np.ndarray]:
    """The mask of every layer that `config` names: uint8 of the kernel's shape.

    Args:
        shapes: kernel shapes of the model's maskable layers, from input to output.
        config: which layers get which topology.
        seed: the run's seed; each random layer draws from its own named seed.

    Raises:
        UserError: an unknown layer, one named twice, widths that do not fit, an unreadable
            file, or a RadiX-Net or file that leaves a neuron without input. A random topology
            that does so only warns (`StarvedNeurons`).
    """
    _check_names(shapes, config)
    masks: dict[str, np.ndarray] = {}
    for part in config.parts:
        if part.kind == "radix":
            for name, layer in _radix_part(shapes, part).items():
                masks[name] = over_kernel(layer.mask(), shapes[name])
        elif part.kind == "file":
            masks |= _file_part(shapes, part)
        else:
            for name in part.layers:
                masks[name] = random_topology(
                    shapes[name],
                    part.sparsity or 0.0,
                    named_seed(seed, "topology", name),
                    exact=part.kind == "random",
                    name=f"layer {name!r}",
                )
    return masks


def topology_radix_layers(shapes: Shapes, config: TopologyConfig) -> dict[str, RadixLayer]:
    """The RadiX structure of the layers of `config` that have one, trimmed to the model.

    For a dense layer it makes a `RadixDense`; for a convolution it joins channels.
    """
    _check_names(shapes, config)
    layers: dict[str, RadixLayer] = {}
    for part in config.parts:
        if part.kind == "radix":
            layers |= _radix_part(shapes, part)
    return layers


def _radix_part(shapes: Shapes, part: LayerTopology) -> dict[str, RadixLayer]:
    net = radix_net(part.N or (), part.B)
    if len(part.layers) != len(net.layers):
        raise UserError(
            f"topology: expected {len(net.layers)} layers for {len(net.layers)} radices, "
            f"received {len(part.layers)} ({', '.join(part.layers)})"
        )
    result = {}
    for i, (name, layer) in enumerate(zip(part.layers, net.layers, strict=True)):
        inputs, outputs = (int(n) for n in tuple(shapes[name])[-2:])
        if i == 0 and inputs < net.widths[0]:  # only the net's own inputs may be trimmed
            layer = net.trimmed_to(inputs).layers[0]
        if layer.shape[0] != inputs:
            at_most = "at most " if i == 0 else ""
            raise UserError(
                f"layer {name!r}: expected {at_most}{layer.shape[0]} inputs for this RadiX-Net "
                f"(widths {_arrows(net.widths)}), the model has {inputs}"
            )
        if layer.shape[1] != outputs:
            raise UserError(
                f"layer {name!r}: expected {layer.shape[1]} outputs for this RadiX-Net "
                f"(widths {_arrows(net.widths)}), the model has {outputs}"
            )
        result[name] = layer
    return result


def _file_part(shapes: Shapes, part: LayerTopology) -> dict[str, np.ndarray]:
    masks = load_masks(part.file or "", shapes)
    missing = [name for name in part.layers if name not in masks]
    if missing:
        raise UserError(
            f"{part.file}: expected a mask for layer {missing[0]!r}, "
            f"received masks for {', '.join(masks)}"
        )
    for name in part.layers:
        check_fed(masks[name], f"{part.file}: layer {name!r}")
    return {name: masks[name] for name in part.layers}


def _check_names(shapes: Shapes, config: TopologyConfig) -> None:
    seen: set[str] = set()
    for name in (name for part in config.parts for name in part.layers):
        if name not in shapes:
            near = difflib.get_close_matches(name, shapes, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(shapes)}"
            raise UserError(f"topology: the model has no layer {name!r} to mask; {hint}")
        if name in seen:
            raise UserError(f"topology: expected one topology for layer {name!r}, received two")
        seen.add(name)


def _arrows(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))
