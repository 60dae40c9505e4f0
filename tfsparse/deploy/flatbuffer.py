"""What a `.tflite` file says about itself, read without running it.

Only for use in a child process: a hostile file can make the reader loop or eat the memory.
"""

from typing import Any

import numpy as np

from tfsparse.errors import UserError

MARK = b"TFL3"
"""Bytes 4 to 7 of every `.tflite` file."""

_DTYPES = {"FLOAT32": np.float32, "FLOAT16": np.float16, "INT8": np.int8, "INT32": np.int32}
_PADDINGS = {0: "same", 1: "valid"}
_LARGEST = 100_000


def require_mark(data: bytes, name: str) -> None:
    """Raise a UserError unless `data` begins like a `.tflite` file."""
    if not data:
        raise UserError(f"{name}: expected a TensorFlow Lite model, the file is empty")
    if data[4:8] != MARK:
        raise UserError(
            f"{name}: expected a TensorFlow Lite model (bytes 'TFL3' at offset 4), "
            f"found {data[4:8]!r}"
        )


def facts(data: bytes) -> dict[str, Any]:
    """Inputs, outputs, tensors and operators of the main graph, as JSON values.

    Args:
        data: the file.

    Returns:
        `inputs` and `outputs` (tensor indices), `tensors` (name, dtype, shape, constant,
        stored_bytes, zero_fraction, sparse: null or format and stored_values) and `operators`
        (op, inputs, outputs and, for convolutions, stride, padding and dilation).
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    if not model.subgraphs:
        raise ValueError("the file holds no graph")
    graph = model.subgraphs[0]
    if len(graph.tensors) > _LARGEST or len(graph.operators or ()) > _LARGEST:
        raise ValueError(f"the graph has more than {_LARGEST} tensors or operators")
    dtypes = _names(schema.TensorType)
    return {
        "inputs": [int(index) for index in graph.inputs],
        "outputs": [int(index) for index in graph.outputs],
        "tensors": [_tensor(tensor, model.buffers, dtypes) for tensor in graph.tensors],
        "operators": _operators(model, graph, schema),
        "graphs": len(model.subgraphs),
    }


def _tensor(tensor: Any, buffers: Any, dtypes: dict[int, str]) -> dict[str, Any]:
    dtype = dtypes.get(tensor.type, str(tensor.type))
    shape = [int(size) for size in (tensor.shape if tensor.shape is not None else ())]
    data = buffers[tensor.buffer].data
    stored = 0 if data is None else len(data)
    elements = int(np.prod(shape, dtype=np.float64))
    values = None
    if stored and dtype in _DTYPES and stored % np.dtype(_DTYPES[dtype]).itemsize == 0:
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), _DTYPES[dtype])
    zeros = None
    if values is not None and elements:
        zeros = round(1.0 - np.count_nonzero(values) / elements, 6)
    return {
        "name": (tensor.name or b"").decode("utf-8", "replace"),
        "dtype": dtype.lower(),
        "shape": shape,
        "constant": stored > 0,
        "stored_bytes": stored + _index_bytes(tensor.sparsity),
        "zero_fraction": zeros,
        "sparse": None
        if tensor.sparsity is None
        else {
            "format": _format(tensor.sparsity),
            "stored_values": 0 if values is None else len(values),
        },
    }


def _format(sparsity: Any) -> str:
    """`csr` for single values, `block 1x4` for blocks of them."""
    blocks = sparsity.blockMap
    if blocks is None or not len(blocks):
        return "csr"
    dimensions = sparsity.dimMetadata
    rank = len(dimensions) - len(blocks)
    sizes = {int(axis): int(dimensions[rank + i].denseSize) for i, axis in enumerate(blocks)}
    return "block " + "x".join(str(sizes.get(axis, 1)) for axis in range(rank))


def _index_bytes(sparsity: Any) -> int:
    if sparsity is None:
        return 0
    arrays = [
        vector.values
        for dimension in sparsity.dimMetadata or ()
        for vector in (dimension.arraySegments, dimension.arrayIndices)
        if vector is not None and vector.values is not None
    ]
    return sum(int(np.asarray(array).nbytes) for array in arrays)


def _operators(model: Any, graph: Any, schema: Any) -> list[dict[str, Any]]:
    names = _names(schema.BuiltinOperator)
    result = []
    for operator in graph.operators or ():
        code = model.operatorCodes[operator.opcodeIndex]
        number = max(int(code.builtinCode), int(code.deprecatedBuiltinCode))
        entry: dict[str, Any] = {
            "op": names.get(number, str(number)),
            "inputs": _indices(operator.inputs),
            "outputs": _indices(operator.outputs),
        }
        options = operator.builtinOptions
        if hasattr(options, "strideH"):
            entry["stride"] = [int(options.strideH), int(options.strideW)]
            entry["padding"] = _PADDINGS.get(options.padding, str(options.padding))
        if hasattr(options, "dilationHFactor"):
            entry["dilation"] = [int(options.dilationHFactor), int(options.dilationWFactor)]
        if hasattr(options, "depthMultiplier"):
            entry["depth_multiplier"] = int(options.depthMultiplier)
        result.append(entry)
    return result


def _indices(values: Any) -> list[int]:
    return [int(value) for value in (values if values is not None else ())]


def _names(kind: type) -> dict[int, str]:
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}
