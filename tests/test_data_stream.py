"""Streamed epochs: every image once, the same on every machine, resumable, shared by workers."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.made_sets import numbered, photographs, write_set
from tfsparse.config import DataConfig
from tfsparse.data import InMemoryData, StreamedData, load, load_data
from tfsparse.errors import UserError

GREY = (8, 8, 1)


def streamed(root: Path, name: str = "made", **options) -> StreamedData:
    data = load_data(DataConfig(name=name, data_dir=str(root), **options), seed=0)
    assert isinstance(data, StreamedData)
    return data


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """110 training and 20 test images of one size; every pixel is the image's number."""
    root = tmp_path_factory.mktemp("grey")
    splits = {"train": numbered(110), "test": numbered(20, first=200)}
    write_set(root, "made", splits, shape=GREY, num_classes=10, shards=4)
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """ImageNet in small: JPEG of many sizes, a labelled validation and an unlabelled test split."""
    root = tmp_path_factory.mktemp("photos")
    splits = {
        "train": photographs(40),
        "validation": photographs(10, seed=1),
        "test": [(image, -1) for image, _ in photographs(3, seed=2)],
    }
    write_set(root, "imagenet2012", splits, shape=(None, None, 3), num_classes=1000, shards=3,
              encoding="jpeg")  # fmt: skip
    return root


def numbers(data: StreamedData, batches: tf.data.Dataset) -> list[list[int]]:
    """The images' numbers, batch by batch, of pixels or of the model's input."""
    statistics = data.recipe.preprocessing.statistics

    def pixels(images: np.ndarray) -> np.ndarray:
        if images.dtype == np.uint8:
            return images
        return np.rint((images * statistics.std[0] + statistics.mean[0]) * 255)

    return [pixels(images.numpy()[:, 0, 0, 0]).astype(int).tolist() for images, _ in batches]


def flat(batches: list[list[int]]) -> list[int]:
    return [number for batch in batches for number in batch]


def test_an_epoch_shows_each_training_image_at_most_once_and_no_other(grey):
    data = streamed(grey, stream=True)
    assert (data.num_train, data.num_validation, data.num_test) == (99, 11, 20)
    seen = numbers(data, data.train_batches(10, epoch=0, seed=1))
    assert [len(batch) for batch in seen] == [10] * 9
    assert data.steps_per_epoch(10) == 9
    assert len(set(flat(seen))) == 90
    assert set(flat(seen)) <= set(range(99))
    assert flat(numbers(data, data.evaluation_batches("train", 50))) == list(range(99))
    assert flat(numbers(data, data.evaluation_batches("validation", 4))) == list(range(99, 110))
    assert flat(numbers(data, data.evaluation_batches("test", 50))) == list(range(200, 220))


def test_images_keep_their_labels(grey):
    data = streamed(grey, stream=True)
    for batches in (
        data.train_batches(10, epoch=0, seed=1),
        data.evaluation_batches("test", 7),
    ):
        labels = np.concatenate([label.numpy() for _, label in batches])
        assert labels.dtype == np.int32
        assert labels.tolist() == [number % 10 for number in flat(numbers(data, batches))]


def test_the_order_is_that_of_the_seed_and_the_epoch(grey):
    data = streamed(grey, stream=True)

    def order(epoch: int, seed: int) -> list[int]:
        return flat(numbers(data, data.train_batches(9, epoch=epoch, seed=seed)))

    assert order(0, 1) == order(0, 1) != sorted(order(0, 1))
    assert sorted(order(0, 1)) == sorted(order(1, 1)) == sorted(order(0, 2))
    assert order(0, 1) != order(1, 1)
    assert order(0, 1) != order(0, 2)


def test_a_set_in_one_file_is_shuffled_anew_each_epoch(tmp_path):
    splits = {"train": numbered(30), "test": numbered(3)}
    write_set(tmp_path, "made", splits, shape=GREY, num_classes=10)
    data = streamed(tmp_path, stream=True, validation_fraction=0.0)
    one, other = (
        flat(numbers(data, data.train_batches(30, epoch=epoch, seed=1))) for epoch in (0, 1)
    )
    assert one != other
    assert sorted(one) == sorted(other) == list(range(30))


