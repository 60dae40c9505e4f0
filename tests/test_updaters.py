"""Drop and grow: tables by hand, constant counts, schedules, and the same mask everywhere."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfsparse.errors import UserError
from tfsparse.seeds import stateless_seed
from tfsparse.sparsity import growth as g
from tfsparse.sparsity import saliency as s
from tfsparse.sparsity import update_schedules as us
from tfsparse.sparsity import updaters as u
from tfsparse.sparsity.masks import empty_layers, kept_count, random_mask, top_k_mask
from tfsparse.sparsity.selection import select_top

SHAPES = [(1,), (40,), (9, 7), (3, 3, 2, 8), (1, 1, 16, 4)]

# ---- one layer of eight weights, by hand

WEIGHTS = np.array([0.5, -0.1, 0.0, 0.9, -0.3, 0.0, 0.2, 0.0], np.float32)
GRADIENT = np.array([9.0, 8.0, -3.0, 9.0, 2.0, 0.5, 7.0, 1.0], np.float32)
MASK = np.array([1, 1, 0, 1, 1, 0, 1, 0], np.uint8)
# Five are active. By |w| from the smallest: index 1 (.1), 6 (.2), 4 (.3), 0 (.5), 3 (.9).


@pytest.mark.parametrize(
    ("fraction", "grow", "expected", "is_new", "changed"),
    [
        # floor(.1 * 5) = 0: nothing moves.
        (0.1, g.gradient_score, [1, 1, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0], 0),
        # 1 goes. |g| of the inactive: 1 -> 8, 2 -> 3, 5 -> .5, 7 -> 1. 1 returns, as it was.
        (0.2, g.gradient_score, [1, 1, 0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 0], 0),
        # 1, 6, 4 go. |g|: 1 -> 8, 6 -> 7, 2 -> 3, 4 -> 2, ... 1 and 6 return, 2 is new.
        (0.6, g.gradient_score, [1, 1, 1, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0, 0, 0], 1),
        # Inverted, 1 goes: the smallest |g| is 5's.
        (0.2, g.inverted_gradient_score, [1, 0, 0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1, 0, 0], 1),
        # Inverted, 1 and 6 go: 5 (.5) and 7 (1) grow.
        (0.4, g.inverted_gradient_score, [1, 0, 0, 1, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1, 0, 1], 2),
    ],
)
def test_updates_by_hand(fraction, grow, expected, is_new, changed):
    n_drop = u.drop_count(5, fraction)
    update = u.drop_and_grow(MASK, g.magnitude_score(WEIGHTS), grow(GRADIENT), n_drop)
    np.testing.assert_array_equal(update.mask, expected)
    np.testing.assert_array_equal(update.is_new, is_new)
    assert int(update.changed) == changed
    assert update.mask.dtype == update.is_new.dtype == tf.uint8


def test_a_connection_that_returns_can_be_made_to_start_afresh():
    scores = g.magnitude_score(WEIGHTS), g.gradient_score(GRADIENT)
    update = u.drop_and_grow(MASK, *scores, 3, reinit_when_same=True)
    np.testing.assert_array_equal(update.mask, [1, 1, 1, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(update.is_new, [0, 1, 1, 0, 0, 0, 1, 0])
    assert int(update.changed) == 1


def test_of_equal_scores_the_lower_index_stays_and_grows():
    # All |w| are equal: of 0, 2, 3, 6 the two highest go. All |g| are equal: of the free 1, 3, 4,
    # 5, 6, 7 the two lowest grow.
    mask = np.array([1, 0, 1, 1, 0, 0, 1, 0], np.float32)
    update = u.drop_and_grow(mask, np.ones(8), np.ones(8), 2)
    np.testing.assert_array_equal(update.mask, [1, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(update.is_new, [0, 1, 0, 0, 0, 0, 0, 0])
    assert update.mask.dtype == tf.float32


@pytest.mark.parametrize(
    ("active", "fraction", "count"),
    [(10, 0.3, 3), (100, 0.29, 29), (3, 0.3, 0), (7, 0.5, 3), (10, 0.0, 0), (2210, 0.15, 331)],
)
def test_drop_counts_by_hand(active, fraction, count):
    assert int(u.drop_count(active, fraction)) == count


# ---- invariants

FLOATS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 3e-39, 1e30, np.inf, -np.inf, np.nan])


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(SHAPES).flatmap(
        lambda shape: st.tuples(
            st.just(shape), hnp.arrays(np.float32, shape, elements=FLOATS | st.floats(width=32)),
            hnp.arrays(np.float32, shape, elements=FLOATS),
        )
    ),
    st.sampled_from([0.0, 0.5, 0.95, 0.99]), st.floats(0.01, 1.0), st.integers(0, 99),
    st.booleans(),
)  # fmt: skip
def test_counts_are_constant_and_survivors_stay(case, sparsity, fraction, seed, reinit):
    shape, weights, gradient = case
    mask = random_mask(shape, sparsity, seed)
    n_drop = int(u.drop_count(int(mask.sum()), fraction))
    update = u.drop_and_grow(
        mask, g.magnitude_score(weights), g.gradient_score(gradient), n_drop,
        reinit_when_same=reinit,
    )  # fmt: skip
    after, new = update.mask.numpy(), update.is_new.numpy()
    assert after.shape == shape and after.sum() == mask.sum()
    assert set(np.unique(after)) | set(np.unique(new)) <= {0, 1}
    assert (new <= after).all()
    assert int(update.changed) == np.sum((mask == 1) & (after == 0)) <= n_drop
    if not reinit:
        assert not (new & mask).any() and new.sum() == int(update.changed)
    else:
        assert new.sum() == n_drop
    # What survives is never smaller than what is gone.
    sizes = np.nan_to_num(np.abs(weights), nan=-1.0, posinf=np.finfo(np.float32).max)
    # TensorFlow's threads may flush subnormal numbers to zero: such weights are equally small.
    sizes[np.abs(sizes) < np.finfo(np.float32).tiny] = 0.0
    if ((mask == 1) & (after == 0)).any() and ((mask & after & (1 - new)) == 1).any() and reinit:
        kept = sizes[(mask & after & (1 - new)) == 1]
        assert kept.min() >= sizes[(mask == 1) & (after == 0)].max()


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(SHAPES).flatmap(
        lambda shape: hnp.arrays(
            np.float32, shape,
            elements=st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3e-39, -3e-39])
            | st.floats(-(2.0**90), 2.0**90, width=32),
        )
    ),
    st.floats(0.0, 1.0),
)  # fmt: skip
def test_the_choice_in_a_graph_is_the_choice_of_numpy(scores, share):
    k = round(share * scores.size)
    flushed = np.where(np.abs(scores) < np.finfo(np.float32).tiny, 0.0, scores)
    np.testing.assert_array_equal(select_top(scores, k), top_k_mask(flushed, k))


@pytest.mark.parametrize("shape", [(40,), (3, 3, 2, 8)])
def test_compiled_and_eager_agree(shape):
    rng = np.random.default_rng(0)
    weights = np.round(rng.normal(size=shape), 1).astype(np.float32)  # many ties
    mask = random_mask(shape, 0.6, 1)

    def step(step):
        grow = g.random_score(shape, (5, 6), step)
        n_drop = u.drop_count(int(mask.sum()), us.DropFraction(0.5, end_step=100).at(step))
        return u.drop_and_grow(mask, g.magnitude_score(weights), grow, n_drop)

    eager = step(tf.constant(20))
    for compiled in (False, True):
        graph = tf.function(step, jit_compile=compiled)(tf.constant(20))
        for name in u.MaskUpdate._fields:
            np.testing.assert_array_equal(getattr(graph, name), getattr(eager, name))


@pytest.mark.parametrize("worst", [-np.inf, np.inf, np.nan])
def test_a_diverged_gradient_breaks_no_count(worst):
    mask = np.array([1, 1, 0, 0], np.uint8)
    for grow in (g.gradient_score, g.inverted_gradient_score):
        update = u.drop_and_grow(mask, np.array([2.0, 1.0, 0, 0]), grow(np.full(4, worst)), 1)
        np.testing.assert_array_equal(update.mask, mask)  # 1 goes and, as the first free, returns


def test_a_hundred_updates_keep_the_count_and_explore():
    mask = first = random_mask((30, 40), 0.9, 0)
    seen = mask.copy()
    rng = np.random.default_rng(1)
    update = tf.function(u.drop_and_grow)
    for step in range(100):
        weights = rng.normal(size=mask.shape).astype(np.float32) * mask
        grow = g.random_score(mask.shape, (1, 2), step)
        mask = update(mask, g.magnitude_score(weights), grow, tf.constant(36)).mask.numpy()
        assert mask.sum() == first.sum() == 120
        seen |= mask
    assert seen.mean() > 0.9


# ---- scores


def test_rigl_grows_a_planted_gradient_first_and_its_inverse_grows_it_last():
    rng = np.random.default_rng(0)
    shape = (20, 10)
    mask = random_mask(shape, 0.9, 0)
    free = np.flatnonzero(mask.reshape(-1) == 0)
    gradient = rng.uniform(0.1, 1.0, shape).astype(np.float32)
    gradient.reshape(-1)[free[-1]] = -1e4  # huge, negative, the last index: nothing else helps
    weights = g.magnitude_score(rng.uniform(1, 2, shape))

    one = u.drop_and_grow(mask, weights, g.gradient_score(gradient), 1)
    assert np.flatnonzero(one.is_new).tolist() == [free[-1]]
    for n_drop in (1, 10, 19):
        inverted = u.drop_and_grow(mask, weights, g.inverted_gradient_score(gradient), n_drop)
        assert not inverted.mask.numpy().reshape(-1)[free[-1]]
    # Grown last: only when every free place is wanted.
    every = select_top(g.inverted_gradient_score(gradient), free.size - 1, among=mask == 0)
    assert np.flatnonzero(~every.numpy() & (mask == 0)).tolist() == [free[-1]]


def test_the_dense_gradient_is_needed_the_masked_one_is_blind():
    mask = tf.constant([1.0, 0.0, 0.0])
    kernel = tf.constant([1.0, 5.0, 0.0])  # 5.0: what stands under the mask must not matter
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(kernel)
        product = kernel * mask
        loss = tf.reduce_sum(product * [0.1, 2.0, -3.0])
    np.testing.assert_allclose(g.gradient_score(tape.gradient(loss, product)), [0.1, 2.0, 3.0])
    assert not g.gradient_score(tape.gradient(loss, kernel)).numpy()[1:].any()


def test_set_grows_at_random_anew_at_each_step_layer_and_seed():
    seeds = [stateless_seed(run, "mask_growth", layer) for run in (0, 1) for layer in ("a", "b")]
    scores = [g.random_score((50, 40), seed, step).numpy() for seed in seeds for step in (0, 100)]
    assert len({score.tobytes() for score in scores}) == len(scores)
    for score in scores:
        assert score.min() >= 0.0 and score.max() < 1.0
        assert score.mean() == pytest.approx(0.5, abs=0.03)
        assert np.unique(score).size > 1990
    np.testing.assert_array_equal(scores[0], g.random_score((50, 40), seeds[0], tf.constant(0)))


PROGRAM = """
import numpy as np, tensorflow as tf
from tfsparse.seeds import stateless_seed
from tfsparse.sparsity import growth as g, updaters as u
from tfsparse.sparsity.masks import mask_hash, random_mask
masks = {}
for layer in ("conv1", "dense1"):
    mask = random_mask((31, 17), .9, 3)
    for step in (0, 100, 200):
        grow = g.random_score(mask.shape, stateless_seed(0, "mask_growth", layer), step)
        mask = u.drop_and_grow(mask, np.ones(mask.shape), grow, 15).mask.numpy()
    masks[layer] = mask
