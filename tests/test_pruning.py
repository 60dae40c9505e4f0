"""Gradual pruning reaches its target exactly, only shrinks, and leaves nothing under the mask."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given
from hypothesis import strategies as st
from small import PRUNED, small_config, trained

from tfsparse.config import ModelConfig
from tfsparse.config.sparsity import PAPER_RULES
from tfsparse.data import load_data
from tfsparse.errors import RunFailed
from tfsparse.methods import init_seed, prepare
from tfsparse.models import build, kernel_shapes
from tfsparse.plan import make_plan
from tfsparse.sparsity.distributions import uniform
from tfsparse.sparsity.masks import kept_count
from tfsparse.sparsity.pruning import Decay, Pruning, PruningSchedule
from tfsparse.sparsity.rules import apply_rules
from tfsparse.sparsity.subject import Moment
from tfsparse.training.run import make_trainer, train


def moment(step: int) -> Moment:
    return Moment(step, 0.1, 0.1, dict, {})


def one_layer(weights: np.ndarray) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((weights.shape[0],)), keras.layers.Dense(weights.shape[1], name="dense")]
    )
    model.get_layer("dense").kernel.assign(weights)
    return model


def cut_once(weights: np.ndarray, sparsity: float) -> np.ndarray:
    pruning = Pruning(one_layer(weights), PruningSchedule(5, 5, 1, {"dense": sparsity}))
    pruning.apply(moment(5))
    return pruning.masks["dense"].numpy()


def test_decay_by_hand():
    # s(t) = 0.8 + (0 - 0.8) * (1 - t/10)^3: half way 0.8 * (1 - 1/8) = 0.7
    decay = Decay(
        initial_sparsity=0.0,
        final_sparsity=0.8,
        begin_step=0,
        end_step=10,
        power=3,
        frequency=4,
        final_update=True,
    )
    values = [decay(tf.constant(step, tf.int64)) for step in (0, 5, 8, 10)]
    np.testing.assert_allclose([float(s) for _, s in values], [0, 0.7, 0.7936, 0.8], rtol=1e-6)
    assert [bool(due) for due, _ in values] == [True, False, True, True]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 30))
def test_with_a_final_update_every_schedule_reaches_its_end(begin, span, frequency):
    schedule = PruningSchedule(begin, begin + span, frequency, {})
    assert schedule.reaches_target()
    assert schedule.update_steps() == sorted(set(schedule.update_steps()))
    bare = PruningSchedule(begin, begin + span, frequency, {}, final_update=False)
    assert bare.reaches_target() == (span % frequency == 0)


def test_paper_1_schedule_that_stops_short():
    # Table 1: (12500, 40000, 2000) updates last at 38500, where s = 0.79987.
    bare = PruningSchedule(12500, 40000, 2000, {"dense": 0.8}, final_update=False)
    assert bare.update_steps()[-1] == 38500
    _, sparsity = bare.decay("dense")(tf.constant(38500, tf.int64))
    assert float(sparsity) == pytest.approx(0.79987, abs=1e-5)


def test_ties_and_zeros_keep_the_exact_count():
    assert cut_once(np.ones((4, 5), np.float32), 0.75).sum() == 5
    half_zero = np.r_[np.zeros(10), np.arange(1, 11)].reshape(4, 5).astype(np.float32)
    mask = cut_once(half_zero, 0.75)
    assert mask.sum() == 5
    assert np.all(half_zero[mask == 1] >= 6)
    assert cut_once(np.arange(40, dtype=np.float32).reshape(8, 5), 0.99).sum() == 1


def test_the_largest_weights_stay_and_the_others_become_zero():
    weights = np.array([[0.1, -0.9], [0.5, -0.2]], np.float32)
    pruning = Pruning(one_layer(weights), PruningSchedule(0, 0, 1, {"dense": 0.5}))
    change = pruning.apply(moment(0))
    np.testing.assert_array_equal(pruning.masks["dense"].numpy(), [[0, 1], [1, 0]])
    kernel = pruning.stripped.get_layer("dense").kernel.numpy()
    np.testing.assert_allclose(kernel, [[0, -0.9], [0.5, 0]])
    assert (change.dropped, change.grown) == (2, 0)


def test_masks_only_shrink_even_when_living_weights_are_zero():
    pruning = Pruning(
        one_layer(np.arange(1, 21, dtype=np.float32).reshape(4, 5)),
        PruningSchedule(0, 20, 10, {"dense": 0.8}, initial_sparsity=0.4),
    )
    pruning.apply(moment(0))
    first = pruning.masks["dense"].numpy()
    kernel = pruning.stripped.get_layer("dense").kernel
    kernel.assign(tf.zeros_like(kernel))  # dead: everything ties at 0
    for step in (10, 20):
        pruning.apply(moment(step))
        second = pruning.masks["dense"].numpy()
        assert np.all(second <= first)
        first = second
    assert first.sum() == 4


def test_a_trained_run_is_exactly_as_sparse_as_asked(tmp_path):
    run, summary = trained(tmp_path, **PRUNED)
    final, masks = run.final_weights(), run.masks()
    for name, layer in summary["layers"].items():
        kept = kept_count(layer["size"], 0.8)
        assert layer["nonzero"] == kept == np.count_nonzero(masks[name])
        assert np.all(final[f"{name}/kernel"][masks[name] == 0] == 0)
    initial = run.initial_weights()
    assert all(np.all(initial[f"{name}/kernel"] != 0) for name in masks), "the dense start"
    updates = [line for line in run.metrics() if line["kind"] == "mask_update"]
    assert [line["step"] for line in updates] == [10, 20, 30, 40]
    assert updates[-1]["sparsity"] == pytest.approx(0.8, abs=1e-3)
    assert all(line["grown"] == 0 for line in updates)


def make_ready(tmp_path, **pruning):
    """A trainer, its subject and its plan under PRUNED with changes."""
    config = small_config(tmp_path, method="pruned", pruning={**PRUNED["pruning"], **pruning})
    data = load_data(config.data, seed=0)
    plan = make_plan(config.train, data.num_train)
    model = build(config.model, data.input_shape, 10, seed=init_seed(config))
    subject = prepare(config, model, plan, lambda: pytest.fail("not needed")).subject
    return make_trainer(config, subject, plan, data), subject


def test_slots_of_pruned_weights_are_zero_after_momentum(tmp_path):
    trainer, subject = make_ready(tmp_path)
    trainer.run(0, 10)
    slot = trainer.slots["dense1"][0]
    assert np.count_nonzero(slot.numpy()) > 1000
    for step in (10, 20, 30):
        trainer.update_masks(step)
        trainer.run(step, 5)
    gone = subject.masks["dense1"].numpy() == 0
    assert np.all(slot.numpy()[gone] == 0)
    assert np.all(subject.model.get_layer("dense1").kernel.numpy()[gone] == 0)
    assert np.any(slot.numpy()[~gone] != 0)


def test_revival_lets_pruned_weights_step_and_come_back(tmp_path):
    trainer, subject = make_ready(tmp_path, revival=True)
    trainer.run(0, 20)
    trainer.update_masks(20)
    trainer.run(20, 1)
    kernel = subject.model.get_layer("dense1").kernel
    gone = subject.masks["dense1"].numpy() == 0
    assert np.any(kernel.numpy()[gone] != 0), "one gradient step away from zero"
    large = 9.0 + np.arange(gone.size, dtype=np.float32).reshape(gone.shape) / gone.size
    kernel.assign(np.where(gone, large, kernel.numpy()))
    assert trainer.update_masks(30)["grown"] > 0
    left = subject.plain().get_layer("dense1").kernel.numpy()
    assert np.all(left[subject.masks["dense1"].numpy() == 0] == 0)


def test_a_run_that_misses_its_target_warns_first_and_fails_last(tmp_path):
    pruning = {**PRUNED["pruning"], "frequency": 20, "final_update": False}
    config = small_config(tmp_path, method="pruned", pruning=pruning)
    notes: list[str] = []
    with pytest.raises(RunFailed, match=r"keeps \d+ of \d+ weights, expected"):
        train(config, command=["test"], note=notes.append, quiet=True)
    assert "the target will be missed" in notes[0]
    failed = tmp_path / "run" / "seed_0"
    assert not (failed / "summary.json").exists()
    assert "expected" in (failed / "failure.json").read_text()


def test_a_frequency_that_does_not_divide_gets_one_more_update(tmp_path):
    pruning = {**PRUNED["pruning"], "frequency": 20}
    run, summary = trained(tmp_path, method="pruned", pruning=pruning)
    assert summary["sparsity"] == pytest.approx(0.8, abs=1e-3)
    steps = [line["step"] for line in run.metrics() if line["kind"] == "mask_update"]
    assert steps == [10, 30, 40]


def test_pruning_may_end_with_the_last_step(tmp_path):
    pruning = {**PRUNED["pruning"], "end_step": 1.0}
    _, summary = trained(tmp_path, method="pruned", pruning=pruning)
    assert summary["sparsity"] == pytest.approx(0.8, abs=1e-3)


def test_the_papers_rules_on_resnet_50_give_the_papers_overall_sparsities():
    shapes = kernel_shapes(build(ModelConfig(name="resnet_50"), (224, 224, 3), 1000, seed=0))
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    assert sum(sizes.values()) == 9_408 + 2_048_000 + 23_445_504
    overall = []
    for nominal in (0.8, 0.91, 0.96, 0.98):
        ruled = apply_rules(uniform(shapes, nominal), PAPER_RULES, shapes)
        kept = sum(kept_count(sizes[name], s) for name, s in ruled.items())
        overall.append(round(100 * (1 - kept / sum(sizes.values())), 2))
    assert overall == [79.97, 90.08, 94.68, 96.52]
