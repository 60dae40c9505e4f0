"""ImageNet's two crops, fused with the decoding so that no pixel outside the crop is decoded.

Random area and aspect ratio for training (Szegedy et al. 2015, arXiv 1409.4842, section 6);
the centre of the image at 256 / 224 of its size for evaluation.
"""

import tensorflow as tf

AREA = (0.08, 1.0)
ASPECT = (3 / 4, 4 / 3)
CENTER_MARGIN = 256 / 224
"""The shorter side is scaled to this multiple of the crop before the centre is cut."""

_ATTEMPTS = 10


def decode_random(
    encoded: tf.Tensor, seed: tf.Tensor, *, size: int, channels: int, jpeg: bool = False
) -> tf.Tensor:
    """A random crop of an encoded image, resized to [size, size, channels], perhaps mirrored.

    The crop covers 8% to 100% of the area at an aspect ratio between 3/4 and 4/3; where ten
    draws find none that fits, the whole image is taken. `seed` (int32 [2]) fixes the result.
    `jpeg` says that the image is one, which saves asking. Returns float32 in 0..255.
    """
    begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        _shape(encoded, jpeg),
        bounding_boxes=tf.zeros([1, 0, 4]),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=ASPECT,
        area_range=AREA,
        max_attempts=_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    window = tf.concat([begin[:2], extent[:2]], axis=0)
    crop = _decode_window(encoded, window, channels, jpeg)
    mirrored = tf.random.stateless_uniform([], tf.add(seed, [1, 0]), alg="philox") < 0.5
    # Before resizing, while a pixel is three bytes and not twelve.
    crop = tf.cond(mirrored, lambda: tf.reverse(crop, [1]), lambda: crop)
    return _resize(crop, size, channels)


def decode_center(encoded: tf.Tensor, *, size: int, channels: int, jpeg: bool = False) -> tf.Tensor:
    """The centred square of an encoded image, resized to [size, size, channels].

    The same pixels as scaling the shorter side to `size * 256 / 224` and cutting the centre.
    `jpeg` as in `decode_random`. Returns float32 in 0..255.
    """
    shape = _shape(encoded, jpeg)
    shorter = tf.cast(tf.minimum(shape[0], shape[1]), tf.float32)
    side = tf.maximum(tf.cast(tf.round(shorter / CENTER_MARGIN), tf.int32), 1)
    window = tf.stack([(shape[0] - side) // 2, (shape[1] - side) // 2, side, side])
    return _resize(_decode_window(encoded, window, channels, jpeg), size, channels)


def _shape(encoded: tf.Tensor, jpeg: bool) -> tf.Tensor:
    """Height, width and channels (int32 [3]); of a JPEG from its header alone."""

    def from_header() -> tf.Tensor:
        return tf.io.extract_jpeg_shape(encoded)

    def from_pixels() -> tf.Tensor:
        return tf.shape(tf.io.decode_image(encoded, expand_animations=False))

    return from_header() if jpeg else tf.cond(tf.io.is_jpeg(encoded), from_header, from_pixels)


def _decode_window(encoded: tf.Tensor, window: tf.Tensor, channels: int, jpeg: bool) -> tf.Tensor:
    """The pixels of a window (top, left, height, width), uint8."""

    def from_jpeg() -> tf.Tensor:
        return tf.io.decode_and_crop_jpeg(encoded, window, channels=channels)

    def from_other() -> tf.Tensor:
        image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        top, left, height, width = tf.unstack(window)
        return image[top : top + height, left : left + width]

    crop = from_jpeg() if jpeg else tf.cond(tf.io.is_jpeg(encoded), from_jpeg, from_other)
    return tf.ensure_shape(crop, (None, None, channels))


def _resize(crop: tf.Tensor, size: int, channels: int) -> tf.Tensor:
    return tf.ensure_shape(tf.image.resize(crop, [size, size]), (size, size, channels))
