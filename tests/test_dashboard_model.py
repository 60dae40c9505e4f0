"""A SavedModel's weights are read from its variables; nothing of its graph runs."""

import numpy as np
import pytest

pytest.importorskip("streamlit", reason="the dashboard needs the extra [dashboard]")

import tensorflow as tf
import tf_keras as keras

from dashboard.saved_model import read_variables
from tfsparse.errors import UserError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "saved_model"
    layers = [
        keras.layers.Input((6, 6, 2)),
        keras.layers.Conv2D(3, 3, name="conv1"),
        keras.layers.BatchNormalization(name="bn1"),
        keras.layers.Flatten(),
        *(keras.layers.Dense(4, name=f"dense{i}") for i in range(12)),
    ]
    model = keras.Sequential(layers)
    model.save(folder, save_format="tf", include_optimizer=False)
    return folder, {weight.name.split(":")[0]: weight.numpy() for weight in model.weights}


def test_weights_by_layer_name_in_order(saved, monkeypatch):
    folder, expected = saved

    def refuse(*_, **__):
        raise AssertionError("the graph was loaded")

    monkeypatch.setattr(tf.saved_model, "load", refuse)
    monkeypatch.setattr(keras.models, "load_model", refuse)
    found = read_variables(folder)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    layers = list(dict.fromkeys(name.split("/")[0] for name in found))
    assert layers == ["conv1", "bn1", *(f"dense{i}" for i in range(12))]


def test_broken_saved_models(saved, tmp_path):
    with pytest.raises(UserError, match="missing"):
        read_variables(tmp_path)
    variables = tmp_path / "variables"
    variables.mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        read_variables(tmp_path)
    for part in (saved[0] / "variables").iterdir():
        (variables / part.name).write_bytes(part.read_bytes()[:200])
    with pytest.raises(UserError, match="cannot be read"):
        read_variables(tmp_path)
