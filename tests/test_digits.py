"""The embedded set: its split, and that preparing it is safe, quiet and offline."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.utils import gcs_utils

from tfsparse.data import embedded
from tfsparse.data.digits import read_scans, split_by_class
from tfsparse.data.embedded import prepare_digits
from tfsparse.errors import UserError


@pytest.fixture
def no_network(monkeypatch):
    def refuse(path):
        raise AssertionError(f"asked the network for {path}")

    monkeypatch.setattr(gcs_utils, "_is_gcs_disabled", False)  # as it was in earlier versions
    monkeypatch.setattr(gcs_utils, "exists", refuse)


@pytest.fixture
def caches(monkeypatch, tmp_path):
    places = [tmp_path / "cache"]
    monkeypatch.setattr(embedded, "_caches", lambda: places)
    return places


def test_the_split_takes_every_fifth_scan_of_the_list_sorted_by_class():
    labels = np.array([1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    train, test = split_by_class(labels)
    assert test.tolist() == [0, 1]  # the first 1 and the first 0
    assert train.tolist() == [2, 3, 4, 5, 6, 7, 8, 9]


def test_the_real_split_is_disjoint_complete_and_stratified():
    _, labels = read_scans()
    train, test = split_by_class(labels)
    assert (len(train), len(test)) == (1437, 360)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(1797))
    for digit in range(10):
        expected = np.sum(labels == digit) / 5
        assert abs(np.sum(labels[test] == digit) - expected) <= 1


def test_grey_values_are_scaled_to_the_full_range():
    from sklearn.datasets import load_digits

    images, labels = read_scans()
    original = load_digits().images
    assert images.shape == (1797, 8, 8, 1)
    assert images.dtype == np.uint8
    for value, scaled in ((0, 0), (1, 16), (8, 128), (16, 255)):
        assert set(images[..., 0][original == value]) == {scaled}
    assert set(labels) == set(range(10))


def test_it_is_an_ordinary_tfds_set_prepared_quietly_without_network(tmp_path, no_network, capfd):
    directory = prepare_digits(tmp_path)
    said = capfd.readouterr()
    assert said.out == ""
    assert "Downloading" not in said.err
    assert directory == tmp_path / "digits" / "1.0.0"
    builder = tfds.builder("digits", data_dir=str(tmp_path))
    assert builder.info.splits["train"].num_examples == 1437
    assert builder.info.supervised_keys == ("image", "label")
    example = next(iter(tfds.as_numpy(builder.as_dataset(split="test"))))
    assert example["image"].shape == (8, 8, 1)


def test_a_second_use_writes_nothing(tmp_path):
    directory = prepare_digits(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert prepare_digits(tmp_path) == directory
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_unwritable_directory_sends_it_to_the_cache(tmp_path, caches):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    assert prepare_digits(closed) == caches[0] / "digits" / "1.0.0"
    assert list(closed.iterdir()) == []


def test_with_nowhere_to_write_it_says_where_it_tried(tmp_path, caches):
    file = tmp_path / "file"
    file.write_text("")
    caches[:] = [file / "cache"]
    with pytest.raises(UserError, match="digits must be prepared once") as caught:
        prepare_digits(file / "data")
    assert str(file / "data") in str(caught.value)
    assert str(file / "cache") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_process_that_comes_second_uses_the_set_of_the_first(tmp_path, monkeypatch):
    write = embedded._write
    first = []

    def write_but_too_late(root: Path) -> None:
        write(root)
        monkeypatch.setattr(embedded, "_write", write)
        first.append(prepare_digits(tmp_path))

    monkeypatch.setattr(embedded, "_write", write_but_too_late)
    assert [prepare_digits(tmp_path)] == first
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]


def test_a_failure_half_way_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(root: Path) -> None:
        (root / "digits").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(embedded, "_write", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare_digits(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_of_another_user_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(tmp_path))
    own = tmp_path / f"tfsparse-{os.getuid()}"
    assert own in embedded._caches()
    (tmp_path / "elsewhere").mkdir()
    own.symlink_to(tmp_path / "elsewhere")
    assert own not in embedded._caches()


def test_two_processes_that_prepare_it_at_the_same_time_both_end_well(tmp_path):
    program = (
        "import sys; from pathlib import Path; import sklearn.datasets;"
        "from tfsparse.data.embedded import prepare_digits;"
        "print('ready', flush=True); sys.stdin.readline();"
        "print(prepare_digits(Path(sys.argv[1])))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        ours = prepare_digits(tmp_path)
        assert other.communicate(timeout=120)[0].strip() == str(ours)
    assert ours == tmp_path / "digits" / "1.0.0"
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
