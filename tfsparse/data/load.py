"""From a config's data section to data that training and evaluation can use."""

import numpy as np

from tfsparse.config import DataConfig
from tfsparse.data.decoding import check_labels, decode_first, decode_split
from tfsparse.data.image_recipes import CropRecipe, FixedSizeRecipe
from tfsparse.data.image_set import ImageSet, describe
from tfsparse.data.memory import Examples, InMemoryData
from tfsparse.data.parts import consecutive_counts, random_parts
from tfsparse.data.prepared import open_prepared
from tfsparse.data.preprocessing import Preprocessing, Statistics, no_statistics, statistics_of
from tfsparse.data.stream import StreamedData, Stretch

LARGEST_IN_MEMORY = 2 << 30
"""Bytes of decoded pixels (2 GiB) above which a set is streamed."""

STREAMED_SIZE = 224
"""Input size of sets whose images differ in size."""

COUNTED_IMAGES = 1000
"""Training images from which the statistics of a streamed set are taken."""

USUAL_SIZE = {"digits": 28}
"""Sets that are not fed at their stored size; 28 lets the MNIST networks take the scans."""

USUALLY_AUGMENTED = ("cifar10", "cifar100")

NEVER_MIRRORED = ("digits", "mnist", "kmnist", "emnist", "svhn_cropped", "binary_alpha_digits")
"""A mirrored character is another one or none."""


def load_data(config: DataConfig, *, seed: int) -> InMemoryData | StreamedData:
    """The data set that `config` names, split and ready: in memory where it fits, else streamed.

    The parts, the limit to `train_examples` and the statistics do not depend on `seed`, so that
    runs with different seeds train and are judged on the same images.

    Raises:
        UserError: unknown, unprepared or damaged set, or options that do not fit it.
    """
    del seed
    builder = open_prepared(config.name, data_dir=config.data_dir, download=config.download)
    image_set = describe(builder)
    stream = _too_large(image_set) if config.stream is None else config.stream
    return _streamed(config, image_set) if stream else _in_memory(config, image_set)


def _too_large(image_set: ImageSet) -> bool:
    height, width, channels = image_set.image_shape
    if height is None or width is None:
        return True
    splits = filter(None, (image_set.train_split, image_set.test_split))
    count = sum(image_set.num_examples(split) for split in splits)
    return count * height * width * channels > LARGEST_IN_MEMORY


def _in_memory(config: DataConfig, image_set: ImageSet) -> InMemoryData:
    images, labels = decode_split(image_set, image_set.train_split, config.image_size)
    parts = random_parts(
        len(labels),
        validation_fraction=config.validation_fraction,
        train_examples=config.train_examples,
        carve_test=image_set.test_split is None,
    )
    if image_set.test_split is None:
        test = Examples(images[parts.test], labels[parts.test])
    else:
        test = Examples(*decode_split(image_set, image_set.test_split, config.image_size))
    train = Examples(images[parts.train], labels[parts.train])
    return InMemoryData(
        name=image_set.name,
        version=image_set.version,
        train=train,
        validation=Examples(images[parts.validation], labels[parts.validation]),
        test=test,
        num_classes=image_set.num_classes,
        preprocessing=_preprocessing(
            config, image_set, images.shape[1:], _statistics(config, image_set, train.images)
        ),
    )


def _streamed(config: DataConfig, image_set: ImageSet) -> StreamedData:
    split = image_set.train_split
    stored = image_set.num_examples(split)
    train, validation, test = consecutive_counts(
        stored,
        validation_fraction=config.validation_fraction,
        train_examples=config.train_examples,
        carve_test=image_set.test_split is None,
    )
    own_test = image_set.test_split
    return StreamedData(
        image_set=image_set,
        train=Stretch(split, 0, train),
        validation=Stretch(split, stored - test - validation, stored - test),
        test=Stretch(own_test, 0, image_set.num_examples(own_test))
        if own_test
        else Stretch(split, stored - test, stored),
        recipe=_recipe(config, image_set, train),
        shuffle=config.shuffle,
    )


def _statistics(config: DataConfig, image_set: ImageSet, images: np.ndarray) -> Statistics:
    if config.standardise:
        return statistics_of(image_set.name, images)
    return no_statistics(images.shape[-1])


def _recipe(config: DataConfig, image_set: ImageSet, train: int) -> CropRecipe | FixedSizeRecipe:
    size = config.image_size or STREAMED_SIZE
    # A first look at the records also finds a damaged set before training starts.
    images, labels = decode_first(image_set, min(train, COUNTED_IMAGES), size)
    check_labels(image_set, image_set.train_split, labels)
    statistics = _statistics(config, image_set, images)
    height, width, channels = image_set.image_shape
    if height is None or width is None:
        augments = config.augment is None or config.augment
        return CropRecipe(size, channels, statistics, augments, image_set.jpeg)
    return FixedSizeRecipe(_preprocessing(config, image_set, images.shape[1:], statistics))


def _preprocessing(
    config: DataConfig, image_set: ImageSet, stored: tuple[int, ...], statistics: Statistics
) -> Preprocessing:
    size = config.image_size or USUAL_SIZE.get(image_set.name)
    height, width, channels = stored
    wanted = (height, width, channels) if size is None else (size, size, channels)
    augments = config.augment
    if augments is None:
        augments = image_set.name in USUALLY_AUGMENTED
    return Preprocessing(
        stored_shape=(height, width, channels),
        input_shape=wanted,
        statistics=statistics,
        augments=augments,
        pad=max(1, wanted[0] // 8),
        flip=image_set.name not in NEVER_MIRRORED,
    )
