"""Export: what is written, from what, and what happens when something is wrong."""

import hashlib
import shutil
import subprocess
import sys

import made_deploy
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras

from tfsparse import files
from tfsparse.config import ModelConfig
from tfsparse.deploy.compact import read_compact
from tfsparse.deploy.exporter import ExportOptions, export
from tfsparse.deploy.source import open_source
from tfsparse.deploy.trial import attempt, interpreter_worker, litert_installed
from tfsparse.deploy.variants import VARIANTS, chosen
from tfsparse.errors import UserError
from tfsparse.models import build

needs_litert = pytest.mark.skipif(not litert_installed(), reason="ai-edge-litert is not installed")


def no_note(text):
    pass


def some(names, **more):
    return ExportOptions(variants=chosen(names), **more)


def images(shape=made_deploy.SHAPE, count=5):
    return np.random.default_rng(1).normal(size=(count, *shape)).astype(np.float32)


# ---- what is written ------------------------------------------------------------------


@pytest.mark.parametrize("normed", [True, False])
def test_channels_without_weights_are_counted_and_before_batch_norm_said(tmp_path, normed):
    layers = [keras.Input(made_deploy.SHAPE), keras.layers.Conv2D(4, 3, name="conv")]
    layers += [keras.layers.BatchNormalization(name="bn")] if normed else []
    layers += [keras.layers.Flatten(), keras.layers.Dense(2, name="logits")]
    model = keras.Sequential(layers)
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., 1] = 0.0
    model.get_layer("conv").set_weights([kernel, bias])
    model.save(tmp_path / "m.keras")
    said = []
    record = export(tmp_path / "m.keras", tmp_path / "out", some("float32"), said.append)
    assert list(record["sparsity"]["empty_channels"].values()) == [[1, 4]]
    told = [line for line in said if line.startswith("note: 1 output channels have no weight left")]
    assert len(told) == normed


@needs_litert
def test_the_folder_holds_just_what_the_record_says():
    _, out, said = made_deploy.exported_run()
    record = files.read_json(out / "export.json")
    status = {name: entry["status"] for name, entry in record["variants"].items()}
    refused = {"int8_dynamic_sparse", "int8_sparse"}
    assert status == {n: "skipped" if n in refused else "written" for n in VARIANTS}
    written = {f"{name}.tflite" for name, value in status.items() if value == "written"}
    assert {path.name for path in out.iterdir()} == {
        "saved_model", "compact.npz", "export.json", *written,
    }  # fmt: skip
    for name in refused:
        assert "default delegate refuses it" in record["variants"][name]["reason"]
        assert any(line.startswith(f"{name}: skipped") for line in said)
    for name in written:
        entry = record["variants"][name.removesuffix(".tflite")]
        data = (out / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_record_tells_how_to_feed_the_model_and_what_it_is():
    _, out, _ = made_deploy.exported_run()
    record = files.read_json(out / "export.json")
    assert record["source"]["name"] == "made" and record["source"]["kind"] == "run"
    assert record["signature"]["inputs"] == {
        "image": {"dtype": "float32", "shape": [None, 28, 28, 1]}
    }
    assert record["signature"]["outputs"] == {"logits": {"dtype": "float32", "shape": [None, 10]}}
    assert record["preprocessing"]["input_shape"] == [28, 28, 1]
    assert "pixel / 255" in record["preprocessing"]["scaling"]
    assert record["sparsity"]["overall"] == pytest.approx(0.8, abs=1e-3)
    assert record["representative"] == {"from": "training images of digits", "n": 20}
    assert "tensorflow" in record["environment"]["packages"]


def test_sparse_files_are_smaller():
    _, out, _ = made_deploy.exported_run()
    size = {path.stem: path.stat().st_size for path in out.glob("*.tflite")}
    assert size["float32_sparse"] <= 0.35 * size["float32"]
    assert size["float16_sparse"] <= 0.25 * size["float32"]
    assert size["int8"] <= 0.35 * size["float32"]


@needs_litert
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("float32", 1e-5), ("float32_sparse", 1e-5), ("float16", 1e-2), ("float16_sparse", 1e-2)],
)
@pytest.mark.parametrize("delegate", [True, False])
def test_tflite_outputs_are_those_of_the_run(name, tolerance, delegate):
    run, out, _ = made_deploy.exported_run()
    x = images()
    with interpreter_worker() as worker:
        found = attempt(worker, out / f"{name}.tflite", x, delegate=delegate)
    expected = np.asarray(open_source(run.path).function(tf.constant(x)))
    assert found.error is None
    np.testing.assert_allclose(found.outputs, expected, atol=tolerance)


