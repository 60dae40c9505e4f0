"""A Keras model taken apart into operations whose weights are arguments.

A Keras layer owns its weights; a path needs the same layers at hundreds of weights. Here a
functional model becomes a list of operations from tensors and named weights to tensors. Layers
this module does not know keep their own variables, which are assigned before each call.

Light operations (sums, products, activations, pooling of non-overlapping windows) are marked, so
that XLA can fuse what lies between the heavy ones; on CPUs it makes convolutions slower.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.landscape.batchnorm import Mode, normalise
from tfsparse.models import named_variables

layers = keras.layers

Named = Mapping[str, tf.Tensor]
Recorded = dict[str, tf.Tensor]
Run = Callable[[list[tf.Tensor], Named, Recorded], tf.Tensor]

LIGHT = (
    layers.Activation, layers.ReLU, layers.LeakyReLU, layers.Add, layers.Flatten, layers.Reshape,
    layers.Dropout, layers.SpatialDropout2D, layers.ZeroPadding2D, layers.GlobalAveragePooling2D,
    layers.Concatenate,
)  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One step from tensors to a tensor.

    Args:
        inputs: numbers of the tensors it reads; 0 is the model's input.
        output: number of the tensor it makes.
        weights: names of the weights it reads.
        light: whether XLA should fuse it with its neighbours.
        kind: what is known of it: `linear` in its one weight, a kernel; a `bias`, added; a
            `relu`; a `norm`, batch norm by given statistics; a maximum over windows that tile
            the input (`max_of_tiles`).
        run: the step; it may record tensors by name.
        window: of `max_of_tiles`, height and width.
        shape: of the output of `max_of_tiles`, the batch's size being -1.
        layer: of `norm`.
    """

    inputs: tuple[int, ...]
    output: int
    weights: tuple[str, ...]
    light: bool
    kind: Literal["linear", "bias", "relu", "norm", "max_of_tiles", "other"]
    run: Run
    window: tuple[int, int] = (1, 1)
    shape: tuple[int, ...] = ()
    layer: Any = None

    def fusable(self) -> "Operation":
        """The same step in the form that XLA fuses: it cannot fuse a reduction over windows."""
        if self.kind != "max_of_tiles":
            return self
        return replace(self, run=lambda x, w, _: largest(tiles(x[0], self.window)))


@dataclass(frozen=True)
class Operations:
    """A model as operations, in an order in which they can run.

    Args:
        steps: the operations.
        output: the number of the logits.
        opaque: names of weights that live in variables of layers that are not known here.
        records: names of what a run records.
    """

    steps: tuple[Operation, ...]
    output: int
    opaque: frozenset[str]
    records: tuple[str, ...]

    @property
    def stem(self) -> int | None:
        """The place of the first operation with weights, if it is linear in them."""
        for place, step in enumerate(self.steps):
            if step.weights:
                return place if step.kind == "linear" else None
        return None

    def run(self, inputs: tf.Tensor, weights: Named) -> tf.Tensor:
        """The logits of model inputs float [b, ...]."""
        tensors, recorded = {0: inputs}, Recorded()
        for step in self.steps:
            tensors[step.output] = step.run([tensors[i] for i in step.inputs], weights, recorded)
        return tensors[self.output]


def take_apart(model: keras.Model, mode: Mode) -> Operations:
    """The operations of a functional or Sequential model with one input and one output.

    Args:
        model: whose layers, and for unknown layers whose variables, are used.
        mode: where batch norm takes its statistics from.
    """
    maker = _Maker(model, mode)
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                maker.add(node)
    return Operations(
        steps=tuple(_pool_first(maker.steps)),
        output=maker.number(model.outputs[0]),
        opaque=frozenset(maker.opaque),
        records=tuple(maker.statistics) if mode == "collected" else (),
    )


