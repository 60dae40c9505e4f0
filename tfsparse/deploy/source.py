"""What is exported: a run, a Keras file or a SavedModel, stripped of its training wrappers."""

import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.config import RunConfig
from tfsparse.config.load import check
from tfsparse.deploy.serving import Signature, keras_signature, served_function
from tfsparse.errors import UserError, one_line
from tfsparse.models import get_weights, is_compact, set_weights
from tfsparse.runs import Run
from tfsparse.sparsity.compact_model import expand
from tfsparse.sparsity.layers import strip

SIGNATURE = "serving_default"


@dataclass
class Source:
    """A model to export.

    `model` is None for a SavedModel that holds no Keras layers; then only `function` is known.
    """

    path: Path
    kind: str
    """`run`, `keras` or `saved_model`."""
    function: Any
    """tf.function from a float batch to the outputs, with free batch size."""
    signature: Signature
    weights: dict[str, np.ndarray]
    keep_alive: Any = field(repr=False)
    """What owns the function's variables."""
    model: keras.Model | None = None
    config: RunConfig | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def open_source(path: str | Path) -> Source:
    """Open a run folder, a SavedModel folder, a `.keras` or an `.h5` file.

    Raises:
        UserError: nothing there, an unfinished run, an unreadable file, no usable signature.
    """
    path = Path(path)
    if (path / "config.json").is_file() and not (path / "saved_model.pb").is_file():
        return _open_run(path)
    if (path / "saved_model.pb").is_file():
        return _open_saved_model(path)
    if path.is_dir():
        raise UserError(
            f"{path}: expected a run folder (config.json) or a SavedModel (saved_model.pb), "
            "found neither"
        )
    if not path.is_file():
        raise UserError(
            f"{path}: no such file or folder; expected a run, SavedModel or .keras file"
        )
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise UserError(f"{path}: expected a .keras or .h5 file, a SavedModel or a run folder")
    if _keras_version(path) >= 3:
        return _open_keras_3(path)
    return from_keras(_load_keras(path), path, "keras")


def from_keras(model: keras.Model, path: Path, kind: str) -> Source:
    """A source from a Keras 2 model with one input and one output."""
    model = stripped(model)
    signature, function = keras_signature(model, str(path))
    return Source(
        path=path,
        kind=kind,
        function=function,
        signature=signature,
        weights=get_weights(model),
        keep_alive=list(model.weights),
        model=model,
    )


def stripped(model: keras.Model) -> keras.Model:
    """`model` of ordinary layers: no tfmot wrappers, no masked or compact layers, its zeros in
    place."""
    import tensorflow_model_optimization as tfmot

    if any(type(layer).__name__ == "PruneLowMagnitude" for layer in model.layers):
        model = tfmot.sparsity.keras.strip_pruning(model)
    if any(map(is_compact, model.layers)):
        model = expand(model)
    if any(hasattr(layer, "masked_kernel") for layer in model.layers):
        model = strip(model)
    return _in_float32(model)


def _in_float32(model: keras.Model) -> keras.Model:
    """`model` computing in float32: TFLite knows no bfloat16, and variables are float32 anyway."""
    if all(layer.compute_dtype in (None, "float32") for layer in model.layers):
        return model

    def plain(layer: keras.layers.Layer) -> keras.layers.Layer:
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    result = keras.models.clone_model(model, clone_function=plain)
    set_weights(result, get_weights(model))
    return result


def _open_run(path: Path) -> Source:
    run = Run(path)
    summary = run.summary()  # a UserError unless finished
    config = check(run.config_json(), RunConfig, str(path / "config.json"))
    model = stripped(_load_keras(run.saved_model))
    weights, masks = run.final_weights(), run.masks()
    for name, mask in masks.items():
        weights[f"{name}/kernel"] = weights[f"{name}/kernel"] * mask
    set_weights(model, weights)
    source = from_keras(model, path, "run")
    source.config = config
    source.provenance = {
        key: summary.get(key)
        for key in (
            "name", "method", "model", "data", "seed", "steps", "nominal_sparsity", "sparsity",
            "weights_hash", "mask_hash", "finished_at",
        )
    }  # fmt: skip
    source.provenance["test"] = summary.get("test")
    return source


def _open_saved_model(path: Path) -> Source:
    if (path / "keras_metadata.pb").is_file():
        try:
            return from_keras(_load_keras(path), path, "saved_model")
        except UserError:
            pass  # saved by another Keras, or a subclass: its functions are still there
    return _open_functions(path, path, "saved_model")


def _open_functions(folder: Path, path: Path, kind: str) -> Source:
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises anything on a damaged file
        raise UserError(f"{path}: not a readable SavedModel: {one_line(error)[:200]}") from None
    found = list(loaded.signatures)
    name = SIGNATURE if SIGNATURE in found or len(found) != 1 else found[0]
    if name not in found:
        raise UserError(
            f"{path}: expected a signature {SIGNATURE!r}, found {', '.join(found) or 'none'}; "
            "save it again with signatures="
        )
    signature, function = served_function(loaded.signatures[name], str(path))
    return Source(
        path=path,
        kind=kind,
        function=function,
        signature=signature,
        weights=_variables(loaded),
        keep_alive=loaded,
    )


def _variables(loaded: Any) -> dict[str, np.ndarray]:
    """The float variables by name, numbered where names repeat."""
    result: dict[str, np.ndarray] = {}
    for variable in getattr(loaded, "variables", None) or _signature_variables(loaded):
        if not variable.dtype.is_floating:
            continue
        name = base = variable.name.removesuffix(":0")
        number = 1
        while name in result:
            number += 1
            name = f"{base}_{number}"
        result[name] = variable.numpy()
    return result


def _signature_variables(loaded: Any) -> list[Any]:
    return [v for function in loaded.signatures.values() for v in function.variables]


def _load_keras(path: Path) -> keras.Model:
    import tensorflow_model_optimization as tfmot

    try:
        with tfmot.sparsity.keras.prune_scope():
            model = keras.models.load_model(str(path), compile=False)
    except Exception as error:  # Keras raises anything on a damaged or foreign file
        raise UserError(f"{path}: not a readable Keras model: {one_line(error)[:200]}") from None
    if not isinstance(model, keras.Model) or not model.built:
        raise UserError(f"{path}: expected a built Keras model, found {type(model).__name__}")
    return model


def _keras_version(path: Path) -> int:
    """The major version of Keras that wrote a `.keras` file; 2 where it does not say."""
    import json

    if path.suffix != ".keras":
        return 2
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = json.loads(archive.read("metadata.json"))
        return int(str(metadata.get("keras_version", "2")).split(".")[0])
    except (OSError, KeyError, ValueError, AttributeError, zipfile.BadZipFile):
        raise UserError(
            f"{path}: expected a .keras file, this one is damaged or no archive"
        ) from None


_EXPORT_KERAS_3 = """
import sys, keras
keras.saving.load_model(sys.argv[1], compile=False).export(sys.argv[2], verbose=False)
"""


def _open_keras_3(path: Path) -> Source:
    """Let Keras 3 itself, in its own process, turn its file into a SavedModel."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model"
        result = subprocess.run(
            [sys.executable, "-c", _EXPORT_KERAS_3, str(path), str(target)],
            capture_output=True,
            text=True,
        )
        if result.returncode:
            said = result.stderr.strip().splitlines()[-1:] or ["no message"]
            raise UserError(f"{path}: Keras 3 cannot export this model: {said[0][:200]}")
        return _open_functions(target, path, "keras")
