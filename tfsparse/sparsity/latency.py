"""Which layers may be pruned so that XNNPACK can run the network faster.

The rules are tfmot's `PruneForLatencyOnXNNPack` (Elsen et al. 2019, "Fast Sparse ConvNets"):
only 1x1 convolutions are pruned, between a 3x3 convolution of stride 2 over 3 channels and a
global average pooling, and everything in between has a sparse or channelwise kernel.
"""

import tensorflow_model_optimization as tfmot
import tf_keras as keras

from tfsparse.errors import UserError

_layers = keras.layers


def latency_layers(model: keras.Model) -> list[str]:
    """The names of the layers the latency policy prunes, from input to output.

    Args:
        model: a Sequential or functional model, not wrapped yet.

    Raises:
        UserError: XNNPACK cannot run the model's graph sparsely; names the layer and the reason.
    """
    reason = latency_obstacle(model)
    if reason:
        raise UserError(
            f"model {model.name!r}: expected a graph that XNNPACK can run sparsely, but {reason}; "
            "take model mobilenet_v1, or leave pruning.policy out"
        )
    policy = tfmot.sparsity.keras.PruneForLatencyOnXNNPack()
    return [layer.name for layer in model.layers if policy.allow_pruning(layer)]


def latency_obstacle(model: keras.Model) -> str | None:
    """Why XNNPACK cannot run `model` sparsely: the first layer in the way, and the reason."""
    policy = tfmot.sparsity.keras.PruneForLatencyOnXNNPack()
    try:
        policy.ensure_model_supports_pruning(model)
    except ValueError as error:
        return _first_obstacle(model) or " ".join(str(error).split())
    if not any(policy.allow_pruning(layer) for layer in model.layers):
        return "it has no 1x1 convolution"
    return None


def _first_obstacle(model: keras.Model) -> str | None:
    """The layer that stops tfmot's check, which names at most its class."""
    if not getattr(model, "_is_graph_network", False):
        return "it is a subclassed model, whose graph is not known"
    convolutions = [layer for layer in model.layers if type(layer) is _layers.Conv2D]
    if not convolutions:
        return "it has no convolution"
    start = convolutions[0]
    if start.kernel.shape[:3] != (3, 3, 3) or start.strides != (2, 2):
        height, width, channels = start.kernel.shape[:3]
        return (
            f"layer {start.name!r} should be a 3x3 convolution of stride 2 over 3 channels and is "
            f"{height}x{width} of stride {start.strides[0]} over {channels}"
        )
    if start.padding != "valid" or not _padded(start, 1):
        return f"layer {start.name!r} should be VALID after a ZeroPadding2D of 1"
    if not any(isinstance(layer, _layers.GlobalAveragePooling2D) for layer in model.layers):
        return "it has no GlobalAveragePooling2D"
    for layer in model.layers[model.layers.index(start) + 1 :]:
        if isinstance(layer, _layers.GlobalAveragePooling2D):
            return None
        reason = _unsupported(layer)
        if reason:
            return f"layer {layer.name!r} {reason}"
    return None


def _unsupported(layer: keras.layers.Layer) -> str | None:
    """Why a layer between the start and the pooling has no sparse or channelwise kernel."""
    if isinstance(layer, _layers.DepthwiseConv2D):
        size, stride = layer.kernel_size[0], layer.strides[0]
        inside = layer.padding == "same" and stride == 1
        explicit = layer.padding == "valid" and _padded(layer, size // 2)
        if size in (3, 5) and stride in (1, 2) and (inside or explicit):
            return None
        return (
            f"({size}x{size} depthwise, stride {stride}, {layer.padding.upper()}) should be 3x3 or "
            "5x5, SAME at stride 1 or VALID after a ZeroPadding2D of half its size"
        )
    if isinstance(layer, _layers.Conv2D):
        if layer.kernel_size == (1, 1) and layer.strides == (1, 1) and layer.groups == 1:
            return None
        (height, width), stride = layer.kernel_size, layer.strides[0]
        return f"should be a 1x1 convolution of stride 1 and is {height}x{width} of stride {stride}"
    policy = tfmot.sparsity.keras.PruneForLatencyOnXNNPack()
    if policy._check_layer_support(layer):
        return None
    return f"({type(layer).__name__}) has no kernel for XNNPACK's sparse layout"


def _padded(layer: keras.layers.Layer, by: int) -> bool:
    """Whether `layer` follows a ZeroPadding2D of `by` on each side."""
    producer = layer.input._keras_history.layer
    return isinstance(producer, _layers.ZeroPadding2D) and producer.padding == ((by, by), (by, by))
