"""Architectures have the papers' sizes, seeded weights, and one answer to what may be masked."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tfsparse.config import ModelConfig
from tfsparse.errors import UserError
from tfsparse.models import (
    ZOO,
    build,
    first_convolution,
    get_weights,
    kernel_shapes,
    last_dense,
    maskable_layers,
    named_variables,
    set_weights,
)

GREY, SMALL, LARGE = (28, 28, 1), (32, 32, 3), (224, 224, 3)


def make(name: str, shape=GREY, classes: int = 10, *, seed: int = 0, **options) -> keras.Model:
    precision = options.pop("precision", "float32")
    config = ModelConfig(name=name, **options)
    return build(config, shape, classes, seed=seed, precision=precision)


def refusal(*args, **options) -> str:
    with pytest.raises(UserError) as caught:
        make(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sizes(model) -> dict[str, int]:
    return {name: int(np.prod(shape)) for name, shape in kernel_shapes(model).items()}


# ---- sizes -------------------------------------------------------------------------------


def resnet_kernels(blocks: int) -> int:
    """He et al. 2015, section 4.2: three stages of 2n convolutions with 16, 32, 64 channels."""
    total = 3 * 3 * 3 * 16 + 64 * 10
    for stage, width in enumerate((16, 32, 64)):
        before = width if stage == 0 else width // 2
        total += 9 * before * width + (2 * blocks - 1) * 9 * width * width
        total += before * width if stage else 0  # projection shortcut
    return total


VGG = 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 2 * 256 * 256 + 256 * 512
           + 5 * 512 * 512) + 512 * 10  # fmt: skip

# name: input, classes, kernel weights, kernels, first convolution
KNOWN = {
    "lenet_300_100": (GREY, 10, 266_200, 3, None),
    "lenet_5": (GREY, 10, 44_190, 5, "conv1"),
    "lenet_5_caffe": (GREY, 10, 970_140, 4, "conv1"),
    "resnet_20": (SMALL, 10, resnet_kernels(3), 22, "conv1"),
    "resnet_32": (SMALL, 10, resnet_kernels(5), 34, "conv1"),
    "resnet_56": (SMALL, 10, resnet_kernels(9), 58, "conv1"),
    "resnet_50": (LARGE, 1000, 25_502_912, 54, "conv1"),
    "vgg_16": (SMALL, 10, VGG, 14, "conv1_1"),
    "mobilenet_v1": ((96, 96, 3), 10, 3_150_688, 15, "conv1"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_architectures_have_the_papers_sizes(name):
    shape, classes, weights, kernels, first = KNOWN[name]
    model = make(name, shape, classes)
    assert model.name == name
    assert sum(sizes(model).values()) == weights
    assert len(maskable_layers(model)) == kernels
    assert (first_convolution(model), last_dense(model)) == (first, "logits")
    assert model.input_shape == (None, *shape)
    assert model.output_shape == (None, classes)
    assert model.layers[-1].activation is keras.activations.linear
    if name == "resnet_50":
        assert (sizes(model)["conv1"], sizes(model)["logits"]) == (9_408, 2_048_000)
        assert model.count_params() == 25_610_152  # 25.6 million, batch norm's averages included


def test_every_model_of_the_zoo_is_checked_here():
    assert set(KNOWN) == set(ZOO)


def test_the_small_ones_layer_by_layer():
    assert kernel_shapes(make("lenet_300_100")) == {
        "dense1": (784, 300), "dense2": (300, 100), "logits": (100, 10)
    }  # fmt: skip
    assert kernel_shapes(make("lenet_5")) == {
        "conv1": (5, 5, 1, 6), "conv2": (5, 5, 6, 16),
        "dense1": (256, 120), "dense2": (120, 84), "logits": (84, 10),
    }  # fmt: skip
    assert kernel_shapes(make("lenet_5_caffe")) == {
        "conv1": (5, 5, 1, 20), "conv2": (5, 5, 20, 50),
        "dense1": (7 * 7 * 50, 384), "logits": (384, 10),
    }  # fmt: skip


def test_hidden_numbers_of_the_topology_papers_networks():
    wide = make("lenet_300_100", args={"hidden": [3000, 100]})
    assert kernel_shapes(wide)["dense1"] == (784, 3000)
    assert kernel_shapes(wide)["dense2"] == (3000, 100)
    twice = kernel_shapes(make("lenet_5_caffe", args={"hidden": [40, 100, 768]}))
    assert twice["conv2"] == (5, 5, 40, 100) and twice["dense1"] == (49 * 100, 768)
    with pytest.raises(UserError, match="'lenet_300_100': cannot be built"):
        make("lenet_300_100", args={"hidden": [3000]})


def test_resnet_50_strides_in_its_3x3_convolutions():
    model = make("resnet_50", (64, 64, 3), 10, width=0.1)
    strided = {layer.name: layer.kernel_size for layer in maskable_layers(model)
               if getattr(layer, "strides", (1, 1)) == (2, 2)}  # fmt: skip
    blocks = {f"stage{stage}_block1_conv2": (3, 3) for stage in (2, 3, 4)}
    shortcuts = {f"stage{stage}_block1_shortcut": (1, 1) for stage in (2, 3, 4)}
    assert strided == {"conv1": (7, 7), **blocks, **shortcuts}


@pytest.mark.parametrize("name", sorted(set(KNOWN) - {"resnet_32", "resnet_56"}))
def test_width_multiplies_what_is_hidden_and_nothing_else(name):
    shape, classes = KNOWN[name][0] if name != "resnet_50" else (64, 64, 3), 7
    one = kernel_shapes(make(name, shape, classes, width=0.25))
    two = kernel_shapes(make(name, shape, classes, width=0.5))
    assert list(one) == list(two)
    assert [two[name][-1] / one[name][-1] for name in one if name != "logits"] == pytest.approx(
        [2.0] * (len(one) - 1), rel=0.35  # of 6 channels a quarter is 2, a half 3
    )  # fmt: skip
    assert one["logits"][-1] == two["logits"][-1] == 7
    first = next(iter(one.values()))
    assert first[:-1] == ((np.prod(shape),) if len(first) == 2 else (*first[:2], shape[-1]))


def test_width_by_hand():
    assert [s[-1] for s in kernel_shapes(make("lenet_300_100", width=0.5)).values()] == [
        150,
        50,
        10,
    ]
    assert [s[-1] for s in kernel_shapes(make("lenet_5", width=2)).values()] == [
        12,
        32,
        240,
        168,
        10,
    ]
    assert [s[-1] for s in kernel_shapes(make("lenet_5", width=0.001)).values()] == [1, 1, 1, 1, 10]


def test_relu_logits_are_never_negative():
    images = np.random.default_rng(0).normal(size=(8, *GREY)).astype(np.float32)
    for name in ("lenet_300_100", "lenet_5", "lenet_5_caffe"):
        assert make(name)(images).numpy().min() < 0
        logits = make(name, relu_logits=True)(images).numpy()
        assert logits.min() == 0 and logits.max() > 0


def test_paper_2s_initial_weights():
    weights = get_weights(make("lenet_5_caffe", args={"fixed_std": True, "lrn": True}))
    # A normal truncated at two deviations has 0.8796 of the deviation.
    assert weights["conv2/kernel"].std() == pytest.approx(0.05 * 0.8796, rel=0.02)
    assert weights["dense1/kernel"].std() == pytest.approx(0.04 * 0.8796, rel=0.02)
    assert np.all(weights["dense1/bias"] == np.float32(0.1))
    assert set(weights) == set(get_weights(make("lenet_5_caffe")))


# ---- seeds and precision -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet_5", "lenet_300_100", "resnet_20"])
def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(name):
    shape = KNOWN[name][0]
    first = get_weights(make(name, shape, seed=3))
    tf.random.uniform([7])
    tf.random.set_seed(99)
    np.random.default_rng(1).random()
    make("lenet_5", seed=8)
    again = get_weights(make(name, shape, seed=3))
    other = get_weights(make(name, shape, seed=4))
    assert list(first) == list(again) == list(other)
    assert all(np.array_equal(first[key], again[key]) for key in first)
    kernels = [key for key in first if key.endswith("/kernel")]
    assert not any(np.array_equal(first[key], other[key]) for key in kernels)
    assert len({first[key].ravel()[0] for key in kernels}) == len(kernels)


def test_mixed_precision_keeps_variables_and_the_global_policy():
    before = keras.mixed_precision.global_policy().name
    model = make("lenet_5", precision="mixed_bfloat16")
    assert keras.mixed_precision.global_policy().name == before == "float32"
    assert {variable.dtype for variable in model.variables} == {tf.float32}
    assert {layer.compute_dtype for layer in maskable_layers(model)} == {"bfloat16"}
    plain = get_weights(make("lenet_5"))
    assert all(np.array_equal(plain[key], value) for key, value in get_weights(model).items())


def test_the_global_policy_is_put_back_after_a_failure():
    refusal("lenet_5", (4, 4, 1), precision="mixed_bfloat16")
    assert keras.mixed_precision.global_policy().name == "float32"


# ---- weights by name ---------------------------------------------------------------------


def test_only_kernels_may_be_masked():
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((16, 16, 3)),
        layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"),
        layers.DepthwiseConv2D(3, name="depthwise"), layers.PReLU(name="prelu"),
        layers.Conv2DTranspose(4, 3, name="transposed"),
        layers.SeparableConv2D(4, 3, name="separable"), layers.Dropout(0.5, name="dropout"),
        layers.Reshape((144, 4), name="reshape"), layers.Conv1D(3, 3, name="conv1d"),
        layers.LayerNormalization(name="layer_norm"), layers.Flatten(name="flatten"),
        layers.Dense(5, name="dense"),
    ])  # fmt: skip
    assert [layer.name for layer in maskable_layers(model)] == ["conv", "conv1d", "dense"]
    for layer in maskable_layers(model):
        assert layer.kernel is named_variables(model)[f"{layer.name}/kernel"]
    assert (first_convolution(model), last_dense(model)) == ("conv", "dense")


def test_weights_are_named_by_layer_and_come_back(tmp_path):
    model = make("resnet_20", SMALL, width=0.25)
    weights = get_weights(model)
    assert list(weights)[:6] == [
        "conv1/kernel", "bn1/gamma", "bn1/beta", "bn1/moving_mean", "bn1/moving_variance",
        "stage1_block1_conv1/kernel",
    ]  # fmt: skip
    assert len(weights) == len(model.weights)
    other = make("resnet_20", SMALL, width=0.25, seed=1)
    set_weights(other, weights)
    assert all(np.array_equal(weights[key], value) for key, value in get_weights(other).items())
    weights["conv1/kernel"][:] = 7  # a copy
    assert not np.any(get_weights(model)["conv1/kernel"] == 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("dense1/bias"), "weights for model 'lenet_5': 'dense1/bias' is missing"),
        (lambda w: w.update({"conv1/kernel": np.ones((5, 5, 6, 1))}),
         "'conv1/kernel': expected shape (5, 5, 1, 6), received (5, 5, 6, 1)"),
        (lambda w: w.update({"logits/bias": np.float32(3)}), "expected shape (10,), received ()"),
        (lambda w: w.update({"extra/kernel": np.ones(3)}), "it has no weight 'extra/kernel'"),
        (lambda w: w.clear(), "'conv1/kernel' is missing"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_and_change_nothing(change, message):
    model = make("lenet_5")
    before = get_weights(model)
    weights = {key: value + 1 for key, value in before.items()}
    change(weights)
    with pytest.raises(UserError) as caught:
        set_weights(model, weights)
    assert message in str(caught.value)
    assert all(np.array_equal(before[key], value) for key, value in get_weights(model).items())


class Twice(keras.layers.Layer):
    """A layer with two weights of one name."""

    def build(self, shape):
        self.first, self.second = self.add_weight("w", [1]), self.add_weight("w", [1])

    def call(self, inputs):
        return inputs * self.first * self.second


def test_two_weights_of_one_name_are_refused():
    model = keras.Sequential([keras.Input((3,)), Twice(name="twice")])
    with pytest.raises(UserError, match="two weights are named 'twice/w'; rename one"):
        get_weights(model)