def test_the_order_survives_a_small_shuffle_buffer_and_mixes_files(grey):
    data = dataclasses.replace(streamed(grey, stream=True), shuffle_bytes=1)
    seen = flat(numbers(data, data.train_batches(9, epoch=0, seed=1)))
    assert sorted(seen) == list(range(99))
    assert {number // 28 for number in seen[:8]} == {0, 1, 2, 3}  # all four files side by side


def test_without_shuffling_the_stored_order_is_fed(grey):
    data = streamed(grey, stream=True, shuffle=False)
    for epoch in (0, 3):
        seen = flat(numbers(data, data.train_batches(10, epoch=epoch, seed=1)))
        assert seen == list(range(90))


def test_a_resumed_epoch_goes_on_where_it_stopped(photos):
    data = streamed(photos, "imagenet2012", image_size=16)
    whole = list(data.train_batches(4, epoch=2, seed=1))
    assert len(whole) == 9
    for skip in (1, 5, 9):
        rest = list(data.train_batches(4, epoch=2, seed=1, skip=skip))
        for (images, labels), (expected, same) in zip(rest, whole[skip:], strict=True):
            assert np.array_equal(images, expected)
            assert np.array_equal(labels, same)


def test_what_is_skipped_is_not_decoded(tmp_path):
    splits = {"train": [(b"no image", 1)] * 8 + list(numbered(12)), "test": numbered(3)}
    directory = write_set(tmp_path, "made", splits, shape=GREY, num_classes=10)
    # The look at the first images that loading takes would stumble over them too.
    good = {"train": numbered(20), "test": numbered(3)}
    write_set(tmp_path, "good", good, shape=GREY, num_classes=10)
    data = streamed(tmp_path, "good", stream=True, shuffle=False, validation_fraction=0.0)
    broken = directory / "made-train.tfrecord-00000-of-00001"
    broken.rename(tmp_path / "good" / "1.0.0" / "good-train.tfrecord-00000-of-00001")
    assert len(list(data.train_batches(4, epoch=0, seed=0, skip=2))) == 3
    with pytest.raises(UserError, match="damaged"), data.reading():
        list(data.train_batches(4, epoch=0, seed=0, skip=1))


@pytest.mark.parametrize("workers", [2, 6])
def test_workers_share_each_batch_whatever_their_number(photos, workers):
    data = streamed(photos, "imagenet2012", image_size=16, train_examples=35)
    alone = list(data.train_batches(6, epoch=1, seed=3))
    shared = [
        list(data.train_batches(6, epoch=1, seed=3, shard=(worker, workers)))
        for worker in range(workers)
    ]
    assert [len(batches) for batches in shared] == [len(alone)] * workers == [5] * workers
    for step, (images, labels) in enumerate(alone):
        for worker in range(workers):  # bit for bit: augmentation belongs to the image
            assert np.array_equal(shared[worker][step][0], images[worker::workers])
            assert np.array_equal(shared[worker][step][1], labels[worker::workers])


def test_no_worker_gets_a_batch_that_the_others_do_not_get(grey):
    data = streamed(grey, stream=True, train_examples=11)
    counts = [
        len(list(data.train_batches(4, epoch=0, seed=0, shard=(worker, 2)))) for worker in (0, 1)
    ]
    assert counts == [2, 2]  # the first worker could fill a third


def test_workers_share_an_evaluation(grey):
    data = streamed(grey, stream=True)
    parts = [
        flat(numbers(data, data.evaluation_batches("validation", 4, shard=(worker, 2))))
        for worker in (0, 1)
    ]
    assert sorted(parts[0] + parts[1]) == list(range(99, 110))


def test_shapes_are_static(photos):
    data = streamed(photos, "imagenet2012", image_size=16)
    images, labels = data.train_batches(6, epoch=0, seed=0, shard=(0, 2)).element_spec
    assert (images.shape, images.dtype) == ((3, 16, 16, 3), tf.float32)
    assert (labels.shape, labels.dtype) == ((3,), tf.int32)
    images, _ = data.evaluation_batches("test", 6).element_spec
    assert images.shape[1:] == (16, 16, 3)


def test_imagenet_is_streamed_at_224_and_judged_on_its_validation_split(photos):
    data = streamed(photos, "imagenet2012")
    assert data.input_shape == (224, 224, 3)
    assert (data.num_train, data.num_validation, data.num_test) == (36, 4, 10)
    assert data.num_classes == 1000
    labels = np.concatenate([labels.numpy() for _, labels in data.evaluation_batches("test", 4)])
    assert labels.tolist() == list(range(10))
    described = data.description()
    assert json.loads(json.dumps(described)) == described
    assert described["mean"] == [0.485, 0.456, 0.406]
    assert described["resize"] == "shorter side to 256, bilinear, then the central 224x224"


def test_training_crops_are_random_and_evaluation_crops_are_not(photos):
    data = streamed(photos, "imagenet2012", image_size=16, shuffle=False)
    one, other = (next(iter(data.train_batches(36, epoch=epoch, seed=0)))[0] for epoch in (0, 1))
    assert not np.array_equal(one, other)
    fixed = streamed(photos, "imagenet2012", image_size=16, shuffle=False, augment=False)
    plain = next(iter(fixed.train_batches(36, epoch=0, seed=0)))[0]
    expected = next(iter(fixed.evaluation_batches("train", 36)))[0]
    assert fixed.standardise(plain).numpy() == pytest.approx(expected.numpy(), abs=1e-6)
    assert fixed.description()["augmentation"] is None


def test_a_streamed_image_is_the_image_held_in_memory(grey):
    held = load_data(DataConfig(name="made", data_dir=str(grey), image_size=12), seed=0)
    assert isinstance(held, InMemoryData)
    data = streamed(grey, stream=True, image_size=12)
    images, labels = next(iter(data.evaluation_batches("test", 20)))
    assert np.array_equal(labels, held.test.labels)
    assert data.input_shape == held.input_shape == (12, 12, 1)
    own = data.recipe.preprocessing(held.test.images)
    assert images.numpy() == pytest.approx(own.numpy(), abs=1e-6)


@pytest.mark.parametrize(("size", "dtype"), [(8, tf.uint8), (12, tf.float32)])
def test_training_pixels_are_standardised_as_those_held_in_memory(grey, size, dtype):
    options = {"image_size": size, "shuffle": False, "validation_fraction": 0.0}
    held = load_data(DataConfig(name="made", data_dir=str(grey), **options), seed=0)
    assert isinstance(held, InMemoryData)
    data = streamed(grey, stream=True, **options)
    pixels, labels = next(iter(data.train_batches(110, epoch=0, seed=0)))
    assert pixels.dtype == dtype
    assert np.array_equal(labels, held.train.labels)
    expected = data.recipe.preprocessing(held.train.images)
    assert data.standardise(pixels).numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_only_what_is_too_large_for_memory_is_streamed_unasked(grey, monkeypatch):
    config = DataConfig(name="made", data_dir=str(grey))
    pixels = 130 * 64
    monkeypatch.setattr(load, "LARGEST_IN_MEMORY", pixels)
    assert isinstance(load_data(config, seed=0), InMemoryData)
    monkeypatch.setattr(load, "LARGEST_IN_MEMORY", pixels - 1)
    assert isinstance(load_data(config, seed=0), StreamedData)


def test_a_set_without_a_test_split_is_divided(tmp_path):
    write_set(tmp_path, "made", {"train": numbered(100)}, shape=GREY, num_classes=10, shards=3)
    data = streamed(tmp_path, stream=True, train_examples=50)
    assert flat(numbers(data, data.evaluation_batches("train", 50))) == list(range(50))
    assert flat(numbers(data, data.evaluation_batches("validation", 50))) == list(range(72, 80))
    assert flat(numbers(data, data.evaluation_batches("test", 50))) == list(range(80, 100))


def test_a_batch_the_workers_cannot_share_is_refused(grey):
    data = streamed(grey, stream=True)
    with pytest.raises(UserError, match=r"multiple of the 3 workers, received 10"):
        data.train_batches(10, epoch=0, seed=0, shard=(0, 3))
    with pytest.raises(UserError, match=r"worker in 0\.\.1, received 2"):
        data.train_batches(10, epoch=0, seed=0, shard=(2, 2))
    with pytest.raises(UserError, match=r"at most 99 .* received 100"):
        data.train_batches(100, epoch=0, seed=0)


def test_a_damaged_file_is_one_line_at_loading_or_in_the_loop(tmp_path):
    splits = {"train": numbered(50), "test": numbered(3)}
    directory = write_set(tmp_path, "made", splits, shape=GREY, num_classes=10, shards=2)
    file = directory / "made-train.tfrecord-00001-of-00002"
    data = streamed(tmp_path, stream=True, validation_fraction=0.0)
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(UserError, match="damaged"), data.reading():
        list(data.train_batches(10, epoch=0, seed=0))
    with pytest.raises(UserError, match="damaged"):
        streamed(tmp_path, stream=True, validation_fraction=0.0)
    file.unlink()
    with pytest.raises(UserError, match="incomplete"):
        streamed(tmp_path, stream=True)
