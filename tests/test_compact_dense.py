"""CompactDense on random topologies, compact convolutions, and connection lists by themselves."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from made_twins import assert_equals_twin, values_and_gradients, with_weights

from tfsparse.errors import UserError
from tfsparse.sparsity import compact_product
from tfsparse.sparsity.compact_conv import CompactConv2D
from tfsparse.sparsity.compact_dense import CompactDense
from tfsparse.sparsity.connections import connections_of, random_connections
from tfsparse.sparsity.masks import random_mask
from tfsparse.sparsity.representation import choose_representation
from tfsparse.sparsity.topologies import radix_net


def test_connections_are_listed_by_output_then_input():
    listed = connections_of(np.array([[1, 0, 1], [0, 0, 1]]))
    assert listed.sources.tolist() == [0, 0, 1] and listed.targets.tolist() == [0, 2, 2]
    assert listed.output_starts.tolist() == [0, 1, 1, 3]
    assert listed.by_input.tolist() == [0, 1, 2] and listed.input_starts.tolist() == [0, 2, 3]
    assert (listed.most_inputs, listed.most_outputs) == (2, 2)
    assert listed.pack(np.arange(6).reshape(2, 3)).tolist() == [0, 2, 5]
    assert listed.unpack(np.array([7, 8, 9])).tolist() == [[7, 0, 8], [0, 0, 9]]
    with pytest.raises(UserError, match="at least 1 connection"):
        connections_of(np.zeros((2, 2)))


def test_random_connections_are_distinct_and_spread_evenly():
    listed = random_connections((5, 4, 50), 0.5, seed=3)
    mask = listed.unpack(np.ones(len(listed), np.uint8))
    assert len(listed) == mask.sum() == 500 and mask.shape == (20, 50)
    again = random_connections((20, 50), 0.5, seed=3)
    np.testing.assert_array_equal(listed.sources, again.sources)
    total = sum(
        (lambda c: c.unpack(np.ones(len(c))))(random_connections((8, 8), 0.75, seed))
        for seed in range(400)
    )
    # 400 draws at density 1/4: 100 +- 8.7 for each place, five deviations allowed.
    assert total.min() > 56 and total.max() < 144


def test_random_connections_of_a_layer_whose_mask_would_not_fit():
    listed = random_connections((245_000, 38_400), 0.9999, seed=0)
    assert len(listed) == pytest.approx(940_800, rel=1e-3)
    assert listed.sources.dtype == np.int32 and listed.sources.max() < 245_000
    places = listed.sources.astype(np.int64) * 38_400 + listed.targets
    assert len(np.unique(places)) == len(listed)


@pytest.mark.parametrize(
    ("shape", "sparsity", "piece"),
    [((30, 20), 0.8, 4096), ((31, 20), 0.8, 7), ((20, 30), 0.0, 64), ((300, 40), 0.97, 16)],
)
def test_equals_the_masked_dense_layer(monkeypatch, shape, sparsity, piece):
    # Other shapes for other pieces: the passes are traced once per shape.
    monkeypatch.setattr(compact_product, "_PIECE", piece)
    layer = with_weights(CompactDense(random_mask(shape, sparsity, 1), activation="tanh"))
    for batch in (1, 6):
        assert_equals_twin(layer, batch, 1e-5)


def test_neurons_without_input_emit_their_bias_and_lonely_inputs_get_no_gradient():
    mask = np.zeros((4, 3), np.uint8)
    mask[1, 0] = mask[2, 0] = mask[2, 2] = 1
    layer = with_weights(CompactDense(mask))
    inputs = tf.ones((2, 4))
    outputs, _, gradient, _ = values_and_gradients(layer, inputs, tf.ones((2, 3)))
    np.testing.assert_allclose(outputs[:, 1], layer.bias[1])
    assert (gradient[:, [0, 3]] == 0).all() and (gradient[:, [1, 2]] != 0).all()


def test_memory_grows_with_connections():
    layer = with_weights(CompactDense(random_connections((784, 30_000), 0.99, seed=0)))
    assert layer.count_params() - 30_000 < 4.2 * 235_200
    assert layer.connections == 235_200
    assert [tuple(w.shape) for w in layer.trainable_weights] == [(235_200,), (30_000,)]


def test_takes_a_dense_layer_that_fits_and_no_other():
    mask = random_mask((30, 20), 0.8, 1)
    layer = with_weights(CompactDense(mask))
    back = CompactDense.from_dense(layer.to_masked_dense())
    np.testing.assert_array_equal(back.kernel, layer.kernel)
    np.testing.assert_array_equal(back.bias, layer.bias)
    plain = keras.layers.Dense(20, name="dense1")
    plain.build((None, 30))
    with pytest.raises(UserError, match="expected a topology or a MaskedDense"):
        CompactDense.from_dense(plain)
    with pytest.raises(UserError, match=r"expected zero weights outside .* received 480 others"):
        CompactDense.from_dense(plain, mask)


def test_a_compact_convolution_equals_the_masked_one(tmp_path):
    mask = random_mask((5, 3, 4, 6), 0.7, 1)
    layer = CompactConv2D(mask, (5, 3), activation="relu", name="conv")
    inputs = keras.Input((8, 9, 4))
    model = keras.Model(inputs, layer(inputs))
    layer.bias.assign(np.linspace(-1, 1, 6))
    kernel = layer.dense_kernel()
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 8, 9, 4)), tf.float32)

    def dense(images, kernel):
        return tf.nn.relu(tf.nn.conv2d(images, kernel * mask, 1, "SAME") + layer.bias)

    kernel = tf.constant(kernel)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([images, kernel])
        ours, theirs = model(images), dense(images, kernel)
        losses = tf.reduce_sum(ours**2), tf.reduce_sum(theirs**2)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    gradient = tape.gradient(losses[0], layer.kernel).numpy()
    expected = tape.gradient(losses[1], kernel).numpy().reshape(60, 6)
    np.testing.assert_allclose(layer.layout.unpack(gradient), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        tape.gradient(losses[0], images), tape.gradient(losses[1], images), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(layer.to_masked_dense()(images), ours, rtol=1e-5, atol=1e-5)
    model.save(tmp_path / "model.keras")
    copy = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(copy(images), ours, rtol=1e-6, atol=1e-6)
    with pytest.raises(UserError, match="window: expected odd numbers"):
        CompactConv2D(mask[:4, :2], (4, 2))


def test_the_representation_is_chosen_by_the_measured_crossover():
    def chosen(*arguments, **options):
        return choose_representation(*arguments, **options).representation

    assert chosen((784, 300), 23_520) == "masked"  # 90% sparse
    assert chosen((784, 30_000), 235_200) == "compact"  # 99%
    assert chosen((300, 100), 300) == "masked"  # 99%, but small
    assert chosen((245_000, 38_400), 940_800) == "compact"
    assert chosen((50_000, 50_000), 2_000_000_000) == "compact"  # no room for a dense one
    assert chosen((5, 5, 200, 500), 25_000) == "compact"  # 99%
    assert chosen((5, 5, 200, 500), 75_000) == "masked"  # 97%
    assert chosen((5, 5, 100, 250), 6_250) == "masked"  # 99%, but small
    large, small = (radix_net([[10, 10]], [8, n, 1]).layers[0] for n in (30, 3))
    assert chosen(large.shape, large.connections, radix=large) == "radix"
    assert chosen(small.shape, small.connections, radix=small) == "masked"
    assert choose_representation((784, 300), 23_520).why == (
        "235,200 places, sparsity 0.9000: "
        "compact was measured faster only from sparsity 0.97 and 200,000 places on"
    )
