"""What a checked file is held against: the Keras model and its test set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfsparse.config import DataConfig
from tfsparse.deploy.examples import TestSet, held_out, inputs_from_file, load_for, random_inputs
from tfsparse.deploy.source import Source, open_source
from tfsparse.sparsity.latency import latency_obstacle

_BATCH = 250


@dataclass(frozen=True)
class Reference:
    """A model's outputs on the test set."""

    source: Source
    test: TestSet
    outputs: np.ndarray
    """float32 [n, classes]"""

    @property
    def accuracy(self) -> float | None:
        """Fraction of right answers; None without labels."""
        return accuracy(self.outputs, self.test.labels)

    @property
    def dense_bytes(self) -> int:
        """The size of all weights as float32 numbers."""
        return sum(4 * array.size for array in self.source.weights.values())

    def description(self) -> dict[str, Any]:
        """The reference as JSON values."""
        model = self.source.model
        return {
            "path": str(self.source.path),
            "kind": self.source.kind,
            "inputs": self.test.about,
            "n": len(self.test.inputs),
            "accuracy": self.accuracy,
            "largest_output": float(np.abs(self.outputs).max()) if self.outputs.size else None,
            "weights_bytes": self.dense_bytes,
            "latency_policy_obstacle": None if model is None else latency_obstacle(model),
        }


def open_reference(
    path: Path,
    *,
    examples: Path | None,
    data: DataConfig | None,
    count: int | None,
) -> Reference:
    """Run the model at `path` on its test set.

    Args:
        path: a run, SavedModel or Keras file.
        examples: `.npz` with `images` and perhaps `labels`, instead of a data set.
        data: the data set, where the source names none.
        count: use only so many images.

    Raises:
        UserError: the source or the data cannot be used.
    """
    source = open_source(path)
    shape = source.signature.input_shape
    if data is None and source.config is not None:
        data = source.config.data
    if examples is not None:
        test = inputs_from_file(examples, shape)
        labels = None if test.labels is None else test.labels[:count]
        test = TestSet(test.inputs[:count], labels, test.about)
    elif data is not None:
        test = held_out(load_for(data, shape, seed=0), count)
    else:
        test = random_inputs(shape, min(count or 64, 64), seed=0)
    batches = [
        np.asarray(source.function(tf.constant(test.inputs[start : start + _BATCH])))
        for start in range(0, len(test.inputs), _BATCH)
    ]
    outputs = np.concatenate(batches) if batches else np.zeros((0, 1), np.float32)
    return Reference(source, test, outputs)


def accuracy(outputs: np.ndarray, labels: np.ndarray | None) -> float | None:
    """The fraction of rows whose largest output is at the label; None without labels."""
    if labels is None or not len(labels) or outputs.ndim != 2:
        return None
    return float(np.mean(outputs.argmax(axis=1) == labels))
