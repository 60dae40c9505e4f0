"""The channel spaces of a network: which tensors must lose a channel together.

Layers that treat each channel alone (batch norm, pooling, depthwise convolutions, activations)
and additions tie the channels of their inputs and outputs into one space. A space begins where
kernels write it and ends where kernels read it; a channel can only be removed from all of it.
"""

from dataclasses import dataclass, field

import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError

_layers = keras.layers

ACTIVATIONS = {
    "linear", "relu", "relu6", "tanh", "sigmoid", "elu", "selu", "softplus", "softsign", "swish",
    "silu", "gelu", "hard_sigmoid", "exponential", "leaky_relu", "mish",
}  # fmt: skip
"""Activations that act on each number alone."""

_POOLING = (
    _layers.MaxPooling2D, _layers.AveragePooling2D, _layers.GlobalAveragePooling2D,
    _layers.GlobalMaxPooling2D,
)  # fmt: skip
_SAME_SHAPE = (
    _layers.ReLU, _layers.LeakyReLU, _layers.ELU, _layers.Dropout, _layers.SpatialDropout2D,
)  # fmt: skip


@dataclass
class Space:
    """Tensors that share their channels, and the layers around them (by layer name)."""

    channels: int
    writers: set[str] = field(default_factory=set)
    """Layers whose kernel's last axis makes these channels."""
    readers: set[str] = field(default_factory=set)
    """Layers whose kernel's input axis reads these channels."""
    inside: set[str] = field(default_factory=set)
    """Layers with weights for each channel: batch norm and depthwise convolutions."""
    pinned: str | None = None
    """Why no channel may be removed."""


@dataclass
class Channels:
    """The spaces of a model and the space of each layer's output."""

    spaces: list[Space]
    of_output: dict[str, int]
    """Layer name -> index of the space its output lies in."""
    producers: dict[str, list[str]]
    """Layer name -> names of the layers it reads."""
    repeats: dict[str, int]
    """Layer name -> how many positions a flattened output holds of each channel; 1 otherwise."""

    def space_of(self, layer: str) -> Space:
        """The space of a layer's output."""
        return self.spaces[self.of_output[layer]]


def channels_of(model: keras.Model) -> Channels:
    """Find the channel spaces of a Sequential or functional model.

    Raises:
        UserError: a subclassed model, or a layer that is used more than once.
    """
    if not getattr(model, "_is_graph_network", False):
        raise UserError(f"model {model.name!r}: expected a Sequential or functional model")
    builder = _Builder()
    for layer in _in_order(model):
        builder.add(layer)
    for tensor in model.outputs:
        builder.pin(builder.of[tensor._keras_history.layer.name], "it is the model's output")
    return builder.result()


