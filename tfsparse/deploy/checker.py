"""The deployment check: what each `.tflite` file weighs, does and may be refused for."""

import io
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse import files
from tfsparse.deploy.eligibility import xnnpack_eligibility
from tfsparse.deploy.limits import Limits
from tfsparse.deploy.reference import Reference, accuracy
from tfsparse.deploy.trial import Attempt, attempt, interpreter_worker
from tfsparse.deploy.worker import Worker
from tfsparse.environment import environment
from tfsparse.errors import UserError, one_line

FEW = 100
"""Images for the second attempt, which only has to show that the file runs."""


@dataclass(frozen=True)
class Timing:
    """How latency is measured."""

    threads: int = 1
    warm_up: int = 10
    repeats: int = 200
    timeout: float = 300.0
    """Seconds after which a file that does not answer is given up."""


def find_files(paths: Sequence[Path]) -> list[Path]:
    """The `.tflite` files among `paths`, in export folders and, for a run, in its export.

    Raises:
        UserError: a path that is not there, or a folder without such files.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("*.tflite")) or sorted((path / "export").glob("*.tflite"))
            if not inside:
                raise UserError(f"{path}: expected .tflite files in this folder, found none")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UserError(f"{path}: no such file; expected a .tflite file or an export folder")
    return found


def check_files(
    models: Sequence[Path],
    reference: Reference,
    limits: Limits,
    timing: Timing,
) -> dict[str, Any]:
    """Check each file and put the findings together.

    Args:
        models: the `.tflite` files.
        reference: what their outputs are held against.
        limits: what they must keep.
        timing: how latency is measured.

    Returns:
        The report, JSON values: `variants` is a list with a row for each file.
    """
    dense = _dense_size(models, reference)
    rows = []
    with interpreter_worker(timing.timeout) as worker:
        for path in models:
            rows.append(_check_one(worker, path, reference, dense, limits, timing))
    return {
        "kind": "deploy",
        "against": reference.description(),
        "dense": dense,
        "limits": limits.description(),
        "timing": asdict(timing),
        "environment": environment(),
        "litert": metadata.version("ai-edge-litert"),
        "statement": statement(rows, platform.machine()),
        "variants": rows,
    }


def exit_code(report: dict[str, Any]) -> int:
    """0: all pass; 1: one fails its limits; 2: one cannot be read at all."""
    found = {row["status"] for row in report["variants"]}
    return 2 if "unusable" in found else 1 if "fail" in found else 0


def _dense_size(models: Sequence[Path], reference: Reference) -> dict[str, Any]:
    """The dense float32 file to which sizes are compared, or the weights' own size."""
    path = reference.source.path
    for folder in [*{model.parent for model in models}, path / "export"]:
        file = folder / "float32.tflite"
        if file.is_file():
            data = file.read_bytes()
            return {"bytes": len(data), "zipped_bytes": zipped_size(data), "is": str(file)}
    size = reference.dense_bytes
    return {"bytes": size, "zipped_bytes": size, "is": "4 bytes for each of the model's weights"}


