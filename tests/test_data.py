"""Loading sets by name, and one clear line for whatever is wrong with them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_datasets.core.utils import file_utils, gcs_utils

from tests.made_sets import numbered, photographs, write_set
from tfsparse.config import DataConfig
from tfsparse.data import InMemoryData, StreamedData, load_data
from tfsparse.data.preprocessing import computed_statistics
from tfsparse.errors import UserError

GREY = (8, 8, 1)


def load(root: Path, name: str = "made", **options) -> InMemoryData | StreamedData:
    return load_data(DataConfig(name=name, data_dir=str(root), **options), seed=0)


def refusal(root: Path, name: str = "made", **options) -> str:
    """The one line with which loading is refused."""
    with pytest.raises(UserError) as caught:
        load(root, name, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    return str(caught.value)


@pytest.fixture
def made(tmp_path):
    """100 training and 20 test images; every pixel of an image is the image's number."""
    splits = {"train": numbered(100), "test": numbered(20, first=200)}
    write_set(tmp_path, "made", splits, shape=GREY, num_classes=10, shards=3)
    return tmp_path


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(path):
        raise AssertionError(f"asked the network for {path}")

    monkeypatch.setattr(gcs_utils, "_is_gcs_disabled", False)  # as it was in earlier versions
    monkeypatch.setattr(gcs_utils, "exists", refuse)


def test_digits_come_at_28_pixels_and_standardised(tmp_path):
    data = load(tmp_path, "digits")
    assert (data.num_train, data.num_validation, data.num_test) == (1293, 144, 360)
    assert data.train.images.shape == (1293, 8, 8, 1)
    assert data.input_shape == (28, 28, 1)
    assert (data.num_classes, data.augments) == (10, False)
    plain = load(tmp_path, "digits", image_size=8)
    inputs = plain.preprocess(plain.train.images)
    assert inputs.dtype == tf.float32
    assert abs(float(tf.reduce_mean(inputs))) < 1e-5
    assert float(tf.math.reduce_std(inputs)) == pytest.approx(1, abs=1e-5)
    assert data.preprocess(data.train.images[:3]).shape == (3, 28, 28, 1)


def test_the_parts_are_disjoint_and_every_image_keeps_its_label(made):
    data = load(made)
    numbers = [part.images[:, 0, 0, 0] for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in numbers] == [90, 10, 20]
    assert sorted(np.concatenate(numbers[:2])) == list(range(100))
    assert numbers[2].tolist() == list(range(200, 220))
    for part, seen in zip((data.train, data.validation, data.test), numbers, strict=True):
        assert part.images.dtype == np.uint8
        assert part.labels.dtype == np.int32
        assert np.array_equal(part.labels, seen % 10)


def test_every_seed_has_the_same_parts(made):
    config = DataConfig(name="made", data_dir=str(made))
    one, other = load_data(config, seed=1), load_data(config, seed=2)
    assert np.array_equal(one.train.images, other.train.images)
    assert np.array_equal(one.validation.images, other.validation.images)


def test_a_limit_on_training_examples_leaves_the_other_parts_alone(made):
    data = load(made, train_examples=30)
    assert (data.num_train, data.num_validation, data.num_test) == (30, 10, 20)
    assert "at most 90" in refusal(made, train_examples=91)