def _in_order(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers, each after those it reads; a Sequential hides its input layer."""
    depths = sorted(model._nodes_by_depth, reverse=True)
    layers: list[keras.layers.Layer] = []
    for depth in depths:
        for node in model._nodes_by_depth[depth]:
            if node.layer in layers:
                raise UserError(f"layer {node.layer.name!r} is used more than once")
            layers.append(node.layer)
    return layers


def producers_of(layer: keras.layers.Layer) -> list[str]:
    """The names of the layers whose outputs `layer` reads."""
    if isinstance(layer, _layers.InputLayer):
        return []
    return [tensor._keras_history.layer.name for tensor in tf.nest.flatten(layer.input)]


class _Builder:
    def __init__(self) -> None:
        self.spaces: list[Space] = []
        self.parent: list[int] = []
        self.of: dict[str, int] = {}
        self.producers: dict[str, list[str]] = {}
        self.repeats: dict[str, int] = {}

    def add(self, layer: keras.layers.Layer) -> None:
        name, sources = layer.name, producers_of(layer)
        self.producers[name] = sources
        self.repeats[name] = max([self.repeats[source] for source in sources], default=1)
        spaces = [self.of[source] for source in sources]
        if isinstance(layer, _layers.InputLayer):
            self.new(layer, f"it is the input {name!r}")
        elif _reads_and_writes(layer):
            self.space(spaces[0]).readers.add(name)
            self.repeats[name] = 1
            activation = getattr(layer.activation, "__name__", "?")
            known = activation in ACTIVATIONS
            self.new(layer, None if known else f"layer {name!r} ends in {activation}")
            self.space(self.of[name]).writers.add(name)
        elif isinstance(layer, _layers.Flatten) and len(layer.input.shape) == 4:
            self.of[name] = spaces[0]
            height, width = layer.input.shape[1:3]
            self.repeats[name] = int(height) * int(width)
        elif _keeps_channels(layer, self.repeats[name]):
            self.of[name] = spaces[0]
            if isinstance(layer, _layers.BatchNormalization | _layers.DepthwiseConv2D):
                self.space(spaces[0]).inside.add(name)
        elif type(layer) is _layers.Add and self._alike(layer, sources):
            self.of[name] = spaces[0]
            for other in spaces[1:]:
                self.join(spaces[0], other)
        else:
            reason = f"layer {name!r} ({type(layer).__name__}) may mix channels"
            for space in spaces:
                self.pin(space, reason)
            self.new(layer, reason)

    def new(self, layer: keras.layers.Layer, pinned: str | None) -> None:
        shape = tf.nest.flatten(layer.output)[0].shape
        self.of[layer.name] = len(self.spaces)
        self.parent.append(len(self.spaces))
        self.spaces.append(Space(int(shape[-1] or 0), pinned=pinned))

    def pin(self, index: int, reason: str) -> None:
        space = self.space(index)
        space.pinned = space.pinned or reason

    def space(self, index: int) -> Space:
        return self.spaces[self.root(index)]

    def root(self, index: int) -> int:
        while self.parent[index] != index:
            index = self.parent[index]
        return index

    def join(self, first: int, second: int) -> None:
        first, second = self.root(first), self.root(second)
        if first == second:
            return
        kept, other = self.spaces[first], self.spaces[second]
        self.parent[second] = first
        kept.writers |= other.writers
        kept.readers |= other.readers
        kept.inside |= other.inside
        kept.pinned = kept.pinned or other.pinned

    def _alike(self, layer: keras.layers.Layer, sources: list[str]) -> bool:
        """No broadcasting: every summand has the channels of the sum."""
        shapes = {tuple(tensor.shape[1:]) for tensor in layer.input}
        return len(shapes) == 1 and len({self.repeats[source] for source in sources}) == 1

    def result(self) -> Channels:
        roots = sorted({self.root(index) for index in range(len(self.spaces))})
        number = {root: position for position, root in enumerate(roots)}
        return Channels(
            [self.spaces[root] for root in roots],
            {name: number[self.root(index)] for name, index in self.of.items()},
            self.producers,
            self.repeats,
        )


def _reads_and_writes(layer: keras.layers.Layer) -> bool:
    """A plain dense layer on vectors, or a plain convolution."""
    if type(layer) is _layers.Dense:
        return len(layer.input.shape) == 2
    return type(layer) is _layers.Conv2D and layer.groups == 1 and _last(layer)


def _keeps_channels(layer: keras.layers.Layer, repeats: int) -> bool:
    if type(layer) is _layers.BatchNormalization:
        return repeats == 1 and list(layer.axis) == [len(layer.input.shape) - 1]
    if type(layer) is _layers.DepthwiseConv2D:
        activation = getattr(layer.activation, "__name__", "?")
        return layer.depth_multiplier == 1 and _last(layer) and activation in ACTIVATIONS
    if type(layer) is _layers.Activation:
        return getattr(layer.activation, "__name__", "?") in ACTIVATIONS
    if type(layer) in _POOLING or type(layer) is _layers.ZeroPadding2D:
        return _last(layer)
    return type(layer) in _SAME_SHAPE


def _last(layer: keras.layers.Layer) -> bool:
    return bool(layer.data_format == "channels_last")
