"""From stored pixels to the model's input: resize, scale to [0, 1], standardise, augment.

Everything is a pure function of tensors with static shapes, so it runs eagerly, in a graph and
under XLA, and gives the same numbers in each.
"""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

Shape = tuple[int, int, int]
Part = tuple[tf.Tensor | int, int]
"""Which part of a batch, and of how many."""


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each channel, of pixels scaled to [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str
    """Where the numbers come from, for people."""


KNOWN_STATISTICS = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "imagenet2012": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""The constants in common use; those of other sets are computed."""


def statistics_of(name: str, images: np.ndarray) -> Statistics:
    """The known constants of the set, else the mean and deviation of `images` (uint8 [n,h,w,c])."""
    if name in KNOWN_STATISTICS:
        mean, std = KNOWN_STATISTICS[name]
        if len(mean) == images.shape[-1]:
            return Statistics(mean, std, "constants in common use")
    return computed_statistics(images)


def no_statistics(channels: int) -> Statistics:
    """Those that leave pixels in [0, 1] as they are."""
    return Statistics((0.0,) * channels, (1.0,) * channels, "none: pixels stay in [0, 1]")


def computed_statistics(images: np.ndarray) -> Statistics:
    """Mean and deviation per channel, from exact counts of the 256 values.

    >>> computed_statistics(np.array([[[[0, 7]]], [[[255, 7]]]], np.uint8)).std
    (0.5, 1.0)
    """
    values = np.arange(256) / 255.0
    means, deviations = [], []
    for channel in np.moveaxis(images, -1, 0):
        share = np.bincount(channel.ravel(), minlength=256) / channel.size
        mean = float(share @ values)
        deviation = float(np.sqrt(share @ (values - mean) ** 2))
        means.append(mean)
        deviations.append(deviation if deviation > 1e-6 else 1.0)  # a blank channel stays as it is
    return Statistics(tuple(means), tuple(deviations), f"{len(images)} training images")


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Resize, standardise and, in training, pad-crop-flip images of one stored shape."""

    stored_shape: Shape
    input_shape: Shape
    statistics: Statistics
    augments: bool = False
    pad: int = 0
    """Pixels added on each side before a random crop of the input's size."""
    flip: bool = False
    """Mirror half of the images from left to right."""

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """uint8 [b, *stored_shape] -> float32 [b, *input_shape], the same on every call."""
        return self.standardise(self._resize(images))

    def augment(self, images: tf.Tensor, seed: tf.Tensor, part: Part = (0, 1)) -> tf.Tensor:
        """As a call, after a random crop and flip that depend on `seed` (int32 [2]) and an
        image's place alone; `images` are the i-th of n equal parts of a batch."""
        return self.standardise(self.augment_pixels(images, seed, part))

    def augment_pixels(self, images: tf.Tensor, seed: tf.Tensor, part: Part = (0, 1)) -> tf.Tensor:
        """What `augment` standardises: [b, *input_shape], uint8 unless resized to float32."""
        resized = self._resize(images)
        if self.augments:
            resized = pad_crop_flip(resized, seed, pad=self.pad, flip=self.flip, part=part)
        return resized

    def _resize(self, images: tf.Tensor) -> tf.Tensor:
        if self.stored_shape == self.input_shape:
            return images  # still uint8: a crop then moves a quarter of the bytes
        rows = resize_matrix(self.stored_shape[0], self.input_shape[0])
        columns = resize_matrix(self.stored_shape[1], self.input_shape[1])
        images = tf.cast(images, tf.float32)
        images = tf.einsum("rh,bhwc->brwc", tf.constant(rows), images)
        return tf.einsum("sw,brwc->brsc", tf.constant(columns), images)

    def standardise(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels in 0..255 of any dtype [b, *input_shape] -> float32 of the same shape."""
        # One scale and offset for each number of a row: broadcasting along a whole row takes a
        # quarter of the time of broadcasting along three channels.
        _, width, channels = self.input_shape
        mean, std = np.array(self.statistics.mean), np.array(self.statistics.std)
        scale = tf.constant(np.tile(1.0 / (255.0 * std), width), tf.float32)
        offset = tf.constant(np.tile(-mean / std, width), tf.float32)
        rows = tf.reshape(tf.cast(images, tf.float32), [-1, width * channels])
        return tf.reshape(rows * scale + offset, [-1, *self.input_shape])

    def description(self) -> dict[str, Any]:
        """What another program must do to feed the model, as JSON values."""
        resized = self.stored_shape != self.input_shape
        return {
            "input_shape": list(self.input_shape),
            "dtype": "float32",
            "channel_order": "grey" if self.input_shape[-1] == 1 else "RGB",
            "resize": "bilinear, half-pixel centres, antialiased when shrinking"
            if resized
            else None,
            "scaling": "(pixel / 255 - mean) / std, pixel in 0..255",
            "mean": list(self.statistics.mean),
            "std": list(self.statistics.std),
            "statistics_from": self.statistics.source,
            "augmentation": f"pad {self.pad}, random crop{', random flip' if self.flip else ''}"
            if self.augments
            else None,
        }


def pad_crop_flip(
    images: tf.Tensor, seed: tf.Tensor, *, pad: int, flip: bool, part: Part = (0, 1)
) -> tf.Tensor:
    """Each image padded with zeros, cropped back at a random place and perhaps mirrored.

    He et al. 2016 (arXiv 1512.03385), section 4.2, with black instead of mean padding.
    Any dtype and a static [b, h, w, c]; `seed` is int32 [2]; `part` (i, n) says that the images
    are the i-th of n equal parts of a batch. Crop and mirror are index look-ups,
    so the pixels are copied and not interpolated.
    """
    batch = tf.shape(images)[0]
    height, width = images.shape[1:3]
    # Philox gives the same bits on CPU, GPU, TPU and under XLA.
    drawn = tf.random.stateless_uniform(
        [batch * part[1], 3], seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox"
    )
    if part[1] > 1:
        drawn = tf.slice(drawn, [part[0] * batch, 0], [batch, 3])
    places = tf.cast(drawn[:, :2] % tf.constant(2 * pad + 1, tf.uint32), tf.int32)
    rows = places[:, :1] + tf.range(height)
    columns = places[:, 1:] + tf.range(width)
    if flip:
        mirrored = drawn[:, 2:] >= tf.constant(1 << 31, tf.uint32)
        columns = tf.where(mirrored, columns[:, ::-1], columns)
    padded = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
    return tf.gather(tf.gather(padded, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def resize_matrix(stored: int, wanted: int) -> np.ndarray:
    """Bilinear interpolation along one axis as a matrix, float32 [wanted, stored]; rows sum to 1.

    Pixel centres lie at half numbers, as in `tf.image.resize`; shrinking averages over the pixels
    that fall together (antialias). As a matrix product it is the same in every mode.

    >>> resize_matrix(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    scale = stored / wanted
    reach = max(scale, 1.0)
    centres = (np.arange(wanted) + 0.5) * scale - 0.5
    distance = np.abs(centres[:, np.newaxis] - np.arange(stored))
    weights = np.maximum(0.0, 1.0 - distance / reach)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