def test_a_set_without_a_test_split_is_divided(tmp_path):
    write_set(tmp_path, "made", {"train": numbered(100)}, shape=GREY, num_classes=10)
    data = load(tmp_path)
    parts = [part.images[:, 0, 0, 0] for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [72, 8, 20]
    assert sorted(np.concatenate(parts)) == list(range(100))


def test_unlabelled_test_images_give_way_to_the_validation_split(tmp_path):
    unlabelled = [(image, -1) for image, _ in numbered(5)]
    splits = {"train": numbered(50), "validation": numbered(7, first=100), "test": unlabelled}
    write_set(tmp_path, "imagenet2012", splits, shape=GREY, num_classes=1000)
    data = load(tmp_path, "imagenet2012")
    assert data.test.images[:, 0, 0, 0].tolist() == list(range(100, 107))
    write_set(tmp_path, "other", splits, shape=GREY, num_classes=1000)
    assert "expected labels in 0..999, received -1..-1" in refusal(tmp_path, "other")


def test_a_split_is_decoded_once_per_process_and_again_when_its_files_change(made, monkeypatch):
    first = load(made).test.images
    assert load(made, train_examples=5).test.images is first
    shutil.rmtree(made / "made")
    splits = {"train": numbered(100), "test": numbered(20, first=100)}
    write_set(made, "made", splits, shape=GREY, num_classes=10, shards=3)
    assert load(made).test.images[0, 0, 0, 0] == 100


def test_cached_arrays_cannot_be_changed_by_a_run(made):
    with pytest.raises(ValueError, match="read-only"):
        load(made).test.images[0] = 1


def test_the_description_is_json_and_names_what_export_needs(made):
    described = load(made).description()
    assert json.loads(json.dumps(described)) == described
    assert described["input_shape"] == [8, 8, 1]
    assert described["channel_order"] == "grey"
    assert described["examples"] == {"train": 90, "validation": 10, "test": 20}
    assert described["statistics_from"] == "90 training images"


def test_augmentation_is_on_for_cifar_and_off_for_digits_unless_told_otherwise(tmp_path):
    colour = numbered(20, (32, 32, 3))
    write_set(tmp_path, "cifar10", {"train": colour, "test": colour}, shape=(32, 32, 3),
              num_classes=10)  # fmt: skip
    data = load(tmp_path, "cifar10")
    assert data.augments
    assert (data.preprocessing.pad, data.preprocessing.flip) == (4, True)
    assert not load(tmp_path, "cifar10", augment=False).augments
    digits = load(tmp_path, "digits", augment=True)
    assert digits.augments
    assert not digits.preprocessing.flip  # a mirrored digit is no digit


def test_an_older_version_and_a_configuration_can_be_named(tmp_path):
    write_set(tmp_path, "made", {"train": numbered(30), "test": numbered(5)}, shape=GREY,
              num_classes=10)  # fmt: skip
    (tmp_path / "made" / "1.0.0").rename(tmp_path / "made" / "0.9.0")
    write_set(tmp_path, "made", {"train": numbered(40), "test": numbered(5)}, shape=GREY,
              num_classes=10)  # fmt: skip
    assert load(tmp_path).num_train == 36  # the newest
    assert load(tmp_path, "made:0.9.0").num_train == 27
    (tmp_path / "made").rename(tmp_path / "kmnist")
    assert "which holds kmnist 0.9.0, 1.0.0" in refusal(tmp_path, "kmnist:9.9.9")


def test_an_unprepared_set_says_where_was_looked_and_what_allows_a_download(tmp_path):
    line = refusal(tmp_path, "fashion_mnist")
    assert "not prepared" in line
    assert str(tmp_path) in line
    assert "data.download=true" in line


def test_without_a_directory_tfds_own_are_searched(made, monkeypatch):
    def directories(given_data_dir=None):
        return [given_data_dir or made]

    monkeypatch.setattr(file_utils, "list_data_dirs", directories)
    assert load_data(DataConfig(name="made"), seed=0).num_train == 90


@pytest.mark.parametrize(
    ("name", "hint"), [("mnits", "'mnist'"), ("cifar_10", "'cifar10'"), ("zzzzzz", "list_builders")]
)
def test_an_unknown_name_brings_the_nearest(tmp_path, name, hint):
    line = refusal(tmp_path, name)
    assert "unknown data set" in line
    assert hint in line


@pytest.mark.parametrize(
    "name", ["../../etc", " ", "huggingface:mnist", "mnist/", "a b", "mnist\n"]
)
def test_what_cannot_be_a_name_is_refused_before_any_search(tmp_path, name):
    assert "expected a TFDS name" in refusal(tmp_path, name)


def test_a_missing_directory_is_an_unprepared_set(tmp_path):
    assert "not prepared" in refusal(tmp_path / "nowhere", "mnist")


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    class Failing:
        def download_and_prepare(self):
            raise AssertionError("Manual directory\ndoes not exist.\n" + "long " * 500)

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Failing())
    line = refusal(tmp_path, "imagenet2012", download=True)
    assert "could not be downloaded" in line
    assert "Manual directory does not exist." in line


def test_a_download_that_works_is_used_at_once(tmp_path, monkeypatch):
    class Working:
        def download_and_prepare(self):
            splits = {"train": numbered(20), "test": numbered(5)}
            write_set(tmp_path, "kmnist", splits, shape=GREY, num_classes=10)

    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: Working())
    assert load(tmp_path, "kmnist", download=True).num_test == 5


