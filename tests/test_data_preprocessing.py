"""Preprocessing by numbers one can check by hand, and the same in every mode."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfsparse.config import DataConfig, check
from tfsparse.data import load_data
from tfsparse.data.preprocessing import (
    Preprocessing,
    Statistics,
    computed_statistics,
    no_statistics,
    pad_crop_flip,
    resize_matrix,
    statistics_of,
)

PLAIN = Statistics((0.0,), (1.0,), "none")


def unique_pixels(height: int, width: int) -> np.ndarray:
    """One image whose pixels are 1, 2, 3, ...: a pixel's value tells its place, 0 the padding."""
    return np.arange(1, height * width + 1, dtype=np.uint8).reshape(1, height, width, 1)


def windows(image: np.ndarray, pad: int, flip: bool) -> list[bytes]:
    """Every image that padding, cropping and mirroring may give, by plain slicing."""
    _, height, width, _ = image.shape
    padded = np.pad(image, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    found = []
    for top in range(2 * pad + 1):
        for left in range(2 * pad + 1):
            window = padded[:, top : top + height, left : left + width]
            found.append(window.tobytes())
            if flip:
                found.append(window[:, :, ::-1].tobytes())
    return found


def test_standardising_by_hand():
    prepare = Preprocessing((1, 2, 1), (1, 2, 1), Statistics((0.5,), (0.25,), "hand"))
    given_pixels = np.array([[[[0], [255]]]], np.uint8)
    assert prepare(given_pixels).numpy().ravel().tolist() == [-2.0, 2.0]


def test_each_channel_has_its_own_mean_and_deviation():
    statistics = Statistics((0.0, 0.5, 1.0), (1.0, 0.5, 2.0), "hand")
    prepare = Preprocessing((1, 2, 3), (1, 2, 3), statistics)
    white = np.full((1, 1, 2, 3), 255, np.uint8)
    assert prepare(white).numpy().ravel().tolist() == [1.0, 1.0, 0.0] * 2


def test_pixels_may_stay_between_0_and_1():
    images = np.array([[[[0, 51]]], [[[255, 102]]]], np.uint8)
    plain = Preprocessing((1, 1, 2), (1, 1, 2), no_statistics(2))
    np.testing.assert_allclose(plain(tf.constant(images)), images / 255, rtol=1e-6)
    data = load_data(check({"name": "digits", "standardise": False}, DataConfig, "data"), seed=0)
    pixels = data.preprocess(tf.constant(data.train.images[:50])).numpy()
    assert pixels.min() == 0 and 0.9 < pixels.max() <= 1


def test_computed_statistics_by_hand():
    images = np.array([[[[0, 7]]], [[[255, 7]]]], np.uint8)
    found = computed_statistics(images)
    assert found.mean == pytest.approx((0.5, 7 / 255))
    assert found.std == (0.5, 1.0)  # a channel without any variation is not divided by zero


@given(hnp.arrays(np.uint8, st.tuples(*[st.integers(1, 5)] * 4)))
def test_computed_statistics_are_those_of_numpy(images):
    found = computed_statistics(images)
    scaled = images / 255.0
    assert found.mean == pytest.approx(scaled.mean(axis=(0, 1, 2)))
    std = scaled.std(axis=(0, 1, 2))
    assert found.std == pytest.approx(np.where(std > 1e-6, std, 1.0))


def test_known_constants_are_used_only_where_the_channels_agree():
    assert statistics_of("mnist", np.zeros((2, 4, 4, 1), np.uint8)).mean == (0.1307,)
    assert len(statistics_of("mnist", np.zeros((2, 4, 4, 3), np.uint8)).mean) == 3


def test_resizing_two_pixels_to_four_and_four_to_two_by_hand():
    assert resize_matrix(2, 4).tolist() == [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]]
    assert resize_matrix(4, 2)[0] == pytest.approx([3 / 7, 3 / 7, 1 / 7, 0])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_resizing_is_that_of_tensorflow(height, width, new_height, new_width):
    images = np.random.RandomState(height).randint(0, 256, (2, height, width, 3)).astype(np.uint8)
    statistics = Statistics((0.0,) * 3, (1.0,) * 3, "none")
    prepare = Preprocessing((height, width, 3), (new_height, new_width, 3), statistics)
    expected = tf.image.resize(images, (new_height, new_width), antialias=True) / 255.0
    assert prepare(images).numpy() == pytest.approx(expected.numpy(), abs=1e-5)


