"""Export: a SavedModel, `.tflite` variants, a compact checkpoint, and what they were made from."""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse import files
from tfsparse.deploy.compact import write_compact
from tfsparse.deploy.examples import inputs_from_file, load_for, random_inputs, training_inputs
from tfsparse.deploy.serving import write_saved_model
from tfsparse.deploy.shrink import shrink
from tfsparse.deploy.source import Source, from_keras, open_source
from tfsparse.deploy.sparsify import MIN_ZEROS
from tfsparse.deploy.trial import Attempt, attempt, interpreter_worker, litert_installed
from tfsparse.deploy.variants import VARIANTS, Variant
from tfsparse.deploy.worker import Worker
from tfsparse.deploy.zeros import empty_channels_in_words, zeros_of
from tfsparse.environment import environment
from tfsparse.errors import UserError, one_line

Note = Callable[[str], None]

CONVERTER = "tfsparse.deploy.converter"
"""The module of the child process that converts."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export and how."""

    variants: Sequence[Variant] = tuple(VARIANTS.values())
    examples: Path | None = None
    """`.npz` with the representative set; default: training images of the run."""
    num_examples: int = 500
    shrink: bool = False
    """Remove superfluous neurons and channels first."""
    without_delegate: bool = False
    """Also write sparse forms that LiteRT runs only with its default delegate off."""
    required: bool = False
    """A variant that needs a representative set where there is none is a failure, not a skip."""
    seed: int = 0


def export(path: Path, out: Path, options: ExportOptions, note: Note) -> dict[str, Any]:
    """Export a run, SavedModel or Keras file into the folder `out`.

    Args:
        path: what to export.
        out: the folder; made if missing, its older export is replaced.
        options: which variants and how.
        note: called with one line for each thing that was written, skipped or failed.

    Returns:
        The contents of `export.json`, which is written last.

    Raises:
        UserError: the source or the representative set cannot be used.
    """
    source = open_source(path)
    record: dict[str, Any] = {
        "kind": "export",
        "source": {"path": str(path), "kind": source.kind, **source.provenance},
        "signature": source.signature.description(),
        "sparsity": zeros_of(source.weights),
        "shrink": None,
    }
    normed = any(name.endswith("moving_variance") for name in source.weights)
    words = empty_channels_in_words(record["sparsity"], batch_norm=normed)
    if words:
        note(words)
    if options.shrink:
        source, record["shrink"] = _shrunk(source, note)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "export.json").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from None
    write_saved_model(out / "saved_model", source.function, source.signature, source.keep_alive)
    note(f"saved_model/: signature {_in_words(source)}")
    record["compact"] = _write_compact(out, source, note)
    examples, record["preprocessing"], record["representative"] = _examples(source, options)
    record["variants"] = _write_variants(out, source, examples, record, options, note)
    record["environment"] = environment()
    files.write_json(out / "export.json", record)
    return record


def _shrunk(source: Source, note: Note) -> tuple[Source, dict[str, Any]]:
    if source.model is None:
        raise UserError(
            f"{source.path}: --shrink needs the layers of a Keras model, this SavedModel has none"
        )
    result = shrink(source.model)
    smaller = from_keras(result.model, source.path, source.kind)
    smaller.config, smaller.provenance = source.config, source.provenance
    probe = random_inputs(source.signature.input_shape, 16, seed=0).inputs
    before, after = np.asarray(source.function(probe)), np.asarray(smaller.function(probe))
    difference = float(np.abs(before - after).max())
    if not difference <= 1e-5 * max(1.0, float(np.abs(before).max())):
        raise UserError(
            f"{source.path}: --shrink would change the outputs by {difference:g}; export without it"
        )
    total = sum(result.removed.values())
    note(
        f"shrink: {total} neurons and channels removed, {result.parameters_before:,} -> "
        f"{result.parameters_after:,} parameters"
    )
    for layer, reason in result.skipped.items():
        note(f"shrink: layer {layer!r}: {reason}")
    return smaller, {
        "removed": result.removed,
        "skipped": result.skipped,
        "parameters_before": result.parameters_before,
        "parameters_after": result.parameters_after,
        "max_difference": difference,
    }


def _write_compact(out: Path, source: Source, note: Note) -> dict[str, Any]:
    size = write_compact(out / "compact.npz", source.weights)
    dense = sum(array.nbytes for array in source.weights.values())
    note(f"compact.npz: {size:,} bytes for {dense:,} bytes of weights")
    return {"file": "compact.npz", "bytes": size, "dense_bytes": dense}


def _examples(
    source: Source, options: ExportOptions
) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """The representative set (empty where there is none), preprocessing and where both are from."""
    shape = source.signature.input_shape
    empty = np.zeros((0, *shape), np.float32)
    preprocessing: dict[str, Any] = {"known": False, "reason": "the source names no data set"}
    examples: np.ndarray = empty
    origin: str | None = None
    if source.config is not None:
        try:
            data = load_for(source.config.data, shape, seed=source.config.seed)
        except UserError as error:
            preprocessing["reason"] = origin = str(error)
        else:
            preprocessing = {"known": True, **data.description()}
            if options.examples is None:
                count = options.num_examples
                examples = training_inputs(data, count, seed=options.seed)
                origin = f"training images of {source.config.data.name}"
    if options.examples is not None:
        examples = inputs_from_file(options.examples, shape).inputs[: options.num_examples]
        origin = str(options.examples)
    return examples, preprocessing, {"from": origin, "n": len(examples)}