@pytest.mark.parametrize(
    "features",
    [
        {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)},
        {"image": tfds.features.Image(shape=GREY), "label": tfds.features.Text()},
        {
            "image": tfds.features.Image(shape=GREY, dtype=np.uint16),
            "label": tfds.features.ClassLabel(num_classes=2),
        },
        {"image": tfds.features.Image(shape=GREY)},
    ],
)
def test_a_set_of_something_else_is_refused(tmp_path, features):
    splits = {"train": numbered(3), "test": numbered(3)}
    write_set(tmp_path, "made", splits, shape=GREY, num_classes=2, features=features)
    line = refusal(tmp_path)
    assert "expected a uint8 image and its class label" in line
    for key in features:
        assert key in line


def test_images_of_different_sizes_need_a_size_to_be_kept_in_memory(tmp_path):
    splits = {"train": photographs(12), "test": photographs(4)}
    write_set(tmp_path, "made", splits, shape=(None, None, 3), num_classes=10)
    assert "data.image_size" in refusal(tmp_path, stream=False)
    data = load(tmp_path, stream=False, image_size=16)
    assert data.train.images.shape == (11, 16, 16, 3)
    assert data.input_shape == (16, 16, 3)
    assert isinstance(load(tmp_path, image_size=16), StreamedData)


def records(root: Path, split: str = "train", shard: int = 1) -> Path:
    return root / "made" / "1.0.0" / f"made-{split}.tfrecord-{shard:05d}-of-00003"


def test_a_truncated_file_is_one_line(made):
    file = records(made)
    file.write_bytes(file.read_bytes()[:-7])
    assert "damaged" in refusal(made)


def test_a_file_cut_between_two_records_is_noticed(made):
    file = records(made)
    whole = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in whole[:-1]:
            writer.write(record)
    assert "damaged" in refusal(made)


def test_a_missing_file_is_named(made):
    records(made).unlink()
    assert "incomplete: made-train.tfrecord-00001-of-00003" in refusal(made)


@pytest.mark.parametrize("file", ["dataset_info.json", "features.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"name": 3}', "\x00\xff"])
def test_a_damaged_description_is_one_line(made, file, content):
    (made / "made" / "1.0.0" / file).write_text(content)
    refusal(made)


def test_an_undecodable_image_is_one_line(tmp_path):
    splits = {"train": [*numbered(3), (b"no image", 1)], "test": numbered(3)}
    write_set(tmp_path, "made", splits, shape=GREY, num_classes=10)
    assert "damaged" in refusal(tmp_path)


def test_an_image_of_another_shape_than_described_is_one_line(tmp_path):
    splits = {"train": [*numbered(3), *numbered(1, (9, 8, 1))], "test": numbered(3)}
    write_set(tmp_path, "made", splits, shape=GREY, num_classes=10)
    assert "damaged" in refusal(tmp_path)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whatever_happens_to_its_files_a_set_loads_or_is_refused_in_one_line(
    tmp_path_factory, data
):
    root = tmp_path_factory.mktemp("fuzz")
    splits = {"train": numbered(6), "test": numbered(3)}
    directory = write_set(root, "made", splits, shape=GREY, num_classes=10)
    file = data.draw(st.sampled_from(sorted(directory.iterdir())))
    content = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= data.draw(st.integers(1, 255))
    else:
        del content[place:]
    file.write_bytes(content)
    try:
        loaded = load(root)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert loaded.num_test == 3


def real(name: str) -> InMemoryData:
    try:
        return load_data(DataConfig(name=name), seed=0)
    except UserError as error:
        pytest.skip(f"the real {name} is not here: {error}")


def test_real_mnist_has_the_constants_it_is_standardised_with():
    data = real("mnist")
    assert (data.num_train, data.num_validation, data.num_test) == (54000, 6000, 10000)
    assert data.input_shape == (28, 28, 1)
    found = computed_statistics(data.train.images)
    assert found.mean == pytest.approx(data.preprocessing.statistics.mean, abs=2e-3)
    assert found.std == pytest.approx(data.preprocessing.statistics.std, abs=2e-3)
    assert np.bincount(data.test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009
    ]  # fmt: skip


def test_real_cifar10_has_the_constants_it_is_standardised_with():
    data = real("cifar10")
    assert (data.num_train, data.num_validation, data.num_test) == (45000, 5000, 10000)
    assert data.input_shape == (32, 32, 3)
    found = computed_statistics(data.train.images)
    # Copies that went through JPEG are a little off.
    assert found.mean == pytest.approx(data.preprocessing.statistics.mean, abs=8e-3)
    assert found.std == pytest.approx(data.preprocessing.statistics.std, abs=8e-3)
    assert np.bincount(data.test.labels).tolist() == [1000] * 10
