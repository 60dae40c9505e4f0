"""Training, validation and test examples never meet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsparse.data.parts import consecutive_counts, random_parts
from tfsparse.errors import UserError

fractions = st.floats(0.0, 0.9)


def test_a_tenth_of_a_thousand_validates():
    parts = random_parts(1000, validation_fraction=0.1, train_examples=None)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [900, 100, 0]
    assert parts.validation.tolist() != list(range(900, 1000))  # drawn, not cut from the end


def test_no_validation_part_is_allowed():
    parts = random_parts(7, validation_fraction=0.0, train_examples=None)
    assert parts.train.tolist() == list(range(7))
    assert len(parts.validation) == 0


def test_a_set_without_a_test_split_gives_a_fifth_of_its_training_split():
    parts = random_parts(1000, validation_fraction=0.1, train_examples=None, carve_test=True)
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [720, 80, 200]


def test_the_parts_are_pinned_for_good():
    parts = random_parts(20, validation_fraction=0.2, train_examples=None)
    assert parts.validation.tolist() == [1, 6, 16, 17]


@given(st.integers(5, 300), fractions, st.booleans(), st.data())
def test_parts_are_disjoint_sorted_and_within_the_split(count, fraction, carve, data):
    limit = data.draw(st.none() | st.integers(1, count))
    try:
        parts = random_parts(
            count, validation_fraction=fraction, train_examples=limit, carve_test=carve
        )
    except UserError:
        assert limit is not None or fraction > 0.5
        return
    everything = np.concatenate([parts.train, parts.validation, parts.test])
    assert len(np.unique(everything)) == len(everything)
    assert everything.min() >= 0
    assert everything.max() < count
    for part in (parts.train, parts.validation, parts.test):
        assert np.array_equal(part, np.sort(part))
    assert len(parts.train) == limit if limit else len(everything) == count


@given(st.integers(5, 300), fractions, st.booleans())
def test_streamed_and_held_sets_have_parts_of_the_same_sizes(count, fraction, carve):
    arguments = {"validation_fraction": fraction, "train_examples": None, "carve_test": carve}
    try:
        parts = random_parts(count, **arguments)
    except UserError:
        with pytest.raises(UserError):
            consecutive_counts(count, **arguments)
        return
    sizes = (len(parts.train), len(parts.validation), len(parts.test))
    assert consecutive_counts(count, **arguments) == sizes


def test_a_smaller_limit_draws_a_subset_and_leaves_validation_alone():
    small = random_parts(500, validation_fraction=0.1, train_examples=50)
    large = random_parts(500, validation_fraction=0.1, train_examples=200)
    assert set(small.train) < set(large.train)
    assert small.train.max() > 400  # drawn from everywhere
    assert np.array_equal(small.validation, large.validation)


def test_more_training_examples_than_there_are_is_an_error():
    with pytest.raises(UserError, match=r"at most 90 .* received 91"):
        random_parts(100, validation_fraction=0.1, train_examples=91)
    with pytest.raises(UserError, match=r"at most 90 .* received 91"):
        consecutive_counts(100, validation_fraction=0.1, train_examples=91)


def test_nothing_left_to_train_on_is_an_error():
    with pytest.raises(UserError, match="validation_fraction leaves no training example"):
        random_parts(2, validation_fraction=0.9, train_examples=None)