class _Maker:
    """Turns the nodes of a model into operations."""

    def __init__(self, model: keras.Model, mode: Mode) -> None:
        self._mode = mode
        self._numbers: dict[int, int] = {id(model.inputs[0]): 0}
        self._count = 0
        self._variables = named_variables(model)
        self.steps: list[Operation] = []
        self.opaque: set[str] = set()
        self.statistics: list[str] = []

    def number(self, tensor: Any) -> int:
        """The number of one of the model's symbolic tensors."""
        return self._numbers[id(tensor)]

    def add(self, node: Any) -> None:
        """Append the operations of one call of a layer."""
        layer, kind = node.layer, type(node.layer)
        inputs = tuple(self.number(tensor) for tensor in node.keras_inputs)
        names = [name for name in self._variables if name.startswith(f"{layer.name}/")]
        plain_convolution = (
            kind in (layers.Conv2D, layers.DepthwiseConv2D)
            and layer.data_format == "channels_last"
            and (kind is layers.DepthwiseConv2D or layer.groups == 1)
        )
        if kind is layers.Dense:
            last = self._linear(layer, inputs, _dense(layer), light=True)
        elif plain_convolution:
            last = self._linear(layer, inputs, _convolution(layer), light=False)
        elif kind is layers.BatchNormalization and _is_plain(layer):
            light = self._mode == "stored" or (
                self._mode == "batch" and len(layer.input_shape) == 2
            )
            run = normalise(layer, self._mode)
            last = self._append(inputs, self._parameters(layer), run, light)
            if self._mode == "stored":
                self.steps[-1] = replace(self.steps[-1], kind="norm", layer=layer)
            self.statistics += _statistics(layer)
        elif kind is layers.MaxPooling2D and _has_tiles(layer):
            run = _call(node)
            shape = (-1, *layer.output_shape[1:])
            last = self._append(inputs, (), run, True, "max_of_tiles", layer.pool_size, shape)
        elif _is_relu(layer):
            last = self._append(inputs, (), _relu, True, "relu")
        elif names:
            self.opaque.update(names)
            own = {name: self._variables[name] for name in names}
            last = self._append(inputs, tuple(names), _opaque(node, own), light=False)
        else:
            last = self._append(inputs, (), _call(node), light=kind in LIGHT)
        outputs = tf.nest.flatten(node.outputs)
        if len(outputs) != 1:
            raise UserError(
                f"layer {layer.name!r}: expected a layer with one output, this one has "
                f"{len(outputs)}; paths need a model of such layers"
            )
        self._numbers[id(outputs[0])] = last

    def _append(
        self,
        inputs: tuple[int, ...],
        weights: tuple[str, ...],
        run: Run,
        light: bool,
        kind: Any = "other",
        window: tuple[int, int] = (1, 1),
        shape: tuple[int, ...] = (),
    ) -> int:
        self._count += 1
        self.steps.append(Operation(inputs, self._count, weights, light, kind, run, window, shape))
        return self._count

    def _parameters(self, layer: Any) -> tuple[str, ...]:
        """The weights that batch norm reads in this mode."""
        names = ("gamma",) * layer.scale + ("beta",) * layer.center
        own = tuple(f"{layer.name}/{name}" for name in names)
        return own + _statistics(layer) if self._mode == "stored" else own

    def _linear(self, layer: Any, inputs: tuple[int, ...], run: Run, *, light: bool) -> int:
        kernel, bias = _kernel_name(layer), f"{layer.name}/bias"
        last = self._append(inputs, (kernel,), run, light, "linear")
        if layer.use_bias:
            last = self._append((last,), (bias,), add(bias), True, "bias")
        if layer.activation is keras.activations.relu:
            last = self._append((last,), (), _relu, True, "relu")
        elif layer.activation is not keras.activations.linear:
            last = self._append((last,), (), lambda x, w, _: layer.activation(x[0]), light=True)
        return last


def add(bias: str) -> Run:
    """Add a weight over the last axis; TensorFlow fuses this form with a convolution."""
    return lambda x, weights, _: tf.nn.bias_add(x[0], weights[bias])


def _kernel_name(layer: Any) -> str:
    depthwise = type(layer) is layers.DepthwiseConv2D
    return f"{layer.name}/{'depthwise_kernel' if depthwise else 'kernel'}"


def _statistics(layer: Any) -> tuple[str, str]:
    return f"{layer.name}/moving_mean", f"{layer.name}/moving_variance"


def _is_plain(layer: Any) -> bool:
    """Whether it is batch norm over the last axis without renormalisation or synchronisation."""
    axes = [axis % len(layer.input_shape) for axis in layer.axis]
    special = getattr(layer, "renorm", False) or getattr(layer, "synchronized", False)
    return axes == [len(layer.input_shape) - 1] and not special


