"""RadixDense against its dense twin: outputs, gradients, memory, and every way out of Keras."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.sparsity.layers import MaskedDense
from tfsparse.sparsity.radix_dense import RadixDense
from tfsparse.sparsity.radix_layout import RadixLayout, choose_tile
from tfsparse.sparsity.topologies import RadixLayer, radix_net

# One layer of each kind: a band, the closing layer of a list, trimmed ones, single blocks.
LAYERS = [
    RadixLayer(12, 2, 1, 3, 2),
    RadixLayer(12, 3, 2, 2, 3),
    RadixLayer(12, 2, 6, 2, 2),
    RadixLayer(12, 4, 1, 1, 1),
    RadixLayer(16, 4, 2, 2, 5),
    RadixLayer(12, 4, 1, 3, 2, trimmed=7),
    RadixLayer(12, 4, 3, 3, 2, trimmed=17),
    RadixLayer(5, 5, 1, 2, 3),
]
TILED = [
    (layer, tile)
    for layer in LAYERS
    for tile in range(1, layer.radix + 1)
    if layer.radix % tile == 0
]


def layer_with_weights(topology, tile=None, seed=0, **kwargs):
    """A built layer with random kernel and bias."""
    layer = RadixDense(topology, tile, **kwargs)
    layer.build((None, topology.shape[0]))
    rng = np.random.default_rng(seed)
    layer.kernel.assign(rng.normal(size=layer.kernel.shape))
    if layer.use_bias:
        layer.bias.assign(rng.normal(size=layer.bias.shape))
    return layer


def values_and_gradients(layer, inputs, outer):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    kernel, *rest = tape.gradient(outputs, [layer.kernel, inputs, layer.bias], outer)
    return [outputs.numpy(), kernel.numpy(), *(g.numpy() for g in rest)]


@pytest.mark.parametrize(("topology", "tile"), TILED)
def test_the_layout_holds_each_connection_once(topology, tile):
    layout = RadixLayout(topology, tile)
    mask = topology.mask()
    assert np.prod(layout.kernel_shape) == mask.sum() == topology.connections
    np.testing.assert_array_equal(layout.unpack(np.ones(layout.kernel_shape, np.uint8)), mask)
    numbers = np.arange(mask.size, dtype=np.float32).reshape(mask.shape) * mask
    np.testing.assert_array_equal(layout.unpack(layout.pack(numbers)), numbers)


@pytest.mark.parametrize(("topology", "tile"), TILED)
def test_equals_the_masked_dense_layer(topology, tile):
    layer = layer_with_weights(topology, tile, activation="tanh")
    twin = layer.to_masked_dense()
    rng = np.random.default_rng(1)
    for batch in (1, 7):
        inputs = tf.constant(rng.normal(size=(batch, topology.shape[0])), tf.float32)
        outer = tf.constant(rng.normal(size=(batch, topology.shape[1])), tf.float32)
        ours = values_and_gradients(layer, inputs, outer)
        theirs = values_and_gradients(twin, inputs, outer)
        ours[1] = layer.layout.unpack(ours[1])
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["float64", "float16", "mixed_bfloat16"])
def test_every_dtype(name):
    topology = RadixLayer(12, 4, 1, 3, 2, trimmed=7)
    layer = layer_with_weights(topology, dtype=name)
    twin = layer.to_masked_dense()
    rng = np.random.default_rng(1)
    inputs = tf.constant(rng.normal(size=(5, topology.shape[0])), layer.compute_dtype)
    outer = tf.constant(rng.normal(size=(5, topology.shape[1])), layer.compute_dtype)
    ours = values_and_gradients(layer, inputs, outer)
    theirs = values_and_gradients(twin, inputs, outer)
    ours[1] = layer.layout.unpack(ours[1])
    # The machine epsilon of the type, times the ten or so terms of a sum.
    tolerance = {"float64": 1e-12, "float16": 2e-2, "mixed_bfloat16": 1e-1}[name]
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.astype("f8"), b.astype("f8"), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("jit", [False, True])
def test_trains_as_the_twin_does(jit):
    topology = RadixLayer(12, 4, 1, 3, 2, trimmed=7)
    layer = layer_with_weights(topology)
    twin = layer.to_masked_dense()
    rng = np.random.default_rng(2)
    inputs = tf.constant(rng.normal(size=(6, topology.shape[0])), tf.float32)
    target = tf.constant(rng.normal(size=(6, topology.shape[1])), tf.float32)

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
    slots = [v for v in optimizer.variables if v.shape.rank == 2]
    assert [v.shape for v in slots] == [layer.kernel.shape]


def test_second_derivatives_are_those_of_the_twin():
    topology = RadixLayer(6, 3, 1, 2, 1)
    layer = layer_with_weights(topology, activation="tanh", use_bias=False)
    twin = layer.to_masked_dense()
    inputs = tf.constant(np.random.default_rng(3).normal(size=(4, 12)), tf.float32)

    def norm_gradient(layer):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                loss = tf.reduce_sum(layer(inputs) ** 2)
            flow = tf.reduce_sum(inner.gradient(loss, layer.kernel) ** 2)
        return outer.gradient(flow, layer.kernel).numpy()

    ours = layer.layout.unpack(norm_gradient(layer))
    np.testing.assert_allclose(ours, norm_gradient(twin), rtol=1e-4, atol=1e-4)


def test_counts_only_connections():
    layer = layer_with_weights(radix_net([[10, 10]], [8, 30, 1]).trimmed_to(784).layers[0])
    assert layer.count_params() == 235_200 + 3000
    assert layer.connections == 235_200
    assert [tuple(w.shape) for w in layer.weights] == [(7840, 30), (3000,)]


def test_no_tensor_of_a_step_is_as_large_as_the_dense_matrix():
    topology = RadixLayer(100, 10, 1, 8, 30)  # 800 x 3000
    layer = layer_with_weights(topology)

    @tf.function(autograph=False)
    def step(inputs):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(inputs))
        return tape.gradient(loss, layer.kernel)

    graph = step.get_concrete_function(tf.TensorSpec((2, 800))).graph
    functions = [graph, *(f.graph for f in graph._functions.values() if hasattr(f, "graph"))]
    sizes = [
        output.shape.num_elements() or 0
        for graph in functions
        for operation in graph.get_operations()
        for output in operation.outputs
        if output.shape.rank is not None
    ]
    assert len(sizes) > 20 and max(sizes) < 800 * 3000 / 4


def test_conversions_lose_nothing():
    topology = RadixLayer(12, 4, 1, 3, 2, trimmed=7)
    layer = layer_with_weights(topology, activation="relu", name="dense1")
    twin = layer.to_masked_dense()
    assert twin.name == "dense1" and isinstance(twin, MaskedDense)
    np.testing.assert_array_equal(twin.mask, topology.mask())
    back = RadixDense.from_dense(twin, topology)
    np.testing.assert_array_equal(back.kernel, layer.kernel)
    np.testing.assert_array_equal(back.bias, layer.bias)
    assert back.name == "dense1" and back.activation is keras.activations.relu

    junk = twin.kernel.numpy() + 1  # weights that the mask hides are no loss
    twin.kernel.assign(junk)
    np.testing.assert_array_equal(
        RadixDense.from_dense(twin, topology).dense_kernel(), junk * topology.mask()
    )


def test_a_dense_kernel_that_does_not_fit_is_refused():
    dense = keras.layers.Dense(24, name="dense1")
    dense.build((None, 29))
    with pytest.raises(UserError, match="'dense1': expected zero weights outside the topology"):
        RadixDense.from_dense(dense, RadixLayer(12, 4, 1, 3, 2, trimmed=7))
    with pytest.raises(UserError, match=r"expected a kernel of shape \(36, 24\) .* \(29, 24\)"):
        RadixDense.from_dense(dense, RadixLayer(12, 4, 1, 3, 2))
    with pytest.raises(UserError, match="'radix': expected 29 inputs, received 30"):
        RadixDense(RadixLayer(12, 4, 1, 3, 2, trimmed=7), name="radix").build((None, 30))
    with pytest.raises(UserError, match="tile: expected a divisor of 4, received 3"):
        RadixDense(RadixLayer(12, 4, 1, 3, 2), tile=3)


@pytest.mark.parametrize("initializer", ["he_normal", "glorot_uniform", "lecun_normal"])
def test_initializers_see_the_connections_as_fans(initializer):
    topology = RadixLayer(20, 5, 1, 20, 40)
    layer = RadixDense(topology, kernel_initializer=initializer)
    layer.build((None, 400))
    fan_in, fan_out = 5 * 20, 5 * 40
    variance = {"he_normal": 2 / fan_in, "lecun_normal": 1 / fan_in}.get(
        initializer, 2 / (fan_in + fan_out)
    )
    assert np.var(layer.kernel.numpy()) == pytest.approx(variance, rel=0.05)


def small_model():
    net = radix_net([[2, 4]], [4, 3, 1]).trimmed_to(30)
    inputs = keras.Input((30,))
    hidden = RadixDense(net.layers[0], activation="relu", name="dense1")(inputs)
    hidden = RadixDense(net.layers[1], activation="relu", name="dense2")(hidden)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(hidden))


@pytest.mark.parametrize("kind", ["folder", "model.keras", "clone"])
def test_saved_and_cloned_models_answer_alike(tmp_path, kind):
    model = small_model()
    if kind == "clone":
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
    else:
        model.save(tmp_path / kind)
        copy = keras.models.load_model(tmp_path / kind)
    inputs = np.random.default_rng(0).normal(size=(5, 30)).astype(np.float32)
    np.testing.assert_allclose(copy(inputs), model(inputs), rtol=1e-6, atol=1e-6)
    assert isinstance(copy.get_layer("dense1"), RadixDense)
    assert copy.get_layer("dense1").get_config() == model.get_layer("dense1").get_config()


def test_a_saved_model_serves_without_keras(tmp_path):
    model = small_model()
    model.export(str(tmp_path / "served"))
    served = tf.saved_model.load(str(tmp_path / "served"))
    inputs = np.random.default_rng(0).normal(size=(5, 30)).astype(np.float32)
    np.testing.assert_allclose(served.serve(inputs), model(inputs), rtol=1e-6, atol=1e-6)


def test_converts_to_tflite():
    interpreter_of = pytest.importorskip("ai_edge_litert.interpreter").Interpreter
    model = small_model()
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    interpreter = interpreter_of(model_content=content)
    inputs = np.random.default_rng(0).normal(size=(1, 30)).astype(np.float32)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], inputs)
    interpreter.invoke()
    outputs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(outputs, model(inputs), rtol=1e-5, atol=1e-5)


def test_takes_inputs_of_higher_rank():
    topology = RadixLayer(12, 2, 1, 3, 2)
    layer = layer_with_weights(topology)
    inputs = np.random.default_rng(0).normal(size=(2, 3, 36)).astype(np.float32)
    outputs = layer(inputs)
    assert outputs.shape == (2, 3, 24)
    np.testing.assert_allclose(outputs[1], layer(inputs[1]), rtol=1e-6, atol=1e-6)


def test_the_tile_follows_the_measurement():
    band, closing = radix_net([[10, 10]], [8, 30, 1]).layers
    assert (choose_tile(band), choose_tile(closing)) == (5, 10)
    assert choose_tile(RadixLayer(100, 10, 1, 80, 80)) == 2
    assert choose_tile(RadixLayer(1000, 100, 1, 8, 8)) == 20
    assert choose_tile(RadixLayer(100, 10, 1, 8, 3)) == 10
