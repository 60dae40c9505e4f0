"""Which examples train, which validate and which test: disjoint, and equal for every run."""

import dataclasses

import numpy as np

from tfsparse.errors import UserError
from tfsparse.seeds import named_seed

TEST_FRACTION = 0.2
"""Share of the training split set aside for the test where a set has no split for it."""


@dataclasses.dataclass(frozen=True)
class Parts:
    """Sorted indices into the training split; `test` is empty where a split of its own exists."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def random_parts(
    count: int,
    *,
    validation_fraction: float,
    train_examples: int | None,
    carve_test: bool = False,
) -> Parts:
    """Parts drawn at random from `count` examples, the same for every run's seed.

    A smaller `train_examples` draws a subset of a larger one.

    Raises:
        UserError: nothing would be left to train on, or fewer than `train_examples`.
    """
    # RandomState, because NumPy promises its streams for good.
    order = np.random.RandomState(named_seed(0, "parts", count)).permutation(count)
    for_test = _share(count, TEST_FRACTION) if carve_test else 0
    for_validation = _share(count - for_test, validation_fraction)
    test, validation, train = np.split(order, [for_test, for_test + for_validation])
    _check_enough(len(train), train_examples)
    train = train[:train_examples]
    return Parts(np.sort(train), np.sort(validation), np.sort(test))


def consecutive_counts(
    count: int,
    *,
    validation_fraction: float,
    train_examples: int | None,
    carve_test: bool = False,
) -> tuple[int, int, int]:
    """How many of `count` examples train, validate and test, in this order from the first on.

    For sets too large to be picked from at random; TFDS shuffles most sets when it writes them.
    Examples beyond `train_examples` lie between the training and the validation part, unused.

    >>> consecutive_counts(100, validation_fraction=0.1, train_examples=50)
    (50, 10, 0)
    """
    for_test = _share(count, TEST_FRACTION) if carve_test else 0
    for_validation = _share(count - for_test, validation_fraction)
    left = count - for_test - for_validation
    _check_enough(left, train_examples)
    return left if train_examples is None else train_examples, for_validation, for_test


def _share(count: int, fraction: float) -> int:
    """At least one where a share was asked for."""
    return max(1, round(count * fraction)) if fraction else 0


def _check_enough(left: int, train_examples: int | None) -> None:
    if left < 1:
        raise UserError(
            "data.validation_fraction leaves no training example; expected a smaller fraction"
        )
    if train_examples is not None and train_examples > left:
        raise UserError(
            f"data.train_examples: expected at most {left} (what is left beside the validation"
            f" part), received {train_examples}"
        )
