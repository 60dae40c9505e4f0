"""The images on which a path is evaluated: the same, in the same order, for every t."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfsparse.data import InMemoryData, StreamedData
from tfsparse.errors import UserError
from tfsparse.seeds import named_seed, stateless_seed

Batch = tuple[tf.Tensor, tf.Tensor]


class MemoryImages:
    """Training images held in memory as stored pixels, drawn once and then in a fixed order.

    Batches differ in size by one image at most, so that no small last batch distorts the
    statistics of batch norm.

    Args:
        data: the set.
        count: how many training images; None for all.
        batch_size: at most so many at a time.
        augment: use the training's random changes, fixed by the seed and the batch's place.
        seed: of the draw and the changes.

    Raises:
        UserError: fewer images than one batch, or more than there are.
    """

    def __init__(
        self,
        data: InMemoryData,
        *,
        count: int | None,
        batch_size: int,
        augment: bool = False,
        seed: int = 0,
    ) -> None:
        self.count = check_count(count, data.num_train, batch_size)
        self._data, self._augment, self._seed = data, augment, seed
        generator = np.random.default_rng(named_seed(seed, "path_images"))
        chosen = np.argsort(generator.random(data.num_train), kind="stable")[: self.count]
        self.pixels = tf.constant(data.train.images[chosen])
        self.labels = tf.constant(data.train.labels[chosen])
        self.batch_size = batch_size
        self._augmentation_seed = stateless_seed(seed, "path_augmentation")

    def resized(self, batch_size: int) -> "MemoryImages":
        """The same images in batches of another size."""
        other = object.__new__(MemoryImages)
        other.__dict__.update(self.__dict__)
        other.batch_size = batch_size
        return other

    @property
    def batches(self) -> int:
        """How many batches there are."""
        return -(-self.count // self.batch_size)

    def groups(self) -> list[tuple[int, int, int]]:
        """(first image, batches, size) of at most two groups of batches of one size."""
        size, larger = divmod(self.count, self.batches)
        groups = [(0, larger, size + 1), (larger * (size + 1), self.batches - larger, size)]
        return [group for group in groups if group[1]]

    def batch(self, pixels: tf.Tensor, labels: tf.Tensor, first: tf.Tensor, size: int) -> Batch:
        """The model inputs float32 and labels int32 of `size` images, inside a graph."""
        images = tf.slice(pixels, tf.stack([first, 0, 0, 0]), [size, *pixels.shape[1:]])
        chosen = tf.slice(labels, [first], [size])
        if not self._augment:
            return self._data.preprocess(images), chosen
        low, high = self._augmentation_seed
        return self._data.augment(images, tf.stack([low, high + first])), chosen


class StreamedImages:
    """Training images read from disk, again for every pass and in the same order.

    Args: as for `MemoryImages`; `count` is rounded down to whole batches.
    """

    def __init__(
        self,
        data: StreamedData,
        *,
        count: int | None,
        batch_size: int,
        augment: bool = False,
        seed: int = 0,
    ) -> None:
        wanted = check_count(count, data.num_train, batch_size)
        self.batch_size, self.batches = batch_size, wanted // batch_size
        self.count = self.batches * batch_size
        self._data, self._augment, self._seed = data, augment, seed

    def __iter__(self) -> Iterator[Batch]:
        seed = named_seed(self._seed, "path_images")
        if self._augment:
            batches = self._data.train_batches(self.batch_size, epoch=0, seed=seed).map(
                lambda pixels, labels: (self._data.standardise(pixels), labels)
            )
        else:
            batches = self._data.evaluation_batches("train", self.batch_size)
        with self._data.reading():
            yield from batches.take(self.batches)


Images = MemoryImages | StreamedImages


def make_images(
    data: InMemoryData | StreamedData,
    *,
    count: int | None,
    batch_size: int,
    augment: bool,
    seed: int,
) -> Images:
    """The images of a path, from wherever the data live."""
    kind = StreamedImages if isinstance(data, StreamedData) else MemoryImages
    return kind(data, count=count, batch_size=batch_size, augment=augment, seed=seed)  # type: ignore[arg-type]


def check_count(count: int | None, available: int, batch_size: int) -> int:
    """The number of images, or a UserError where it does not fit."""
    if count is not None and count > available:
        raise UserError(
            f"images: expected at most the {available} training images, received {count}"
        )
    count = available if count is None else count
    if count < batch_size:
        raise UserError(
            f"images: expected at least one batch of {batch_size}, received {count}; "
            "lower batch_size"
        )
    return count
