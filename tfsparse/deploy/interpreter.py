"""The child process that reads and runs `.tflite` files with LiteRT.

Never imported by the process that wants the answer: a hostile or unlucky model may end it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse.deploy.flatbuffer import facts, require_mark
from tfsparse.deploy.worker import serve
from tfsparse.errors import UserError, one_line

MEMORY_LIMIT = 6 << 30


def main() -> None:
    """Answer requests `{"do": "inspect" | "run", ...}` from stdin."""
    import ai_edge_litert.interpreter  # noqa: F401  loaded before the first clock starts

    serve(answer, memory_limit=MEMORY_LIMIT)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request; the keys are the arguments of `inspect` and `run`."""
    work: dict[str, Callable[..., dict[str, Any]]] = {"inspect": inspect, "run": run}
    return work[request.pop("do")](**request)


def inspect(model: str) -> dict[str, Any]:
    """What the file `model` says about itself; see `flatbuffer.facts`."""
    data = Path(model).read_bytes()
    require_mark(data, Path(model).name)
    try:
        return facts(data)
    except Exception as error:  # a damaged file can break the reader anywhere
        raise UserError(f"the file is damaged: {one_line(error)}") from None


def run(
    model: str,
    images: str,
    outputs: str,
    *,
    delegate: bool,
    constants: list[int] | None = None,
    examples: int | None = None,
    threads: int = 1,
    warm_up: int = 10,
    repeats: int = 0,
    seconds: float = 2.0,
) -> dict[str, Any]:
    """Load `model`, run it on images one by one and store its outputs.

    Args:
        model: the `.tflite` file; one input of shape [1, ...], one output.
        images: `.npy` of float32 [n, ...]; quantized with the input's parameters if it is int8.
        outputs: where to store the outputs, `.npy` of float32 [n, ...], dequantized.
        delegate: with the default delegate (XNNPACK), or without any.
        constants: tensors that hold weights, left out of the arena.
        examples: use only so many images.
        threads: of the interpreter.
        warm_up: untimed calls before the timed ones.
        repeats: timed calls on the first image; 0 measures no latency.
        seconds: stop timing after so long.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.AUTO if delegate else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_path=model, experimental_op_resolver_type=resolver, num_threads=threads
    )
    interpreter.allocate_tensors()
    source, target = _one(interpreter.get_input_details()), _one(interpreter.get_output_details())
    batch = np.load(images, allow_pickle=False, mmap_mode="r")
    count = len(batch) if examples is None else min(examples, len(batch))
    _require_shape(source["shape"], batch.shape[1:])
    index, result = source["index"], []
    for image in batch[:count]:
        interpreter.set_tensor(index, _quantized(image[None], source))
        interpreter.invoke()
        result.append(_dequantized(interpreter.get_tensor(target["index"])[0], target))
    np.save(outputs, np.asarray(result, np.float32))
    operators = [op["op_name"] for op in interpreter._get_ops_details()]
    return {
        "arena_bytes": _arena_bytes(interpreter, set(constants or ())),
        "delegated": operators.count("DELEGATE"),
        "latency": _latency(interpreter, warm_up, repeats, seconds) if repeats else None,
    }


def _latency(
    interpreter: Any, warm_up: int, repeats: int, seconds: float
) -> dict[str, float | int]:
    """Milliseconds per call: the median and the tenth and ninetieth percentile."""
    for _ in range(warm_up):
        interpreter.invoke()
    times: list[int] = []
    end = time.perf_counter() + seconds
    while len(times) < repeats and (len(times) < 5 or time.perf_counter() < end):
        start = time.perf_counter_ns()
        interpreter.invoke()
        times.append(time.perf_counter_ns() - start)
    low, median, high = (float(value) / 1e6 for value in np.percentile(times, [10, 50, 90]))
    return {"median_ms": median, "p10_ms": low, "p90_ms": high, "calls": len(times)}


def _arena_bytes(interpreter: Any, constants: set[int]) -> int:
    """Bytes of memory behind all tensors that are not weights.

    Tensors share memory when their lives do not overlap, so overlapping ranges count once.
    """
    ranges = []
    for details in interpreter.get_tensor_details():
        if details["index"] in constants:
            continue
        try:
            view = interpreter.tensor(details["index"])()
        except (ValueError, RuntimeError):  # has no memory: a delegate took it over
            continue
        if view.nbytes:
            start = view.__array_interface__["data"][0]
            ranges.append((start, start + view.nbytes))
        del view
    total, end = 0, 0
    for first, last in sorted(ranges):
        total += max(0, last - max(first, end))
        end = max(end, last)
    return total


def _one(details: list[dict[str, Any]]) -> dict[str, Any]:
    if len(details) != 1:
        raise ValueError(f"expected one input and one output, found {len(details)} of a kind")
    return details[0]


def _require_shape(shape: Any, expected: tuple[int, ...]) -> None:
    if tuple(int(size) for size in shape) != (1, *expected):
        raise ValueError(f"expected input shape {[1, *expected]}, the file has {list(shape)}")


def _quantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    """`values` in the input's type: q = round(x / scale) + zero point."""
    dtype = np.dtype(details["dtype"])
    if dtype.kind == "f":
        return np.asarray(values, dtype)
    scale, zero = details["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / (scale or 1.0)) + zero, limits.min, limits.max).astype(dtype)


def _dequantized(values: np.ndarray, details: dict[str, Any]) -> np.ndarray:
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    scale, zero = details["quantization"]
    return np.asarray((values.astype(np.float32) - zero) * (scale or 1.0), np.float32)
