"""The hash that ties a ticket to its run: names, shapes, types and every bit count."""

import numpy as np
import pytest

from tfsparse.runs import weights_hash

WEIGHTS = {"a/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "a/bias": np.zeros(3)}


def test_the_hash_of_weights_is_a_known_number_in_any_order():
    known = "0c96c3f2803cbd43341e01432f165c5c059cfe29ef3d675a190aff99953f8e8f"
    assert weights_hash(WEIGHTS) == known
    assert weights_hash(dict(reversed(WEIGHTS.items()))) == known
    assert weights_hash({k: np.asfortranarray(v) for k, v in WEIGHTS.items()}) == known


@pytest.mark.parametrize(
    "other",
    [
        {"a/kernel": WEIGHTS["a/kernel"]},
        {**WEIGHTS, "b": np.zeros(1)},
        {**WEIGHTS, "a/kernel": WEIGHTS["a/kernel"].reshape(3, 2)},
        {**WEIGHTS, "a/kernel": WEIGHTS["a/kernel"].astype(np.float64)},
        {**WEIGHTS, "a/bias": np.array([0.0, 0.0, -0.0])},
        {**WEIGHTS, "a/bias": np.array([0.0, 0.0, 5e-324])},
        {"b/kernel": WEIGHTS["a/kernel"], "a/bias": WEIGHTS["a/bias"]},
        {"a/kernel": WEIGHTS["a/bias"], "a/bias": WEIGHTS["a/kernel"]},
    ],
    ids=["missing", "more", "shape", "type", "sign of zero", "one bit", "name", "swapped"],
)
def test_the_hash_of_other_weights_differs(other):
    assert weights_hash(other) != weights_hash(WEIGHTS)
