"""The serving SavedModel: one signature with named input and output and a fixed type and shape."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError


@dataclass(frozen=True)
class Signature:
    """The names, types and shapes of the one input and the one output; the batch is free."""

    input_name: str
    input_shape: tuple[int, ...]
    """Without the batch."""
    output_name: str
    output_shape: tuple[int, ...]
    """Without the batch."""
    dtype: str = "float32"

    def description(self) -> dict[str, Any]:
        """The signature as JSON values; null stands for the free batch."""
        return {
            "name": "serving_default",
            "method": "tensorflow/serving/predict",
            "inputs": {self.input_name: {"dtype": self.dtype, "shape": [None, *self.input_shape]}},
            "outputs": {
                self.output_name: {"dtype": self.dtype, "shape": [None, *self.output_shape]}
            },
        }


def keras_signature(model: keras.Model, origin: str) -> tuple[Signature, Any]:
    """The signature of a Keras model, and the function from a batch to its outputs.

    Raises:
        UserError: several inputs or outputs, or a size that is not fixed.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise UserError(
            f"{origin}: expected a model with one input and one output, "
            f"it has {len(model.inputs)} and {len(model.outputs)}"
        )
    name = model.inputs[0]._keras_history.layer.name
    shape = _fixed(model.inputs[0].shape[1:], f"{origin}: input {name!r}")
    output = _fixed(model.outputs[0].shape[1:], f"{origin}: output")
    names = (_identifier(name), _identifier(model.outputs[0]._keras_history.layer.name))
    if names[0] == names[1]:
        names = (names[0], f"{names[1]}_output")
    signature = Signature(names[0], shape, names[1], output)
    return signature, tf.function(lambda batch: tf.cast(model(batch, training=False), tf.float32))


def served_function(function: Any, origin: str) -> tuple[Signature, Any]:
    """The signature of a loaded SavedModel, and its function from a batch to its outputs.

    Raises:
        UserError: not one float32 input and one float32 output of fixed size.
    """
    inputs = function.structured_input_signature[1]
    outputs = function.structured_outputs
    if len(inputs) != 1 or len(outputs) != 1:
        raise UserError(
            f"{origin}: expected a signature with one input and one output, it has "
            f"{len(inputs)} and {len(outputs)}"
        )
    ((name, source),) = inputs.items()
    ((output_name, target),) = outputs.items()
    for what, spec in ((f"input {name!r}", source), (f"output {output_name!r}", target)):
        if spec.dtype != tf.float32:
            raise UserError(f"{origin}: {what}: expected float32, received {spec.dtype.name}")
    if source.shape.rank is None or source.shape.rank < 2:
        raise UserError(f"{origin}: input {name!r}: expected a batch, received {source.shape}")
    signature = Signature(
        name,
        _fixed(source.shape[1:], f"{origin}: input {name!r}"),
        output_name,
        _fixed(target.shape[1:], f"{origin}: output {output_name!r}"),
    )
    return signature, tf.function(lambda batch: function(**{name: batch})[output_name])


def write_saved_model(path: Path, function: Any, signature: Signature, keep_alive: Any) -> None:
    """Write the SavedModel folder `path` whole or not at all; an older one is replaced.

    Args:
        path: the folder.
        function: from a float batch to the outputs.
        signature: its names, type and shapes.
        keep_alive: owner of the function's variables, saved with it.
    """
    spec = tf.TensorSpec([None, *signature.input_shape], tf.float32, signature.input_name)
    module = tf.Module()
    module.kept = keep_alive

    # `serve` has one positional argument, which Keras 3's TFSMLayer needs to call it.
    @tf.function(input_signature=[spec])
    def serve(batch: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return {signature.output_name: function(batch)}

    module.serve = serve
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        tf.saved_model.save(module, str(temporary / "new"), signatures={"serving_default": serve})
        if path.exists():
            path.rename(temporary / "old")
        (temporary / "new").rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fixed(shape: Any, what: str) -> tuple[int, ...]:
    sizes = tuple(shape)
    if any(size is None for size in sizes):
        raise UserError(f"{what}: expected fixed sizes after the batch, received {(None, *sizes)}")
    return tuple(int(size) for size in sizes)


def _identifier(name: str) -> str:
    """A layer name as a signature name: letters, digits and underscores."""
    clean = "".join(c if c.isalnum() or c == "_" else "_" for c in name)
    return clean if clean and not clean[0].isdigit() else f"tensor_{clean}"
