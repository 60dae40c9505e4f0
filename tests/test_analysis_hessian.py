"""The exact Hessian: by hand, against finite differences, symmetric, and refused when too large."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfsparse.analysis.coordinates import all_kept, blocks, dimensions
from tfsparse.analysis.hessian import check_size, exact_hessian
from tfsparse.analysis.products import Products
from tfsparse.config import ModelConfig
from tfsparse.errors import UserError
from tfsparse.models import build, kernel_shapes
from tfsparse.sparsity.masks import kept_count
from tfsparse.training.objective import cross_entropy

Layers = keras.layers


def tiny(*, chain: bool = True) -> keras.Model:
    """A smooth network with a convolution, a pool and two dense layers; 2 classes."""
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 1))
    x = Layers.Conv2D(2, 3, activation="tanh", name="conv")(image)
    x = Layers.Flatten()(Layers.AveragePooling2D()(x))
    hidden = Layers.Dense(3, activation="tanh", name="hidden")(x)
    if not chain:
        hidden = Layers.Add()([hidden, Layers.Dense(3, name="skip")(x)])
    model = keras.Model(image, Layers.Dense(2, name="logits")(hidden))
    for variable in model.trainable_variables:
        shape = variable.shape
        variable.assign(tf.random.stateless_normal(shape, (len(shape), int(shape[-1])), stddev=0.7))
    return model


def masks_for(model: keras.Model, seed: int = 0) -> dict[str, np.ndarray]:
    """Random half masks, applied to the kernels."""
    generator = np.random.default_rng(seed)
    masks = {}
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            masks[layer.name] = (generator.random(layer.kernel.shape) < 0.5).astype(np.uint8)
            layer.kernel.assign(layer.kernel * masks[layer.name])
    return masks


def batch(count: int = 7) -> tuple[tf.Tensor, tf.Tensor]:
    """Random images and labels."""
    return tf.random.stateless_normal((count, 6, 6, 1), (5, 6)), tf.range(count) % 2


def by_differences(model, masks, images, labels, epsilon=2e-3):
    """The Hessian by central differences of gradients, in double precision of the steps."""
    own = blocks(model, masks)
    variables = [variable for block in own for variable in block.variables]
    kept = all_kept(own)

    @tf.function
    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(model(images, training=False), labels))
        return tape.gradient(loss, variables)

    def gradient() -> np.ndarray:
        return np.concatenate([g.numpy().ravel() for g in gradients()]).astype(np.float64)[kept]

    places = [(v, i) for v in variables for i in range(int(np.prod(v.shape)))]
    rows = []
    for place in kept:
        variable, index = places[place]
        value = variable.numpy()
        ends = []
        for sign in (1, -1):
            moved = value.copy()
            moved.ravel()[index] += sign * epsilon
            variable.assign(moved)
            ends.append(gradient())
        variable.assign(value)
        rows.append((ends[0] - ends[1]) / (2 * epsilon))
    return np.array(rows)


def test_two_logits_by_hand():
    """Softmax of (w1, w2) at 0 with p = 1/2: H = [[1/4, -1/4], [-1/4, 1/4]], eigenvalues 0, 1/2."""
    model = keras.Sequential(
        [keras.Input((1,)), Layers.Dense(2, use_bias=False, kernel_initializer="zeros")]
    )
    result = exact_hessian(model, {}, tf.ones((1, 1)), tf.zeros(1, tf.int32))
    np.testing.assert_allclose(result.matrix, [[0.25, -0.25], [-0.25, 0.25]], atol=1e-6)
    np.testing.assert_allclose(result.eigenvalues(), [0.0, 0.5], atol=1e-6)


@pytest.mark.parametrize("chain", [True, False])
def test_agrees_with_finite_differences(chain):
    model = tiny(chain=chain)
    masks = masks_for(model)
    result = exact_hessian(model, masks, *batch(), part=4)
    expected = by_differences(model, masks, *batch())
    assert result.matrix.shape == expected.shape
    np.testing.assert_allclose(result.matrix, expected, atol=3e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(result.matrix, result.matrix.T)
    assert result.asymmetry < 1e-5 and result.product_error < 1e-5


def test_products_are_the_matrix_times_the_vector():
    model = tiny()
    masks = masks_for(model)
    matrix = exact_hessian(model, masks, *batch()).matrix
    products = Products(model, masks, *batch(), part=3)
    vector = np.random.default_rng(1).standard_normal(products.dimensions)
    np.testing.assert_allclose(products(vector), matrix @ vector, atol=1e-5)


def test_only_connections_and_biases_enter():
    """LeNet-5 at 95% in each layer: 2,210 connections and 236 biases."""
    model = build(ModelConfig(name="lenet_5"), (28, 28, 1), 10, seed=0)
    masks = {}
    for name, shape in kernel_shapes(model).items():
        size = int(np.prod(shape))
        masks[name] = (np.arange(size) < kept_count(size, 0.95)).reshape(shape).astype(np.uint8)
    assert dimensions(blocks(model, masks)) == 2446
    assert dimensions(blocks(model, {})) == 44_190 + 236


def test_a_dead_network_has_hessian_of_its_biases_alone():
    model = tiny()
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(tf.zeros_like(layer.kernel))
    masks = {name: np.zeros(s, np.uint8) for name, s in kernel_shapes(model).items()}
    result = exact_hessian(model, masks, *batch())
    assert result.matrix.shape == (7, 7)
    assert not result.matrix[:5].any() and result.matrix[5:, 5:].any()


def test_too_large_is_refused_with_its_size():
    check_size(10_000, 10_000)
    with pytest.raises(UserError, match=r"25,557,032 .*GB.*lanczos"):
        check_size(25_557_032, 10_000)
    with pytest.raises(UserError, match="at most 5 coordinates"):
        exact_hessian(tiny(), {}, *batch(), limit=5)
