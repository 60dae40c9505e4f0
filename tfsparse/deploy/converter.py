"""The child process that converts a SavedModel to `.tflite` files.

TensorFlow's converter is native code that sometimes ends its process; the export goes on.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse.deploy.sparsify import sparsify
from tfsparse.deploy.variants import VARIANTS, Variant
from tfsparse.deploy.worker import serve


def main() -> None:
    """Answer requests with the arguments of `convert` from stdin."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    serve(lambda request: convert(**request))


def convert(
    saved_model: str, variant: str, target: str, examples: str | None = None
) -> dict[str, Any]:
    """Convert `saved_model` to one `.tflite` file with batch size 1.

    Args:
        saved_model: a SavedModel folder as `serving.write_saved_model` writes it.
        variant: a name of `VARIANTS`.
        target: where to write the file.
        examples: `.npy` of float32 [n, ...] inputs, the representative set.
    """
    wanted = VARIANTS[variant]
    if wanted.sparse and wanted.weights == "float16":
        # The converter's own form gives NaN once weights are very sparse.
        data = sparsify(_convert(saved_model, VARIANTS["float16"], examples))
    else:
        data = _convert(saved_model, wanted, examples)
    Path(target).write_bytes(data)
    return {"bytes": len(data)}


def _convert(saved_model: str, variant: Variant, examples: str | None) -> bytes:
    import tensorflow as tf

    loaded = tf.saved_model.load(saved_model)
    served = loaded.signatures["serving_default"]
    ((name, spec),) = served.structured_input_signature[1].items()
    (output,) = served.structured_outputs

    @tf.function(input_signature=[tf.TensorSpec([1, *spec.shape[1:]], spec.dtype, name)])
    def one(batch: tf.Tensor) -> dict[str, tf.Tensor]:
        return {output: served(**{name: batch})[output]}

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [one.get_concrete_function()], loaded
    )
    optimizations = []
    if variant.sparse:
        optimizations.append(tf.lite.Optimize.EXPERIMENTAL_SPARSITY)
    if variant.weights != "float32":
        optimizations.append(tf.lite.Optimize.DEFAULT)
    if variant.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant.needs_examples:
        batch = np.load(examples, allow_pickle=False) if examples else np.zeros([0, 1])
        if not len(batch):
            raise ValueError("the representative set is empty")

        def representative() -> Iterator[list[np.ndarray]]:
            for image in batch:
                yield [image[None].astype(np.float32)]

        converter.representative_dataset = representative
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.optimizations = optimizations
    return bytes(converter.convert())
