"""The compact checkpoint: one bit per weight, bit-exact."""

import numpy as np
import pytest

from tfsparse import files
from tfsparse.deploy.compact import read_compact, write_compact
from tfsparse.errors import UserError


def test_one_bit_per_weight_and_the_values(tmp_path):
    array = np.zeros((4, 4), np.float32)
    array[0, 1], array[3, 3] = 2.5, -1.0
    write_compact(tmp_path / "c.npz", {"dense1/kernel": array})
    stored = files.read_npz(tmp_path / "c.npz")
    assert stored["bits/dense1/kernel"].tolist() == [0b01000000, 0b00000001]
    assert stored["values/dense1/kernel"].tolist() == [2.5, -1.0]
    assert stored["shape/dense1/kernel"].tolist() == [4, 4]


def test_an_array_without_zeros_is_stored_as_it_is(tmp_path):
    array = np.ones((4, 4), np.float32)
    write_compact(tmp_path / "c.npz", {"a": array})
    assert list(files.read_npz(tmp_path / "c.npz")) == ["dense/a"]


@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 5), (3, 3, 2, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.98, 1.0])
def test_every_bit_comes_back(tmp_path, shape, dtype, sparsity):
    rng = np.random.default_rng(0)
    array = rng.normal(size=shape).astype(dtype) * (rng.random(shape) >= sparsity)
    array = np.asarray(array, dtype)
    write_compact(tmp_path / "c.npz", {"layer/kernel": array})
    back = read_compact(tmp_path / "c.npz")["layer/kernel"]
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_minus_zero_and_nan_come_back(tmp_path):
    array = np.zeros(100, np.float32)
    array[3], array[4], array[5] = -0.0, np.nan, np.inf
    write_compact(tmp_path / "c.npz", {"a": array})
    assert read_compact(tmp_path / "c.npz")["a"].tobytes() == array.tobytes()
    stored = files.read_npz(tmp_path / "c.npz")
    assert len(stored["values/a"]) == 2  # a masked negative weight, -0.0, costs no value
    assert stored["signs/a"].tolist() == [0b00010000] + [0] * 12


def test_a_98_percent_sparse_kernel_takes_about_a_twentieth(tmp_path):
    array = np.zeros(10_000, np.float32)
    array[:200] = 1.0
    size = write_compact(tmp_path / "c.npz", {"a": array})
    assert 200 * 4 + 10_000 // 8 <= size <= 200 * 4 + 10_000 // 8 + 1000


@pytest.mark.parametrize(
    "arrays",
    [
        {"bits/a": np.zeros(1, np.uint8)},
        {"other/a": np.zeros(1)},
        {
            "bits/a": np.zeros(1, np.uint8),
            "values/a": np.ones(3, np.float32),
            "shape/a": np.array([8]),
        },
        {
            "bits/a": np.zeros(1, np.uint8),
            "values/a": np.zeros(0, np.float32),
            "shape/a": np.array([1 << 40]),
        },
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, arrays):
    files.write_npz(tmp_path / "c.npz", arrays)
    with pytest.raises(UserError, match=r"c\.npz"):
        read_compact(tmp_path / "c.npz")


def test_a_truncated_file_is_refused(tmp_path):
    write_compact(tmp_path / "c.npz", {"a": np.zeros(1000, np.float32)})
    data = (tmp_path / "c.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="unreadable"):
        read_compact(tmp_path / "c.npz")
