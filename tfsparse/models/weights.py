"""A model's weights by name, and which of them may be masked.

A layer that stores only its connections (`tfsparse.sparsity.compact_layer`) counts like the
ordinary layer it stands for: weights go in and out with its kernel in the ordinary shape.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError

_layers = keras.layers
_WITH_KERNEL = (_layers.Dense, _layers.Conv1D, _layers.Conv2D, _layers.Conv3D)
_TRANSPOSED = (_layers.Conv1DTranspose, _layers.Conv2DTranspose, _layers.Conv3DTranspose)


def maskable_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers whose kernel may be masked, from input to output.

    These are dense layers and ordinary convolutions, also such as store only their connections;
    never biases, batch norm, depthwise or transposed convolutions. The kernel's last axis counts
    outputs.
    """
    return [
        layer
        for layer in model.layers
        if is_compact(layer)
        or (isinstance(layer, _WITH_KERNEL) and not isinstance(layer, _TRANSPOSED))
    ]


def is_compact(layer: keras.layers.Layer) -> bool:
    """Whether the layer's kernel holds one weight per connection instead of one per place."""
    return hasattr(layer, "dense_kernel")


def kernel_shapes(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """The shape of every maskable kernel by layer name, as an ordinary layer holds it."""
    return {
        layer.name: layer.mask_shape if is_compact(layer) else tuple(layer.kernel.shape)
        for layer in maskable_layers(model)
    }


def first_convolution(model: keras.Model) -> str | None:
    """The name of the first maskable convolution, or None."""
    names = [name for name, shape in kernel_shapes(model).items() if len(shape) > 2]
    return names[0] if names else None


def last_dense(model: keras.Model) -> str | None:
    """The name of the last dense layer, or None."""
    names = [name for name, shape in kernel_shapes(model).items() if len(shape) == 2]
    return names[-1] if names else None


def named_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """All weights of `model` as `<layer>/<weight>`, without masks and counters, as stored.

    Raises:
        UserError: two weights share a name.
    """
    result: dict[str, tf.Variable] = {}
    for layer in model.layers:
        for variable in layer.weights:
            inner = _within(layer.name, variable.name)
            if not variable.dtype.is_floating or inner.split("/")[-1] == "mask":
                continue
            key = f"{layer.name}/{inner}"
            if key in result:
                raise UserError(f"model {model.name!r}: two weights are named {key!r}; rename one")
            result[key] = variable
    return result


def _within(layer: str, variable: str) -> str:
    """A variable's name inside its layer, whatever wrappers and scopes stand before it.

    >>> _within("conv1", "prune_low_magnitude_conv1/conv1/kernel:0"), _within("a", "b/bias:0")
    ('kernel', 'bias')
    """
    parts = variable.removesuffix(":0").split("/")
    if layer in parts[:-1]:
        last = len(parts) - 1 - parts[::-1].index(layer)
        return "/".join(parts[last + 1 :])
    return parts[-1]


def get_weights(model: keras.Model) -> dict[str, np.ndarray]:
    """A copy of all weights, keyed `<layer>/<weight>`, kernels in their ordinary shape."""
    compact = _compact_layers(model)
    return {
        name: compact[name].dense_kernel() if name in compact else variable.numpy()
        for name, variable in named_variables(model).items()
    }


def set_weights(model: keras.Model, weights: Mapping[str, np.ndarray]) -> None:
    """Assign all weights of `model`; a compact layer leaves behind what it has no connection for.

    Raises:
        UserError: a weight is missing, left over or of another shape.
    """
    variables, compact = named_variables(model), _compact_layers(model)
    for name, variable in variables.items():
        if name not in weights:
            raise UserError(f"weights for model {model.name!r}: {name!r} is missing")
        expected = compact[name].mask_shape if name in compact else tuple(variable.shape)
        received = np.shape(weights[name])
        if expected != received:
            raise UserError(
                f"weights for model {model.name!r}: {name!r}: expected shape {expected}, "
                f"received {received}"
            )
    extra = sorted(set(weights) - set(variables))
    if extra:
        raise UserError(f"weights for model {model.name!r}: it has no weight {extra[0]!r}")
    for name, variable in variables.items():
        value = weights[name]
        variable.assign(compact[name].pack(value) if name in compact else value)


def _compact_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers that store only their connections, by the name of their kernel."""
    return {f"{layer.name}/kernel": layer for layer in model.layers if is_compact(layer)}
