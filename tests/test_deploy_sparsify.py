"""Sparse storage of float16 weights."""

import numpy as np
import pytest

from tfsparse.deploy.sparsify import encode


def test_rows_columns_and_values_by_hand():
    dense = np.array([[0, 5, 0, 0], [0, 0, 0, 0], [7, 0, 0, 8]], np.float32)
    values, segments, columns = encode(dense)
    assert values.tolist() == [5, 7, 8]
    assert segments.tolist() == [0, 1, 1, 3]
    assert columns.tolist() == [1, 0, 3]


def test_no_encoding_where_zeros_do_not_pay():
    assert encode(np.ones((3, 4), np.float32)) is None
    assert encode(np.array([[0, 0, 1, 1, 1, 1, 1, 1, 1, 1]], np.float32)) is None


@pytest.mark.parametrize("shape", [(1, 5), (4, 300), (6, 3, 3, 2), (8, 1, 1, 70)])
@pytest.mark.parametrize("sparsity", [0.5, 0.98, 1.0])
def test_the_encoding_holds_the_whole_array(shape, sparsity):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=shape) * (rng.random(shape) >= sparsity)
    if np.count_nonzero(dense) > 0.7 * dense.size:
        return
    values, segments, columns = encode(dense)
    back = np.zeros((dense.size // shape[-1], shape[-1]))
    for row in range(len(back)):
        inside = slice(segments[row], segments[row + 1])
        back[row, columns[inside]] = values[inside]
    np.testing.assert_array_equal(back.reshape(shape), dense)
