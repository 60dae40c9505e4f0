"""Weights out of a SavedModel's variables; its graph is never loaded and nothing of it runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tfsparse.errors import UserError, one_line

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_NAME = re.compile(r"^(?:prune_low_magnitude_)?([^/]+)/([^/:]+)(?::\d+)?$")
_KEPT = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "mask"}


def read_variables(folder: Path) -> dict[str, np.ndarray]:
    """The weights of the SavedModel in `folder`, keyed "<layer>/<weight>".

    TensorFlow is imported here, for its checkpoint reader.

    Raises:
        UserError: no SavedModel there, or an unreadable one.
    """
    if not (folder / "variables").is_dir():
        raise UserError("saved_model: missing; it is written when a run finishes")
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
        names = _full_names(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        values = {
            names.get(key, key.removesuffix(_VALUE)): reader.get_tensor(key)
            for key in sorted(reader.get_variable_to_shape_map(), key=_place)
            if key.endswith(_VALUE)
        }
    except (ValueError, KeyError, tf.errors.OpError) as error:
        raise UserError(f"saved_model: cannot be read ({one_line(error)[:200]})") from None
    found = {}
    for name, value in values.items():
        match = _NAME.match(name)
        if match and match[2] in _KEPT and isinstance(value, np.ndarray):
            found[f"{match[1]}/{match[2]}"] = value
    return found


def _full_names(graph: bytes) -> dict[str, str]:
    """Checkpoint key -> the variable's own name, from the object graph inside the checkpoint."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2 as graphs

    try:
        parsed = graphs.TrackableObjectGraph.FromString(graph)
    except Exception as error:  # protobuf's own error class depends on its implementation
        raise ValueError(one_line(error)) from None
    return {
        attribute.checkpoint_key: attribute.full_name
        for node in parsed.nodes
        for attribute in node.attributes
        if attribute.full_name
    }


def _place(key: str) -> tuple[int, str]:
    """Layers in the model's order: "layer_with_weights-10" after "layer_with_weights-9"."""
    number = re.search(r"layer_with_weights-(\d+)", key)
    return (int(number[1]) if number else 10**9, key)
