"""Storing the zeros of a `.tflite` file's weights sparsely, where the converter gets it wrong.

TensorFlow's converter stores very sparse float16 weights in 1x4 blocks which its own DEQUANTIZE
then reads as if they were dense: the outputs are NaN. Here the weights of a dense file are stored
as compressed sparse rows with a DENSIFY before their reader, which every runtime unpacks.
"""

from typing import Any

import numpy as np

MIN_ZEROS = 0.3
"""Below this part of zeros the indices cost more than the zeros save."""

_DENSE, _CSR = 0, 1


def sparsify(data: bytes) -> bytes:
    """The same model with its constant float16 weights of rank 2 and 4 stored sparse.

    Args:
        data: a `.tflite` file whose float16 weights are read by DEQUANTIZE.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    sparse = []
    for index, tensor in enumerate(graph.tensors):
        values = _float16(tensor, model.buffers, schema)
        if values is None:
            continue
        encoded = encode(values)
        if encoded is not None:
            _store(tensor, model.buffers[tensor.buffer], encoded, schema)
            sparse.append(index)
    _insert_densify(model, graph, sparse, schema)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def encode(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Compressed sparse rows of an array whose last axis is compressed.

    Args:
        dense: float [..., n].

    Returns:
        Kept values, row segments [rows + 1] and column indices; None when it does not pay.
    """
    rows = dense.reshape(-1, dense.shape[-1])
    if np.count_nonzero(rows) > (1 - MIN_ZEROS) * rows.size:
        return None
    row, column = np.nonzero(rows)
    segments = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(rows)))])
    return rows[row, column], segments, column


def _float16(tensor: Any, buffers: Any, schema: Any) -> np.ndarray | None:
    data = buffers[tensor.buffer].data
    if tensor.type != schema.TensorType.FLOAT16 or data is None or tensor.sparsity is not None:
        return None
    if tensor.shape is None or len(tensor.shape) not in (2, 4):
        return None
    values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), np.float16)
    return values.reshape([int(size) for size in tensor.shape])


def _store(tensor: Any, buffer: Any, encoded: tuple[np.ndarray, ...], schema: Any) -> None:
    values, segments, columns = encoded
    dimensions = []
    for size in tensor.shape[:-1]:
        dimension = schema.DimensionMetadataT()
        dimension.format, dimension.denseSize = _DENSE, int(size)
        dimensions.append(dimension)
    last = schema.DimensionMetadataT()
    last.format = _CSR
    last.arraySegmentsType, last.arraySegments = _index_vector(segments, schema)
    last.arrayIndicesType, last.arrayIndices = _index_vector(columns, schema)
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = np.arange(len(tensor.shape), dtype=np.int32)
    sparsity.blockMap = np.zeros(0, np.int32)
    sparsity.dimMetadata = [*dimensions, last]
    tensor.sparsity = sparsity
    buffer.data = np.frombuffer(values.astype(np.float16).tobytes(), np.uint8)


def _index_vector(values: np.ndarray, schema: Any) -> tuple[int, Any]:
    """The narrowest index type that holds `values`."""
    largest = int(values.max(initial=0))
    kinds = schema.SparseIndexVector
    for kind, dtype, make in (
        (kinds.Uint8Vector, np.uint8, schema.Uint8VectorT),
        (kinds.Uint16Vector, np.uint16, schema.Uint16VectorT),
        (kinds.Int32Vector, np.int32, schema.Int32VectorT),
    ):
        if largest <= np.iinfo(dtype).max:
            vector = make()
            vector.values = values.astype(dtype)
            return kind, vector
    raise ValueError(f"expected indices below 2^31, received {largest}")


def _insert_densify(model: Any, graph: Any, indices: list[int], schema: Any) -> None:
    """Give every reader of a sparse tensor the output of a DENSIFY instead."""
    if not indices:
        return
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DENSIFY
    code.version = 1
    model.operatorCodes.append(code)
    operators = []
    for index in indices:
        source = graph.tensors[index]
        target = schema.TensorT()
        target.shape, target.type, target.name = source.shape, source.type, source.name + b"/dense"
        target.buffer = 0  # the empty buffer every file begins with
        graph.tensors.append(target)
        new = len(graph.tensors) - 1
        for operator in graph.operators:
            operator.inputs = np.where(np.asarray(operator.inputs) == index, new, operator.inputs)
        densify = schema.OperatorT()
        densify.opcodeIndex = len(model.operatorCodes) - 1
        densify.inputs = np.array([index], np.int32)
        densify.outputs = np.array([new], np.int32)
        densify.builtinOptionsType = schema.BuiltinOptions.DensifyOptions
        densify.builtinOptions = schema.DensifyOptionsT()
        operators.append(densify)
    graph.operators = operators + list(graph.operators)