print(mask_hash(masks))
"""
PINNED = "763d5548fa6acf5fb6c2f62c6a94950d9ba82e4b063e21500f662cf78935a18d"


def test_the_same_seed_grows_the_same_mask_in_every_process(capsys):
    other = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    ).stdout
    exec(PROGRAM, {})
    # Written down: other machines and versions must agree as well.
    assert capsys.readouterr().out.strip() == other.strip() == PINNED


def test_snfs_ranks_the_running_mean_of_dense_gradients():
    momentum = tf.constant([0.0, 1.0, -2.0])
    after = g.next_momentum(momentum, tf.constant([10.0, 0.0, -2.0]), decay=0.9)
    np.testing.assert_allclose(after, [1.0, 0.9, -2.0], rtol=1e-6)
    np.testing.assert_allclose(g.momentum_score(after), [1.0, 0.9, 2.0], rtol=1e-6)


# ---- when and how much


def test_drop_fractions_at_the_start_the_middle_and_the_end_are_exact():
    drop = us.DropFraction(0.3, "cosine", begin_step=0, end_step=25_000)
    assert [float(drop.at(step)) for step in (0, 25_000)] == [0.3, 0.0]
    assert float(drop.at(12_500)) == pytest.approx(0.15, abs=1e-16)
    assert float(drop.at(6_250)) == pytest.approx(0.3 * 0.5 * (1 + np.sqrt(0.5)), abs=1e-15)
    assert float(drop.at(30_000)) == 0.0
    late = us.DropFraction(0.4, "cosine", begin_step=100, end_step=200)
    assert [float(late.at(step)) for step in (0, 100, 200)] == [0.4, 0.4, 0.0]
    assert float(late.at(tf.constant(150))) == pytest.approx(0.2, abs=1e-16)
    constant = us.DropFraction(0.3, "constant")
    assert {float(constant.at(step)) for step in (0, 50, 10**9)} == {0.3}


def test_the_learning_rate_schedule_follows_the_rate():
    drop = us.DropFraction(0.3, "learning_rate")
    assert [float(drop.at(7, ratio)) for ratio in (1.0, 0.5, 0.0, 10.0)] == [0.3, 0.15, 0.0, 1.0]
    cosine = us.DropFraction(0.3, "cosine", end_step=1000)
    for step in (0, 130, 500, 999):  # under a cosine rate over the whole run the two are one
        rate = 0.5 * (1 + np.cos(np.pi * step / 1000))
        assert float(drop.at(step, rate)) == pytest.approx(float(cosine.at(step)), abs=1e-15)


def test_update_steps_by_hand():
    schedule = us.UpdateSchedule(100, 350, 100)
    assert schedule.update_steps() == [100, 200, 300]
    assert [step for step in range(500) if schedule.is_update_step(step)] == [100, 200, 300]
    assert us.UpdateSchedule(0, 200, 100).update_steps() == [0, 100, 200]
    in_graph = tf.function(schedule.is_update_step)
    for step in (0, 50, 100, 150, 300, 350, 400):
        assert bool(in_graph(tf.constant(step, tf.int64))) is schedule.is_update_step(step)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 50), st.integers(0, 300), st.integers(1, 70))
def test_the_list_and_the_question_agree(begin, length, frequency):
    schedule = us.UpdateSchedule(begin, begin + length, frequency)
    asked = [step for step in range(begin + length + 100) if schedule.is_update_step(step)]
    assert asked == schedule.update_steps()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((0, 100, 0), "frequency.*>= 1, received 0"), ((0, 100, -5), "frequency"),
        ((-1, 100, 5), "begin_step.*received -1"), ((50, 40, 5), "end_step.*50, received 40"),
        ((0, 0.5, 5), "end_step.*0.5"), ((0, True, 5), "end_step.*True"),
    ],
)  # fmt: skip
def test_wrong_schedules_are_refused(steps, message):
    with pytest.raises(UserError, match=message):
        us.UpdateSchedule(*steps)


def test_a_schedule_past_the_end_is_refused():
    us.UpdateSchedule(0, 100, 10).check_within(100)
    with pytest.raises(UserError, match="at most the run's 99 steps, received 100"):
        us.UpdateSchedule(0, 100, 10).check_within(99)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 30, float("nan"), "0.3", True, None])
def test_wrong_drop_fractions_are_refused(fraction):
    with pytest.raises(UserError, match=r"\(0, 1\)"):
        us.DropFraction(fraction)
    with pytest.raises(UserError, match=r"\(0, 1\)"):
        u.idle_layers({}, fraction)


def test_wrong_drop_schedules_are_refused():
    with pytest.raises(UserError, match="cosine, constant, learning_rate, received 'linear'"):
        us.DropFraction(0.3, "linear")
    with pytest.raises(UserError, match="end_step"):
        us.DropFraction(0.3, "cosine", begin_step=5, end_step=5)


def test_layers_that_cannot_change_are_named():
    masks = {
        "small": np.r_[np.ones(3), np.zeros(9)],  # 30% of 3 is no connection
        "dense": np.ones(100),  # nowhere to grow
        "good": np.r_[np.ones(4), np.zeros(1)],
    }
    assert u.check_can_grow(masks, 0.3) == ["small", "dense"]
    assert u.idle_layers(masks, 0.4) == ["dense"]
    with pytest.raises(UserError, match="at least one connection"):
        u.check_can_grow({"small": masks["small"], "dense": masks["dense"]}, 0.3)
    with pytest.raises(UserError, match="at least one connection"):
        u.check_can_grow({}, 0.3)


# ---- pruning at initialisation


def test_snip_by_hand():
    scores = {"a": s.snip_score([1.0, -2.0], [3.0, 0.5]), "b": s.snip_score([0.1], [-50.0])}
    np.testing.assert_allclose(scores["a"], [3.0, 1.0])
    masks = s.masks_from_scores(scores, 0.5)  # 1.5 of 3, to even: the largest two, 5 and 3
    assert masks["a"].tolist() == [1, 0] and masks["b"].tolist() == [1]


def test_grasp_keeps_the_gradient_flow_of_a_quadratic():
    # L = sum(h w^2) / 2: g = h w, H g = h^2 w, flow g.g = sum(h^2 w^2). Without weight q the flow
    # is smaller by h_q^2 w_q^2 = w_q (H g)_q, so that keeping the largest scores keeps most.
    h, w = np.array([1.0, 3.0, -2.0, 0.5]), np.array([2.0, -1.0, 0.1, 8.0])
    score = s.grasp_score(w, h**2 * w)
    np.testing.assert_allclose(score, h**2 * w**2)
    mask = s.masks_from_scores({"x": score}, 0.5)["x"]
    np.testing.assert_array_equal(mask, [0, 1, 0, 1])  # 9 and 16 of 4, 9, .04, 16


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 99), st.sampled_from([0.0, 0.5, 0.9, 0.98]))
def test_one_global_cut_has_the_exact_count(seed, sparsity):
    rng = np.random.default_rng(seed)
    scores = {"a": rng.normal(size=(5, 6)), "b": rng.integers(0, 2, (3, 3, 2, 4)).astype(float)}
    masks = s.masks_from_scores(scores, sparsity)
    assert sum(int(mask.sum()) for mask in masks.values()) == kept_count(102, sparsity)


def test_a_layer_that_a_global_cut_empties_can_be_named():
    masks = s.masks_from_scores({"a": np.ones(9), "b": np.full(9, 1e-9)}, 0.6)
    assert empty_layers(masks) == ["b"]