def test_the_compact_checkpoint_is_the_run():
    run, out, _ = made_deploy.exported_run()
    back = read_compact(out / "compact.npz")
    final = run.final_weights()
    assert set(back) == set(final)
    for name, value in final.items():
        assert back[name].tobytes() == value.tobytes()
    dense = sum(value.nbytes for value in final.values())
    assert (out / "compact.npz").stat().st_size < 0.3 * dense


# ---- the SavedModel elsewhere ---------------------------------------------------------


def test_the_saved_model_loads_and_has_any_batch_size():
    run, out, _ = made_deploy.exported_run()
    served = tf.saved_model.load(str(out / "saved_model")).signatures["serving_default"]
    function = open_source(run.path).function
    for count in (1, 4):
        x = tf.constant(images(count=count))
        (result,) = served(image=x).values()
        np.testing.assert_allclose(result, function(x), atol=1e-6)


def test_the_saved_model_keeps_tensorflow_servings_conventions(tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    _, out, _ = made_deploy.exported_run()
    shutil.copytree(out / "saved_model", tmp_path / "digits" / "1")  # <name>/<version>
    proto = saved_model_pb2.SavedModel()
    proto.ParseFromString((tmp_path / "digits" / "1" / "saved_model.pb").read_bytes())
    (graph,) = proto.meta_graphs
    assert list(graph.meta_info_def.tags) == ["serve"]
    signature = graph.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    (name, tensor), *rest = signature.inputs.items()
    assert name == "image" and not rest
    assert [size.size for size in tensor.tensor_shape.dim] == [-1, 28, 28, 1]
    assert tf.saved_model.contains_saved_model(str(tmp_path / "digits" / "1"))


KERAS_3 = """
import sys, numpy as np, keras
folder = sys.argv[2]
assert keras.__version__.startswith("3"), keras.__version__
layer = keras.layers.TFSMLayer(sys.argv[1], call_endpoint="serving_default")
x = np.load(folder + "/x.npy")
np.save(folder + "/y.npy", np.asarray(layer(x)["logits"]))
inputs = keras.Input(x.shape[1:])
model = keras.Model(inputs, keras.layers.Softmax()(layer(inputs)["logits"]))
assert abs(float(np.sum(model.predict(x, verbose=0)[0])) - 1) < 1e-4
model = keras.Sequential([keras.Input((6,), name="numbers"), keras.layers.Dense(3, name="scores")])
model.save(folder + "/own.keras")
np.save(folder + "/own.npy", model(np.ones((2, 6), "float32")))
"""


def test_keras_3_runs_the_saved_model_as_a_layer_and_its_own_file_is_a_source(tmp_path):
    run, out, _ = made_deploy.exported_run()
    x = images()
    np.save(tmp_path / "x.npy", x)
    arguments = [str(out / "saved_model"), str(tmp_path)]
    result = subprocess.run(
        [sys.executable, "-c", KERAS_3, *arguments], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-2000:]
    expected = open_source(run.path).function(tf.constant(x))
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, atol=1e-5)
    source = open_source(tmp_path / "own.keras")
    found = source.function(tf.ones((2, 6)))
    np.testing.assert_allclose(found, np.load(tmp_path / "own.npy"), atol=1e-6)
    assert len(source.weights) == 2


# ---- other sources --------------------------------------------------------------------


def tiny(activation=None):
    return keras.Sequential(
        [
            keras.Input((6,), name="numbers"),
            keras.layers.Dense(32, activation="relu", name="hidden"),
            keras.layers.Dense(3, activation=activation, name="scores"),
        ]
    )


