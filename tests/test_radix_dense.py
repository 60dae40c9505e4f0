"""RadixDense: its layout, its outputs and gradients for every tile, its memory, its refusals."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from made_twins import assert_equals_twin, with_weights

from tfsparse.errors import UserError
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
    layer = with_weights(RadixDense(topology, tile, activation="tanh"))
    for batch in (1, 7):
        assert_equals_twin(layer, batch, 1e-5)


def test_counts_only_connections():
    layer = with_weights(RadixDense(radix_net([[10, 10]], [8, 30, 1]).trimmed_to(784).layers[0]))
    assert layer.count_params() == 235_200 + 3000
    assert layer.connections == 235_200
    assert [tuple(w.shape) for w in layer.weights] == [(7840, 30), (3000,)]


def test_no_tensor_of_a_step_is_as_large_as_the_dense_matrix():
    topology = RadixLayer(100, 10, 1, 8, 30)  # 800 x 3000
    layer = with_weights(RadixDense(topology))

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


def test_takes_a_dense_layer_that_fits():
    topology = RadixLayer(12, 4, 1, 3, 2, trimmed=7)
    layer = with_weights(RadixDense(topology, activation="relu", name="dense1"))
    twin = layer.to_masked_dense()
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


def test_takes_inputs_of_higher_rank():
    topology = RadixLayer(12, 2, 1, 3, 2)
    layer = with_weights(RadixDense(topology))
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
