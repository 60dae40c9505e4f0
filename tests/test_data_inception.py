"""ImageNet's crops: what they cut, told from images whose pixels name their own place."""

import numpy as np
import pytest
import tensorflow as tf

from tests.made_sets import jpeg, png
from tfsparse.data.inception import decode_center, decode_random


def places(height: int, width: int) -> np.ndarray:
    """uint8 [h, w, 3]: the row in the first channel, the column in the second."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def window(crop: tf.Tensor) -> tuple[float, float, bool]:
    """Height and width in pixels of the window a crop of `places` shows, and whether mirrored."""
    rows, columns = crop.numpy()[..., 0], crop.numpy()[..., 1]
    step = columns[:, -1].mean() - columns[:, 0].mean()
    return rows.max() - rows.min() + 1, columns.max() - columns.min() + 1, step < 0


def test_the_centre_of_a_256_by_384_image_is_its_central_224_square():
    image = np.random.RandomState(0).randint(0, 256, (256, 384, 3)).astype(np.uint8)
    crop = decode_center(png(image), size=224, channels=3)
    assert np.array_equal(crop.numpy(), image[16:240, 80:304].astype(np.float32))


def test_the_centre_is_the_same_as_scaling_to_256_and_cutting_224():
    image = tf.image.resize(np.random.RandomState(0).randint(0, 256, (6, 6, 3)), (512, 640))
    image = tf.cast(image, tf.uint8)
    crop = decode_center(png(image), size=224, channels=3)
    scaled = tf.image.resize(image, (256, 320))
    assert np.abs(crop.numpy() - scaled[16:240, 48:272].numpy()).max() < 2.0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 7), (300, 40)])
def test_an_image_of_any_shape_is_cropped(shape):
    image = np.full((*shape, 3), 77, np.uint8)
    for encoded in (png(image), jpeg(image)):
        for index in range(3):
            crop = decode_random(encoded, tf.constant([index, 1]), size=32, channels=3)
            assert crop.shape == (32, 32, 3)
            assert np.abs(crop.numpy() - 77).max() <= 1
        assert np.abs(decode_center(encoded, size=32, channels=3).numpy() - 77).max() <= 1


def test_grey_and_transparent_images_become_rgb():
    grey = jpeg(np.full((20, 20, 1), 90, np.uint8))
    transparent = png(np.full((20, 20, 4), 90, np.uint8))
    for encoded in (grey, transparent):
        assert decode_center(encoded, size=8, channels=3).shape == (8, 8, 3)
        assert decode_random(encoded, tf.constant([1, 2]), size=8, channels=3).shape == (8, 8, 3)


def test_random_crops_cover_8_to_100_percent_at_aspects_from_3_4_to_4_3():
    encoded = tf.constant(png(places(120, 160)))
    draw = tf.function(lambda seed: decode_random(encoded, seed, size=200, channels=3))
    seen = [window(draw(tf.constant([index, 0]))) for index in range(400)]
    heights, widths, mirrored = map(np.array, zip(*seen, strict=True))
    areas, aspects = heights * widths / (120 * 160), widths / heights
    # Whole pixels: a window's side may be off by one.
    assert areas.min() > 0.08 - 0.02
    assert areas.max() > 0.9
    assert areas.max() <= 1.0 + 1e-6
    assert aspects.min() > 3 / 4 - 0.06
    assert aspects.max() < 4 / 3 + 0.06
    assert aspects.min() < 0.8
    assert aspects.max() > 1.25
    assert areas.min() < 0.15
    assert 0.4 < mirrored.mean() < 0.6


def test_a_crop_depends_on_its_seed_alone():
    encoded = png(places(60, 80))
    first = decode_random(encoded, tf.constant([1, 2]), size=24, channels=3)
    tf.random.set_seed(5)
    again = decode_random(encoded, tf.constant([1, 2]), size=24, channels=3)
    other = decode_random(encoded, tf.constant([1, 3]), size=24, channels=3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("encode", [png, jpeg])
def test_eager_and_pipeline_agree(encode):
    encoded = encode(places(60, 80))

    def both(seed):
        return (
            decode_random(encoded, seed, size=24, channels=3),
            decode_center(encoded, size=24, channels=3),
        )

    seeds = tf.constant([[index, 9] for index in range(8)])
    for seed, (random, centre) in zip(
        seeds, tf.data.Dataset.from_tensor_slices(seeds).map(both), strict=True
    ):
        eager_random, eager_centre = both(seed)
        assert np.array_equal(random, eager_random)
        assert np.array_equal(centre, eager_centre)


def test_a_jpeg_is_cut_as_the_same_pixels_stored_as_png():
    image = tf.image.resize(np.random.RandomState(1).randint(0, 256, (5, 5, 3)), (90, 70))
    encoded = jpeg(tf.cast(image, tf.uint8))
    decoded = tf.io.decode_jpeg(encoded)
    for index in range(5):
        seed = tf.constant([index, 4])
        cut = decode_random(encoded, seed, size=32, channels=3)
        same = decode_random(png(decoded), seed, size=32, channels=3)
        promised = decode_random(encoded, seed, size=32, channels=3, jpeg=True)
        assert np.array_equal(cut, promised)
        # Only the colour of the border differs: its neighbours are outside the decoded window.
        assert np.abs(cut.numpy() - same.numpy())[2:-2, 2:-2].max() <= 1.0