def test_pruning_wrappers_are_stripped(tmp_path):
    wrapped = tfmot.sparsity.keras.prune_low_magnitude(
        tiny(), tfmot.sparsity.keras.ConstantSparsity(0.5, 0)
    )
    wrapped.save(tmp_path / "wrapped.keras")
    source = open_source(tmp_path / "wrapped.keras")
    assert sorted(source.weights) == [
        "hidden/bias", "hidden/kernel", "scores/bias", "scores/kernel",
    ]  # fmt: skip
    x = images((6,))
    np.testing.assert_allclose(source.function(tf.constant(x)), wrapped(x), atol=1e-6)


def test_masked_layers_are_stripped(tmp_path):
    from tfsparse.sparsity.layers import masked

    model = tiny()
    mask = np.zeros((6, 32), np.uint8)
    mask[0] = 1
    twin = masked(model, {"hidden": mask})
    twin.get_layer("hidden").kernel.assign(tf.ones((6, 32)))  # junk under the mask
    twin.save(tmp_path / "masked", save_format="tf")
    source = open_source(tmp_path / "masked")
    assert np.count_nonzero(source.weights["hidden/kernel"]) == 32
    x = images((6,))
    np.testing.assert_allclose(source.function(tf.constant(x)), twin(x), atol=1e-6)


def test_a_network_trained_in_bfloat16_is_exported_in_float32(tmp_path):
    model = build(
        ModelConfig(name="resnet_20", width=0.25), (8, 8, 3), 4, seed=0, precision="mixed_bfloat16"
    )
    model.save(tmp_path / "m", save_format="tf")
    source = open_source(tmp_path / "m")
    assert {layer.compute_dtype for layer in source.model.layers} == {"float32"}
    x = tf.constant(images((8, 8, 3)))
    expected = build(ModelConfig(name="resnet_20", width=0.25), (8, 8, 3), 4, seed=0)
    np.testing.assert_allclose(source.function(x), expected(x, training=False), atol=1e-5)


class Doubler(tf.Module):
    def __init__(self):
        self.kernel = tf.Variable(tf.eye(4) * 2.0, name="kernel")

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, "numbers")])
    def __call__(self, numbers):
        return {"doubled": numbers @ self.kernel}


def test_a_saved_model_without_keras_layers(tmp_path):
    module = Doubler()
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=module.__call__)
    record = export(tmp_path / "m", tmp_path / "out", some("float32,int8"), no_note)
    assert record["variants"]["float32"]["status"] == "written"
    assert record["variants"]["int8"]["status"] == "skipped"  # there are no examples
    assert list(record["signature"]["inputs"]) == ["numbers"]
    assert record["sparsity"]["overall"] == pytest.approx(0.75)
    with pytest.raises(UserError, match="--shrink needs the layers"):
        export(tmp_path / "m", tmp_path / "out", some("float32", shrink=True), no_note)


def test_shrinking_keeps_the_outputs(tmp_path):
    model = tiny()
    kernel, bias = model.get_layer("hidden").get_weights()
    kernel[:, 5:] = 0
    model.get_layer("hidden").set_weights([kernel, bias + 0.5])
    model.save(tmp_path / "m.keras")
    record = export(tmp_path / "m.keras", tmp_path / "out", some("float32", shrink=True), no_note)
    assert record["shrink"]["removed"] == {"hidden": 27}
    x = tf.constant(images((6,)))
    small = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    (found,) = small.signatures["serving_default"](numbers=x).values()
    np.testing.assert_allclose(found, model(x), atol=1e-6)
    assert read_compact(tmp_path / "out" / "compact.npz")["hidden/kernel"].shape == (6, 5)


@needs_litert
def test_very_sparse_float16_weights_come_out_finite(tmp_path):
    model, _ = made_deploy.sparse_model("lenet_300_100", sparsity=0.98)
    model.save(tmp_path / "m.keras")
    record = export(tmp_path / "m.keras", tmp_path / "o", some("float16,float16_sparse"), no_note)
    assert record["variants"]["float16_sparse"]["status"] == "written"
    size = record["variants"]["float16_sparse"]["bytes"]
    assert size < 0.1 * record["variants"]["float16"]["bytes"]
    with interpreter_worker() as worker:
        found = attempt(worker, tmp_path / "o" / "float16_sparse.tflite", images(), delegate=True)
    np.testing.assert_allclose(found.outputs, model(images()), atol=1e-2)
