"""Model inputs for calibration, comparison and accuracy, all float32 and preprocessed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfsparse import files
from tfsparse.config import DataConfig
from tfsparse.data import InMemoryData, StreamedData, load_data
from tfsparse.errors import UserError
from tfsparse.seeds import named_seed

_BATCH = 500


@dataclass(frozen=True)
class TestSet:
    """Inputs float32 [n, ...] and, where known, labels int32 [n]."""

    inputs: np.ndarray
    labels: np.ndarray | None
    about: str


def training_inputs(data: InMemoryData | StreamedData, count: int, *, seed: int) -> np.ndarray:
    """`count` different training images as the model sees them in evaluation, float32 [n, ...]."""
    if isinstance(data, InMemoryData):
        order = np.random.default_rng(named_seed(seed, "representative")).permutation(
            len(data.train)
        )
        return _preprocessed(data, data.train.images[np.sort(order[:count])])
    batches = data.evaluation_batches("train", min(count, _BATCH))
    found = [images.numpy() for images, _ in batches.take(-(-count // _BATCH))]
    return np.concatenate(found)[:count] if found else np.zeros((0, *data.input_shape), np.float32)


def held_out(data: InMemoryData | StreamedData, count: int | None) -> TestSet:
    """The first `count` test images, all of them for None, with their labels."""
    about = f"test split of {data.description().get('name')}"
    if isinstance(data, InMemoryData):
        inputs = _preprocessed(data, data.test.images[:count])
        return TestSet(inputs, data.test.labels[:count], about)
    wanted = data.num_test if count is None else min(count, data.num_test)
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for batch, truth in data.evaluation_batches("test", _BATCH).take(-(-wanted // _BATCH)):
        images.append(batch.numpy())
        labels.append(truth.numpy())
    return TestSet(np.concatenate(images)[:wanted], np.concatenate(labels)[:wanted], about)


def random_inputs(shape: tuple[int, ...], count: int, *, seed: int) -> TestSet:
    """Standard normal inputs, for a model whose data are not known."""
    rng = np.random.default_rng(named_seed(seed, "random inputs"))
    inputs = rng.normal(size=(count, *shape)).astype(np.float32)
    return TestSet(inputs, None, "random inputs; no accuracy")


def inputs_from_file(path: str | Path, shape: tuple[int, ...]) -> TestSet:
    """Inputs from an `.npz` with `images` (preprocessed float [n, ...]) and perhaps `labels` [n].

    Raises:
        UserError: unreadable file, no images, another shape, not finite.
    """
    arrays = files.read_npz(path)
    if "images" not in arrays:
        raise UserError(f"{path}: expected an array 'images', found {', '.join(arrays) or 'none'}")
    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype.kind not in "fiu" or images.shape[1:] != shape:
        raise UserError(
            f"{path}: images: expected numbers of shape {('n', *shape)}, "
            f"received {images.dtype} of shape {images.shape}"
        )
    if not np.isfinite(images).all():
        raise UserError(f"{path}: images: expected finite numbers")
    if labels is not None and (labels.shape != images.shape[:1] or labels.dtype.kind not in "iu"):
        raise UserError(f"{path}: labels: expected {len(images)} integers, received {labels.shape}")
    return TestSet(images.astype(np.float32), labels, str(path))


def load_for(
    config: DataConfig, shape: tuple[int, ...], *, seed: int
) -> InMemoryData | StreamedData:
    """The data set of a config.

    Raises:
        UserError: it cannot be had, or its inputs do not fit the model's.
    """
    data = load_data(config, seed=seed)
    if tuple(data.input_shape) != tuple(shape):
        raise UserError(
            f"data set {config.name!r}: expected inputs of shape {tuple(shape)} for this model, "
            f"received {tuple(data.input_shape)}"
        )
    return data


def _preprocessed(data: InMemoryData, images: np.ndarray) -> np.ndarray:
    batches = [
        np.asarray(data.preprocess(tf.constant(images[start : start + _BATCH])))
        for start in range(0, len(images), _BATCH)
    ]
    return np.concatenate(batches) if batches else np.zeros((0, *data.input_shape), np.float32)
