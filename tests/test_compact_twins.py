"""What every compact layer promises: its masked dense twin's answers, gradients and training."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from made_twins import assert_equals_twin, with_weights

from tfsparse.sparsity.compact_dense import CompactDense
from tfsparse.sparsity.layers import MaskedDense
from tfsparse.sparsity.masks import random_mask
from tfsparse.sparsity.radix_dense import RadixDense
from tfsparse.sparsity.topologies import RadixLayer


def random(**options):
    """A random topology of 120 connections from 30 to 20 neurons."""
    return CompactDense(random_mask((30, 20), 0.8, 1), **options)


def radix(**options):
    """A trimmed layer of a RadiX-Net from 29 to 24 neurons."""
    return RadixDense(RadixLayer(12, 4, 1, 3, 2, trimmed=7), **options)


both = pytest.mark.parametrize("make", [random, radix])


@both
# The machine epsilon of the type, times the ten or so terms of a sum.
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("float64", 1e-12), ("float32", 1e-5), ("float16", 2e-2), ("mixed_bfloat16", 1e-1)],
)
def test_every_dtype(make, name, tolerance):
    assert_equals_twin(with_weights(make(dtype=name)), 5, tolerance)


@both
@pytest.mark.parametrize("jit", [False, True])
def test_trains_as_the_twin_does(make, jit):
    layer = with_weights(make())
    twin = layer.to_masked_dense()
    rng = np.random.default_rng(2)
    rows, columns = layer.dense_shape
    inputs = tf.constant(rng.normal(size=(6, rows)), tf.float32)
    target = tf.constant(rng.normal(size=(6, columns)), tf.float32)

    def train(layer):
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9, jit_compile=False)
        optimizer.build(layer.trainable_variables)

        @tf.function(jit_compile=jit, autograph=False)
        def step():
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((layer(inputs) - target) ** 2)
            gradients = tape.gradient(loss, layer.trainable_variables)
            optimizer.apply_gradients(zip(gradients, layer.trainable_variables, strict=True))
            return loss

        return [float(step()) for _ in range(10)], optimizer

    (ours, optimizer), (theirs, _) = train(layer), train(twin)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert ours[-1] < ours[0]
    np.testing.assert_allclose(layer.dense_kernel(), twin.masked_kernel, rtol=1e-5, atol=1e-5)
    slots = [tuple(v.shape) for v in optimizer.variables if v.shape.rank > 0]
    assert slots == [tuple(layer.kernel.shape), (columns,)]


@both
def test_second_derivatives_are_those_of_the_twin(make):
    layer = with_weights(make(activation="tanh", use_bias=False))
    twin = layer.to_masked_dense()
    # Small inputs: a saturated tanh would leave nothing to differentiate twice.
    inputs = tf.constant(
        0.1 * np.random.default_rng(3).normal(size=(4, layer.dense_shape[0])), tf.float32
    )

    def norm_gradient(layer):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = tf.reduce_sum(layer(inputs) ** 2)
            flow = tf.reduce_sum(inner.gradient(loss, layer.kernel) ** 2)
        return outer.gradient(flow, layer.kernel).numpy()

    expected = norm_gradient(twin)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(
        layer.layout.unpack(norm_gradient(layer)), expected, rtol=1e-4, atol=1e-4
    )


@both
def test_conversions_lose_nothing(make):
    layer = with_weights(make(activation="relu", name="dense1"))
    twin = layer.to_masked_dense()
    assert isinstance(twin, MaskedDense) and twin.name == "dense1"
    np.testing.assert_array_equal(twin.mask, layer.mask())
    np.testing.assert_array_equal(twin.kernel, layer.dense_kernel())


def model_of(make):
    """A compact layer below a dense one."""
    layer = make(activation="relu", name="dense1")
    inputs = keras.Input((layer.dense_shape[0],))
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(layer(inputs)))


def images_for(model, count):
    """Random inputs."""
    size = (count, *model.input_shape[1:])
    return np.random.default_rng(0).normal(size=size).astype(np.float32)


@both
@pytest.mark.parametrize("kind", ["folder", "model.keras", "clone"])
def test_saved_and_cloned_models_answer_alike(make, tmp_path, kind):
    model = model_of(make)
    if kind == "clone":
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    else:
        model.save(tmp_path / kind)
        copy = keras.models.load_model(tmp_path / kind)
    images = images_for(model, 5)
    np.testing.assert_allclose(copy(images), model(images), rtol=1e-6, atol=1e-6)
    ours, theirs = copy.get_layer("dense1"), model.get_layer("dense1")
    assert type(ours) is type(theirs)
    np.testing.assert_array_equal(ours.mask(), theirs.mask())
    np.testing.assert_array_equal(ours.to_masked_dense().kernel, theirs.dense_kernel())


@both
def test_a_saved_model_serves_without_keras(make, tmp_path):
    model = model_of(make)
    model.export(str(tmp_path / "served"))
    served = tf.saved_model.load(str(tmp_path / "served"))
    images = images_for(model, 5)
    np.testing.assert_allclose(served.serve(images), model(images), rtol=1e-6, atol=1e-6)


@both
def test_converts_to_tflite(make):
    interpreter_of = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    model = model_of(make)
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = interpreter_of(model_content=content)
    image = images_for(model, 1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    outputs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(outputs, model(image), rtol=1e-5, atol=1e-5)