def _has_tiles(layer: Any) -> bool:
    """Whether a pooling layer's windows tile its input."""
    shape = layer.input_shape[1:3]
    return (
        layer.data_format == "channels_last"
        and tuple(layer.pool_size) == tuple(layer.strides)
        and all(
            size and size % window == 0 for size, window in zip(shape, layer.pool_size, strict=True)
        )
    )


def _dense(layer: Any) -> Run:
    kernel = _kernel_name(layer)

    def run(x: list[tf.Tensor], weights: Named, _: Recorded) -> tf.Tensor:
        return (
            tf.matmul(x[0], weights[kernel])
            if x[0].shape.rank == 2
            else tf.tensordot(x[0], weights[kernel], 1)
        )

    return run


def _convolution(layer: Any) -> Run:
    kernel = _kernel_name(layer)
    convolve = tf.nn.conv2d
    if type(layer) is layers.DepthwiseConv2D:
        convolve = tf.nn.depthwise_conv2d
    strides = layer.strides if convolve is tf.nn.conv2d else (1, *layer.strides, 1)

    def run(x: list[tf.Tensor], weights: Named, _: Recorded) -> tf.Tensor:
        return convolve(
            x[0], weights[kernel], strides, layer.padding.upper(), dilations=layer.dilation_rate
        )

    return run


def _is_relu(layer: Any) -> bool:
    if type(layer) is layers.Activation:
        return layer.activation is keras.activations.relu
    return type(layer) is layers.ReLU and (
        layer.max_value is None and not layer.negative_slope and not layer.threshold
    )


def _relu(x: list[tf.Tensor], _: Named, __: Recorded) -> tf.Tensor:
    return tf.nn.relu(x[0])


def _pool_first(steps: list[Operation]) -> list[Operation]:
    """Swap a ReLU with the max pooling that alone reads it: equal to the bit, and cheaper."""
    steps = list(steps)
    for place in range(len(steps) - 1):
        first, second = steps[place], steps[place + 1]
        readers = sum(first.output in step.inputs for step in steps)
        if (first.kind, second.kind, readers) == ("relu", "max_of_tiles", 1) and (
            second.inputs == (first.output,)
        ):
            steps[place] = replace(second, inputs=first.inputs, output=first.output)
            steps[place + 1] = replace(first, inputs=(first.output,), output=second.output)
    return steps


def refuse_opaque(operations: Operations) -> None:
    """Raise a UserError under a strategy whose replicas would share the variables of layers that
    are not known here."""
    if operations.opaque and tf.distribute.has_strategy():
        raise UserError(
            "distribution.strategy: expected 'one_device' for a model with layers of its own, "
            f"received one with {min(operations.opaque)!r}"
        )


def tiles(x: tf.Tensor, window: tuple[int, int]) -> list[tf.Tensor]:
    """The elements of [b, h, w, c] by their place in windows that tile it, row by row."""
    return [
        x[:, i :: window[0], j :: window[1]] for i in range(window[0]) for j in range(window[1])
    ]


def largest(values: list[tf.Tensor]) -> tf.Tensor:
    """The elementwise maximum."""
    result = values[0]
    for value in values[1:]:
        result = tf.maximum(result, value)
    return result


def _call(node: Any) -> Run:
    """A layer without weights, called as in the model, not in training mode."""

    def run(x: list[tf.Tensor], _: Named, __: Recorded) -> tf.Tensor:
        values: dict[str, list[tf.Tensor]] = {}
        for symbol, value in zip(node.keras_inputs, x, strict=True):
            values.setdefault(str(id(symbol)), []).append(value)
        arguments, keywords = node.map_arguments(values)
        if node.layer._expects_training_arg:
            keywords = {**keywords, "training": False}
        return node.layer(*arguments, **keywords)

    return run


def _opaque(node: Any, variables: Mapping[str, tf.Variable]) -> Run:
    call = _call(node)

    def run(x: list[tf.Tensor], weights: Named, recorded: Recorded) -> tf.Tensor:
        for name, variable in variables.items():
            variable.assign(weights[name])
        return call(x, weights, recorded)

    return run
