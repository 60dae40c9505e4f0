"""What is known of a prepared image-classification set before any record is read."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tfsparse.errors import UserError, one_line

TEST_SPLITS = ("test", "validation")
"""Where the final figure comes from, in order of preference."""

UNLABELLED_TEST = ("imagenet2012",)
"""Sets whose test labels are not public (-1 in the records): `validation` stands in."""


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """One prepared set: where it lies, its shapes, and how one record is read.

    Two values are equal when they stand for the same files, so they serve as a cache's key.
    """

    name: str
    directory: Path
    files: tuple[tuple[str, int, int], ...]
    """Name, size in bytes and time of change of every file."""
    image_shape: tuple[int | None, int | None, int]
    """Height, width (None: they differ from image to image) and channels."""
    num_classes: int
    train_split: str
    test_split: str | None
    """None: the set has a training split only."""
    builder: Any = dataclasses.field(compare=False, repr=False)
    image_key: str = dataclasses.field(compare=False)
    label_key: str = dataclasses.field(compare=False)

    @property
    def version(self) -> str:
        return str(self.builder.info.version)

    def num_examples(self, split: str) -> int:
        return int(self.builder.info.splits[split].num_examples)

    def num_bytes(self, split: str) -> int:
        """Size of the encoded records; 0 where the set does not say."""
        return int(self.builder.info.splits[split].num_bytes)

    @property
    def jpeg(self) -> bool:
        """Whether the set promises that every image is a JPEG."""
        return self.builder.info.features[self.image_key].encoding_format == "jpeg"

    def parser(self) -> Any:
        """A function from one serialized record to (encoded image, int32 label)."""
        stored = self.builder.info.features
        features = tfds.features.FeaturesDict(
            {key: stored[key] for key in (self.image_key, self.label_key)}
        )
        raw = {self.image_key: tfds.decode.SkipDecoding()}

        def parse(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            example = features.deserialize_example(record, decoders=raw)
            return example[self.image_key], tf.cast(example[self.label_key], tf.int32)

        return parse


def describe(builder: Any) -> ImageSet:
    """The facts of `builder`'s set.

    Raises:
        UserError: the set has no image with a class label, or no training split.
    """
    info = builder.info
    image_key, label_key = _keys(info)
    directory = Path(builder.data_dir)
    if info.file_format is not None and info.file_format.value != "tfrecord":
        raise UserError(
            f"data set {info.name!r} in {directory}: expected tfrecord files, received"
            f" {info.file_format.value}; prepare it with TFDS's default file format"
        )
    if "train" not in info.splits:
        raise UserError(
            f"data set {info.name!r} in {directory}: expected a split named 'train', received"
            f" {', '.join(info.splits) or 'none'}"
        )
    tests = TEST_SPLITS[1:] if info.name in UNLABELLED_TEST else TEST_SPLITS
    return ImageSet(
        name=info.name,
        directory=directory,
        files=_files(info, directory),
        image_shape=tuple(info.features[image_key].shape),
        num_classes=int(info.features[label_key].num_classes),
        train_split="train",
        test_split=next((split for split in tests if split in info.splits), None),
        builder=builder,
        image_key=image_key,
        label_key=label_key,
    )


def _keys(info: Any) -> tuple[str, str]:
    """The names of the image and the label among the features."""
    features = info.features if isinstance(info.features, tfds.features.FeaturesDict) else {}
    for pair in (info.supervised_keys, ("image", "label")):
        if pair is None or len(pair) != 2 or not all(key in features for key in pair):
            continue
        image, label = (features[key] for key in pair)
        if not isinstance(image, tfds.features.Image) or image.shape[-1] is None:
            continue
        if not isinstance(label, tfds.features.ClassLabel) or not label.num_classes:
            continue
        if image.np_dtype == np.uint8:
            return pair
    raise UserError(
        f"data set {info.name!r}: expected a uint8 image and its class label, received features"
        f" {', '.join(f'{key} ({type(features[key]).__name__})' for key in features) or 'unknown'}"
    )


def _files(info: Any, directory: Path) -> tuple[tuple[str, int, int], ...]:
    """Every record file with its size, so that a missing one is found before training starts."""
    found = []
    for split in info.splits.values():
        for path in map(Path, split.filepaths):
            try:
                stat = path.stat()
            except OSError as error:
                raise UserError(
                    f"data set {info.name!r} in {directory} is incomplete: {path.name}"
                    f" ({error.strerror}); prepare it again"
                ) from None
            found.append((path.name, stat.st_size, stat.st_mtime_ns))
    return tuple(found)


@contextlib.contextmanager
def reading(image_set: ImageSet) -> Iterator[None]:
    """Turns what TensorFlow raises on a damaged record into one line.

    Raises:
        UserError: a truncated or corrupt file, an undecodable image, a missing file.
    """
    try:
        yield
    except tf.errors.OpError as error:
        raise UserError(
            f"data set {image_set.name!r} in {image_set.directory} is damaged:"
            f" {one_line(error)[:300]}; prepare it again"
        ) from None