def zipped_size(data: bytes) -> int:
    """The size of `data` in a zip archive, bytes; app stores ship files so."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("model.tflite", data)
    return len(buffer.getvalue())


def _check_one(
    worker: Worker,
    path: Path,
    reference: Reference,
    dense: dict[str, Any],
    limits: Limits,
    timing: Timing,
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": path.stem, "file": str(path), "status": "unusable"}
    try:
        data = path.read_bytes()
    except OSError as error:
        return {**row, "reasons": [f"cannot be read ({error.strerror})"]}
    zipped = zipped_size(data)
    row |= {
        "bytes": len(data),
        "zipped_bytes": zipped,
        "size_ratio": len(data) / dense["bytes"] if dense["bytes"] else None,
        "zipped_ratio": zipped / dense["zipped_bytes"] if dense["zipped_bytes"] else None,
    }
    facts = worker.ask({"do": "inspect", "model": str(path)})
    if "error" in facts:
        return {**row, "reasons": [facts["error"].removeprefix(f"{path.name}: ")]}
    unlike = _unlike(facts, reference)
    if unlike:
        return {**row, "reasons": [unlike]}
    constants = [i for i, tensor in enumerate(facts["tensors"]) if tensor["constant"]]

    def run(delegate: bool, inputs: np.ndarray, repeats: int) -> Attempt:
        return attempt(
            worker,
            path,
            inputs,
            delegate=delegate,
            constants=constants,
            threads=timing.threads,
            warm_up=timing.warm_up,
            repeats=repeats,
        )

    inputs = reference.test.inputs
    default = run(True, inputs, timing.repeats)
    # Without the delegate all memory is planned by the interpreter, so the arena is known.
    plain = run(False, inputs[:FEW] if default.accepted else inputs, timing.repeats)
    best = default if default.accepted else plain
    row |= {
        "default_delegate": default.description(),
        "without_delegate": plain.description(),
        "threads": timing.threads,
        "latency": best.latency,
        "latency_with": "default delegate" if default.accepted else "no delegate",
        "arena_bytes": plain.arena_bytes,
        **_weights(facts),
        **_compared(best, reference),
        "xnnpack_sparse": _eligible(facts),
    }
    row["reasons"] = limits.violations(row)
    row["status"] = "fail" if row["reasons"] else "pass"
    return row


def _unlike(facts: dict[str, Any], reference: Reference) -> str | None:
    """Why the file cannot be a form of the reference: other inputs or outputs."""
    signature = reference.source.signature
    for what, shape in (("inputs", signature.input_shape), ("outputs", signature.output_shape)):
        expected = [[1, *shape]]
        try:
            found = [facts["tensors"][index]["shape"] for index in facts[what]]
        except IndexError:
            return f"its {what} name tensors that are not in the file"
        if found != expected:
            return f"{what}: expected shape {expected[0]} of the reference, the file has {found}"
    return None


def _weights(facts: dict[str, Any]) -> dict[str, Any]:
    """Which tensors are stored sparse, and the other weights."""
    tensors = [t for t in facts["tensors"] if t["constant"] and len(t["shape"]) >= 2]
    sparse = [
        {
            "name": tensor["name"],
            "shape": tensor["shape"],
            "dtype": tensor["dtype"],
            "format": tensor["sparse"]["format"],
            "zero_fraction": tensor["zero_fraction"],
            "stored_bytes": tensor["stored_bytes"],
        }
        for tensor in tensors
        if tensor["sparse"]
    ]
    return {"sparse_tensors": sparse, "weight_tensors": len(tensors)}


def _compared(best: Attempt, reference: Reference) -> dict[str, Any]:
    """Difference and accuracy of the outputs against the reference."""
    empty = {
        "n": 0,
        "finite": None,
        "max_difference": None,
        "accuracy": None,
        "accuracy_drop": None,
    }
    if best.outputs is None:
        return empty
    finite = bool(np.isfinite(best.outputs).all())
    found, known = accuracy(best.outputs, reference.test.labels), reference.accuracy
    return {
        "n": len(best.outputs),
        "finite": finite,
        "max_difference": float(np.abs(best.outputs - reference.outputs).max()) if finite else None,
        "accuracy": found,
        "accuracy_drop": None if found is None or known is None else known - found,
    }


def _eligible(facts: dict[str, Any]) -> dict[str, Any]:
    try:
        return asdict(xnnpack_eligibility(facts))
    except (LookupError, TypeError, ValueError) as error:  # a graph that contradicts itself
        return {"eligible": False, "layer": None, "reason": f"unreadable graph: {one_line(error)}"}


def statement(rows: Sequence[dict[str, Any]], machine: str) -> str:
    """What these figures say about a phone, and what they do not."""
    eligible = [row["name"] for row in rows if (row.get("xnnpack_sparse") or {}).get("eligible")]
    arm = machine.lower() in ("aarch64", "arm64")
    size = "Sizes and stored zeros are the same on a phone, outputs and accuracy up to rounding."
    if arm:
        time = "Latencies were measured on this ARM machine and rank the files for its cores only."
    else:
        time = (
            f"Latencies were measured on this {machine} machine and say nothing about a phone's: "
            "XNNPACK's sparse kernels are off on x86 processors with AVX, so zeros cannot make a "
            "convolution faster here."
        )
    if eligible:
        verdict = (
            f"On ARM, XNNPACK can run {', '.join(eligible)} with its sparse kernels; "
            "how much faster that is, only the phone can tell."
        )
    else:
        verdict = "On ARM, XNNPACK would run none of these files with its sparse kernels."
    accept = "Expect the same version of LiteRT to refuse there what it refuses here."
    return " ".join((size, accept, time, verdict))


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write `deploy.json`.

    Raises:
        UserError: the place cannot be written.
    """
    try:
        files.write_json(path, report)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None
