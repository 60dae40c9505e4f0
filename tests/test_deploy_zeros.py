"""Zeros of kernels and channels that have no weight left, against tables worked by hand."""

import numpy as np
import pytest

from tfsparse.deploy.zeros import empty_channels_in_words, zeros_of


def made():
    """A pointwise kernel with 2 of 4 channels empty, a depthwise one with 1 of 3, a full one."""
    pointwise = np.zeros((1, 1, 3, 4), np.float32)
    pointwise[0, 0, 0, 0] = pointwise[0, 0, :, 2] = 1.0
    depthwise = np.ones((3, 3, 3, 1), np.float32)
    depthwise[:, :, 1] = 0.0
    return {
        "block1_pointwise/kernel": pointwise,
        "block1_depthwise/depthwise_kernel": depthwise,
        "logits/kernel": np.ones((4, 2), np.float32),
        "logits/bias": np.zeros(2, np.float32),
    }


def test_zeros_and_empty_channels_are_counted_by_kernel():
    found = zeros_of(made())
    assert found["kernels"] == pytest.approx(
        {
            "block1_pointwise/kernel": 8 / 12,
            "block1_depthwise/depthwise_kernel": 9 / 27,
            "logits/kernel": 0.0,
        }
    )
    assert found["overall"] == pytest.approx(17 / 47)  # the bias is no kernel
    assert found["largest"] == pytest.approx(8 / 12)
    assert found["empty_channels"] == {
        "block1_pointwise/kernel": [2, 4],
        "block1_depthwise/depthwise_kernel": [1, 3],
    }


def test_a_network_without_kernels_has_no_zeros():
    assert zeros_of({"bias": np.zeros(3)}) == {
        "overall": 0.0, "largest": 0.0, "kernels": {}, "empty_channels": {},
    }  # fmt: skip


def test_the_line_names_the_emptiest_kernels_first():
    line = empty_channels_in_words(zeros_of(made()), batch_norm=True)
    assert line.startswith(
        "note: 3 output channels have no weight left (block1_pointwise/kernel 2 of 4, "
        "block1_depthwise/depthwise_kernel 1 of 3);"
    )


def test_no_line_without_batch_norm_or_without_empty_channels():
    assert empty_channels_in_words(zeros_of(made()), batch_norm=False) is None
    full = {name: np.ones_like(array) for name, array in made().items()}
    assert empty_channels_in_words(zeros_of(full), batch_norm=True) is None
