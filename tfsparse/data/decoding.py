"""Decoding the images of a split into memory, once per process."""

import functools

import numpy as np
import tensorflow as tf

from tfsparse.data.image_set import ImageSet, reading
from tfsparse.data.inception import decode_center
from tfsparse.data.records import read_records
from tfsparse.errors import UserError

CACHED_SPLITS = 4
"""Decoded splits kept for later runs of the same process: two sets' worth."""

_BATCH = 512

Arrays = tuple[np.ndarray, np.ndarray]
"""Images uint8 [n, h, w, c] and labels int32 [n], read-only because a cache hands them out."""


@functools.lru_cache(maxsize=CACHED_SPLITS)
def decode_split(image_set: ImageSet, split: str, image_size: int | None) -> Arrays:
    """All images and labels of a split, in stored order.

    Images keep their stored size; only where it differs from image to image they are cut to a
    centred square of `image_size`.

    Raises:
        UserError: damaged files, or a label outside 0..num_classes-1.
    """
    images, labels = _decode(image_set, split, image_set.num_examples(split), image_size)
    check_labels(image_set, split, labels)
    return images, labels


@functools.lru_cache(maxsize=CACHED_SPLITS)
def decode_first(image_set: ImageSet, count: int, image_size: int) -> Arrays:
    """The first `count` training images and labels; sizes as in `decode_split`."""
    return _decode(image_set, image_set.train_split, count, image_size)


def _decode(image_set: ImageSet, split: str, count: int, image_size: int | None) -> Arrays:
    shape = _shape(image_set, image_size)
    varied = shape != image_set.image_shape
    parse = image_set.parser()

    def decode(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded, label = parse(record)
        if varied:
            square = decode_center(encoded, size=shape[0], channels=shape[2])
            return tf.cast(tf.round(square), tf.uint8), label
        image = tf.io.decode_image(encoded, channels=shape[2], expand_animations=False)
        return tf.ensure_shape(image, shape), label

    batches = (
        read_records(image_set, split, 0, count)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(_BATCH)
        .prefetch(2)
    )
    images, labels = np.empty((count, *shape), np.uint8), np.empty(count, np.int32)
    done = 0
    with reading(image_set):
        for some_images, some_labels in batches.as_numpy_iterator():
            end = done + len(some_labels)
            images[done:end], labels[done:end] = some_images, some_labels
            done = end
    images.flags.writeable = labels.flags.writeable = False
    return images, labels


def _shape(image_set: ImageSet, image_size: int | None) -> tuple[int, int, int]:
    """The shape of one image in memory."""
    height, width, channels = image_set.image_shape
    if height is not None and width is not None:
        return height, width, channels
    if image_size is not None:
        return image_size, image_size, channels
    raise UserError(
        f"data set {image_set.name!r} holds images of different sizes: expected"
        " data.image_size to be set to keep it in memory, received null"
    )


def check_labels(image_set: ImageSet, split: str, labels: np.ndarray) -> None:
    """Refuse labels that name no class, such as the -1 of an unlabelled test split."""
    if len(labels) and not (labels.min() >= 0 and labels.max() < image_set.num_classes):
        raise UserError(
            f"data set {image_set.name!r}, split {split!r}: expected labels in"
            f" 0..{image_set.num_classes - 1}, received {labels.min()}..{labels.max()}"
        )