@pytest.mark.parametrize("flip", [False, True])
def test_a_crop_is_a_window_of_the_padded_image_and_every_window_occurs(flip):
    image = unique_pixels(4, 5)
    batch = np.repeat(image, 4000, axis=0)
    cropped = pad_crop_flip(tf.constant(batch), tf.constant([1, 2]), pad=1, flip=flip).numpy()
    possible = windows(image, 1, flip)
    seen = [crop.tobytes() for crop in cropped]
    assert set(seen) == set(possible)
    expected = len(seen) / len(possible)
    for window in possible:  # within five standard deviations of an even share
        assert abs(seen.count(window) - expected) < 5 * np.sqrt(expected)


def test_labels_stay_with_their_images():
    batch = np.repeat(np.arange(1, 65, dtype=np.uint8), 36).reshape(64, 6, 6, 1)
    cropped = pad_crop_flip(tf.constant(batch), tf.constant([3, 4]), pad=2, flip=True).numpy()
    assert cropped.max(axis=(1, 2, 3)).tolist() == list(range(1, 65))


def test_augmentation_depends_on_the_seed_alone():
    images = np.random.RandomState(0).randint(0, 256, (32, 8, 8, 1)).astype(np.uint8)
    prepare = Preprocessing((8, 8, 1), (8, 8, 1), PLAIN, augments=True, pad=2, flip=True)
    tf.random.set_seed(1)
    first = prepare.augment(images, tf.constant([5, 6]))
    tf.random.set_seed(2)
    assert np.array_equal(first, prepare.augment(images, tf.constant([5, 6])))
    assert not np.array_equal(first, prepare.augment(images, tf.constant([5, 7])))


def test_without_augmentation_training_sees_what_evaluation_sees():
    images = np.random.RandomState(0).randint(0, 256, (4, 8, 8, 1)).astype(np.uint8)
    prepare = Preprocessing((8, 8, 1), (28, 28, 1), PLAIN)
    assert np.array_equal(prepare.augment(images, tf.constant([5, 6])), prepare(images))


@pytest.mark.parametrize(
    "prepare",
    [
        Preprocessing((32, 32, 3), (32, 32, 3), Statistics((0.4, 0.5, 0.6), (0.2, 0.3, 0.2), ""),
                      augments=True, pad=4, flip=True),
        Preprocessing((8, 8, 1), (28, 28, 1), Statistics((0.3,), (0.4,), ""),
                      augments=True, pad=3),
        Preprocessing((40, 30, 3), (16, 16, 3), Statistics((0.3,) * 3, (0.4,) * 3, ""),
                      augments=True, pad=2, flip=True),
    ],
    ids=["cifar", "grown", "shrunk"],
)  # fmt: skip
def test_eager_graph_xla_and_pipeline_give_the_same_numbers(prepare):
    shape = (16, *prepare.stored_shape)
    images = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    seed = tf.constant([7, 8])
    for function, arguments in ((prepare.__call__, ()), (prepare.augment, (seed,))):
        eager = function(tf.constant(images), *arguments)
        assert eager.shape == (16, *prepare.input_shape)
        assert eager.dtype == tf.float32
        graph = tf.function(function)(images, *arguments)
        compiled = tf.function(function, jit_compile=True)(images, *arguments)
        pipeline = next(
            iter(
                tf.data.Dataset.from_tensors(images).map(
                    lambda x, f=function, a=arguments: f(x, *a)
                )
            )
        )
        for other in (graph, compiled, pipeline):
            assert other.numpy() == pytest.approx(eager.numpy(), abs=2e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_a_crop_moves_pixels_without_changing_them_in_every_mode(jit):
    images = np.random.RandomState(0).randint(0, 256, (64, 32, 32, 3)).astype(np.uint8)
    eager = pad_crop_flip(tf.constant(images), tf.constant([1, 2]), pad=4, flip=True)

    @tf.function(jit_compile=jit)
    def compiled(images):
        return pad_crop_flip(images, tf.constant([1, 2]), pad=4, flip=True)

    assert np.array_equal(compiled(tf.constant(images)), eager)
    assert eager.dtype == tf.uint8


def test_the_batch_may_be_of_any_size():
    prepare = Preprocessing((8, 8, 1), (28, 28, 1), PLAIN, augments=True, pad=3)
    traced = tf.function(
        prepare.augment,
        input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.uint8), tf.TensorSpec((2,), tf.int32)],
    )
    for batch in (1, 5):
        images = np.zeros((batch, 8, 8, 1), np.uint8)
        assert traced(images, [1, 2]).shape == (batch, 28, 28, 1)


def test_the_description_says_how_to_feed_the_model():
    prepare = Preprocessing((8, 8, 1), (28, 28, 1), Statistics((0.3,), (0.4,), "hand"))
    described = prepare.description()
    assert (described["input_shape"], described["channel_order"]) == ([28, 28, 1], "grey")
    assert (described["mean"], described["std"]) == ([0.3], [0.4])
    assert "bilinear" in described["resize"]
    assert described["augmentation"] is None