def _write_variants(
    out: Path,
    source: Source,
    examples: np.ndarray,
    record: dict[str, Any],
    options: ExportOptions,
    note: Note,
) -> dict[str, Any]:
    """Convert, try and install each variant; one that fails leaves the others alone."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        converter = stack.enter_context(Worker(CONVERTER, timeout=1800))
        interpreter = None
        if litert_installed():
            interpreter = stack.enter_context(interpreter_worker())
        else:
            note("ai-edge-litert is missing: nothing was tried; pip install 'tfsparse[deploy]'")
        if len(examples):
            np.save(folder / "examples.npy", examples)
        probe = examples[:8]
        if not len(probe):
            probe = random_inputs(source.signature.input_shape, 8, seed=0).inputs
        session = _Session(out, folder, converter, interpreter, probe, len(examples), options)
        result = {}
        for variant in options.variants:
            entry = session.write(variant, record)
            result[variant.name] = entry
            if entry["status"] == "written":
                note(f"{variant.name}: {entry['file']}, {entry['bytes']:,} bytes")
            else:
                note(f"{variant.name}: {entry['status']}: {entry['reason']}")
        return result


class _Session:
    """Two child processes and what has been tried so far."""

    def __init__(
        self,
        out: Path,
        folder: Path,
        converter: Worker,
        interpreter: Worker | None,
        probe: np.ndarray,
        num_examples: int,
        options: ExportOptions,
    ) -> None:
        self.out, self.folder, self.probe, self.options = out, folder, probe, options
        self.converter, self.interpreter, self.num_examples = converter, interpreter, num_examples
        self.outputs: dict[str, dict[bool, np.ndarray | None]] = {}

    def write(self, variant: Variant, record: dict[str, Any]) -> dict[str, Any]:
        """Write one variant's file, or say why there is none."""
        target = self.out / f"{variant.name}.tflite"
        target.unlink(missing_ok=True)  # an older export's file must not pass for this one's
        about = {"about": variant.about}
        if variant.sparse and record["sparsity"]["largest"] < MIN_ZEROS:
            reason = f"no weight is at least {MIN_ZEROS:.0%} zeros"
            return {"status": "skipped", "reason": reason, **about}
        if variant.needs_examples and not self.num_examples:
            origin = record["representative"]["from"]
            if origin is None and not self.options.required:
                reason = "needs a representative set; give --examples, or export a run"
                return {"status": "skipped", "reason": reason, **about}
            reason = f"the representative set is empty ({origin or 'give --examples'})"
            return {"status": "failed", "reason": reason, **about}
        made = self.folder / target.name
        answer = self.converter.ask(
            {
                "saved_model": str(self.out / "saved_model"),
                "variant": variant.name,
                "target": str(made),
                "examples": str(self.folder / "examples.npy") if self.num_examples else None,
            }
        )
        if "error" in answer:
            return {"status": "failed", "reason": f"converter: {answer['error']}", **about}
        tried, obstacle = self._try(variant, made)
        if obstacle:
            return {"status": "skipped", "reason": obstacle, "tried": tried, **about}
        data = made.read_bytes()
        try:
            files.write_bytes(target, data)
        except OSError as error:
            return {"status": "failed", "reason": one_line(error), **about}
        return {
            "status": "written",
            "file": target.name,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "tried": tried,
            **about,
        }

    def _try(self, variant: Variant, made: Path) -> tuple[dict[str, Any] | None, str | None]:
        """Run the file both ways; a reason not to keep it, where there is one."""
        if self.interpreter is None:
            if variant.sparse and variant.weights != "float32":
                return None, "cannot be tried without ai-edge-litert"
            return None, None
        default, plain = (
            attempt(self.interpreter, made, self.probe, delegate=delegate)
            for delegate in (True, False)
        )
        tried = {
            "default_delegate": default.error or "runs",
            "without_delegate": plain.error or "runs",
        }
        # Kernels round differently with and without the delegate, so both are kept apart.
        self.outputs[variant.name] = {True: default.outputs, False: plain.outputs}
        return tried, self._obstacle(variant, default, plain) if variant.sparse else None

    def _obstacle(self, variant: Variant, default: Attempt, plain: Attempt) -> str | None:
        best = default if default.accepted else plain
        if best.outputs is None:
            return f"LiteRT refuses it: {plain.error}"
        if not default.accepted and not self.options.without_delegate:
            return (
                f"LiteRT's default delegate refuses it ({default.error}); "
                "--without-delegate writes it all the same"
            )
        if not np.isfinite(best.outputs).all():
            return "its outputs are not finite"
        dense = self.outputs.get(variant.origin or "", {}).get(default.accepted)
        if dense is not None:
            difference = float(np.abs(best.outputs - dense).max())
            if difference > 1e-2 * max(1.0, float(np.abs(dense).max())):
                return f"its outputs differ from {variant.origin}'s by {difference:g}"
        return None


def _in_words(source: Source) -> str:
    s = source.signature
    shapes = [",".join(["batch", *map(str, shape)]) for shape in (s.input_shape, s.output_shape)]
    return f"{s.input_name} [{shapes[0]}] -> {s.output_name} [{shapes[1]}], {s.dtype}"
