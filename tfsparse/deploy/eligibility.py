"""Whether XNNPACK on an ARM phone would run a `.tflite` file with its sparse kernels.

The rules are those of the "Sparse Inference" section of XNNPACK's delegate for TensorFlow Lite,
after Elsen et al. 2019, "Fast Sparse ConvNets". They are applied to the graph of the file, so
that the answer holds for the file and not for the model it was made from.
"""

from dataclasses import dataclass
from typing import Any

REQUIRED_ZEROS = 2 / 3
"""The part of the 1x1 convolutions' weights that must be zero."""

_UNARY = {
    "ABS", "CEIL", "ELU", "FLOOR", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "NEG", "RELU", "RELU6",
    "RELU_N1_TO_1", "ROUND", "SQUARE",
}  # fmt: skip
_INSIDE = _UNARY | {"PAD", "ADD", "MUL", "RESIZE_BILINEAR"}
_WEIGHTS_ONLY = {"DENSIFY", "DEQUANTIZE"}

Facts = dict[str, Any]


@dataclass(frozen=True)
class Eligibility:
    """The verdict on one file.

    `layer` and `reason` name the first thing that stops sparse inference; both None if none.
    """

    eligible: bool
    layer: str | None = None
    reason: str | None = None
    zero_fraction: float | None = None
    """Of the 1x1 convolutions' weights, where it was counted."""


def xnnpack_eligibility(facts: Facts) -> Eligibility:
    """Walk the graph from its first convolution to its global average.

    Args:
        facts: what `flatbuffer.facts` tells of the file.
    """
    operators = [op for op in facts["operators"] if not _on_weights(op, facts)]
    start = next((i for i, op in enumerate(operators) if op["op"] == "CONV_2D"), None)
    if start is None:
        return Eligibility(False, None, "the graph has no convolution")
    reason = _start_obstacle(operators, start, facts)
    if reason:
        return Eligibility(False, _name(operators[start], facts), reason)
    pointwise: list[Facts] = []
    for op in operators[start + 1 :]:
        if op["op"] in ("MEAN", "DEPTH_TO_SPACE"):
            return _weights_verdict(pointwise, facts)
        reason = _obstacle(op, operators, facts)
        if reason:
            return Eligibility(False, _name(op, facts), reason)
        if op["op"] == "CONV_2D":
            pointwise.append(op)
    return Eligibility(False, None, "the graph has no MEAN (global average) after its convolutions")


def _on_weights(op: Facts, facts: Facts) -> bool:
    """Whether an operator only unpacks weights."""
    if op["op"] not in _WEIGHTS_ONLY or not op["inputs"]:
        return False
    source = op["inputs"][0]
    return facts["tensors"][source]["constant"] or any(
        source in other["outputs"] and other["op"] in _WEIGHTS_ONLY for other in facts["operators"]
    )


def _start_obstacle(operators: list[Facts], start: int, facts: Facts) -> str | None:
    op = operators[start]
    _, height, width, channels = _kernel_shape(op, facts)
    found = f"is {height}x{width} of stride {op['stride'][0]} over {channels}"
    if (height, width, channels) != (3, 3, 3) or op["stride"] != [2, 2]:
        return f"the first convolution must be 3x3 of stride 2 over 3 channels, this one {found}"
    if op["padding"] != "valid" or not _after_pad(op, operators):
        return "the first convolution must be VALID after a PAD of 1 on each side"
    return _type_obstacle(op, facts)


def _type_obstacle(op: Facts, facts: Facts) -> str | None:
    kind = facts["tensors"][op["outputs"][0]]["dtype"]
    if kind != "float32":
        return f"XNNPACK's sparse kernels compute in floating point, this file in {kind}"
    weights = facts["tensors"][_stored_weights(op, facts)]["dtype"]
    if weights not in ("float32", "float16"):
        return f"XNNPACK's sparse kernels take float weights, this file has {weights}"
    return None


def _obstacle(op: Facts, operators: list[Facts], facts: Facts) -> str | None:
    if op["op"] == "CONV_2D":
        _, height, width, _ = _kernel_shape(op, facts)
        if (height, width) != (1, 1) or op["stride"] != [1, 1]:
            return (
                f"must be a 1x1 convolution of stride 1, is {height}x{width} of {op['stride'][0]}"
            )
        return _type_obstacle(op, facts)
    if op["op"] == "DEPTHWISE_CONV_2D":
        _, height, width, _ = _kernel_shape(op, facts)
        padded = op["padding"] == "same" and op["stride"] == [1, 1]
        padded = padded or (op["padding"] == "valid" and _after_pad(op, operators))
        if (height, width) not in ((3, 3), (5, 5)) or not padded or op["stride"][0] > 2:
            return "a depthwise convolution must be 3x3 or 5x5 with explicit padding at stride 2"
        return _type_obstacle(op, facts)
    if op["op"] not in _INSIDE:
        return f"{op['op']} has no kernel for the sparse layout"
    return None


def _weights_verdict(pointwise: list[Facts], facts: Facts) -> Eligibility:
    if not pointwise:
        return Eligibility(False, None, "the graph has no 1x1 convolution")
    total = zeros = 0.0
    for op in pointwise:
        tensor = facts["tensors"][_stored_weights(op, facts)]
        size = 1
        for length in tensor["shape"]:
            size *= length
        total += size
        zeros += size * (tensor["zero_fraction"] or 0.0)
    fraction = zeros / total if total else 0.0
    if fraction < REQUIRED_ZEROS:
        reason = f"only {fraction:.1%} of the 1x1 convolutions' weights are zero, 66.7% are needed"
        return Eligibility(False, None, reason, fraction)
    for op in pointwise:
        if facts["tensors"][_stored_weights(op, facts)]["sparse"]:
            return Eligibility(True, zero_fraction=fraction)
    reason = "its zeros are stored as numbers; convert with EXPERIMENTAL_SPARSITY"
    return Eligibility(False, _name(pointwise[0], facts), reason, fraction)


def _kernel_shape(op: Facts, facts: Facts) -> list[int]:
    """Output channels, height, width, input channels."""
    shape = facts["tensors"][op["inputs"][1]]["shape"]
    return shape if len(shape) == 4 else [0, 0, 0, 0]


def _stored_weights(op: Facts, facts: Facts) -> int:
    """The constant tensor behind an operator's weights, through DENSIFY and DEQUANTIZE."""
    index = int(op["inputs"][1])
    for _ in range(4):
        if facts["tensors"][index]["constant"]:
            break
        makers = [other for other in facts["operators"] if index in other["outputs"]]
        if not makers or not makers[0]["inputs"]:
            break
        index = int(makers[0]["inputs"][0])
    return index


def _after_pad(op: Facts, operators: list[Facts]) -> bool:
    return any(other["op"] == "PAD" and op["inputs"][0] in other["outputs"] for other in operators)


def _name(op: Facts, facts: Facts) -> str:
    """The layer behind an operator: its weights' name, or its output's."""
    index = _stored_weights(op, facts) if len(op["inputs"]) > 1 else op["outputs"][0]
    name = facts["tensors"][index]["name"] or facts["tensors"][op["outputs"][0]]["name"]
    return f"{op['op']} {_short(name)}"


def _short(name: str) -> str:
    """`model/conv1/Conv2D` out of the names of fused operators, joined by semicolons."""
    parts = [part for part in name.split(";") if "Conv2D" in part or "MatMul" in part]
    name = (parts or name.split(";"))[-1]
    return name if len(name) <= 80 else name[:77] + "..."
