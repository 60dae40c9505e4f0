"""The step, the objective and the learning rate, number by number."""

import time

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from made_paths import made_data
from small import PRUNED, small_config, trained

from tfsparse.config import OptimizerConfig, TrainConfig, check
from tfsparse.data import load_data
from tfsparse.models import build, get_weights
from tfsparse.plan import make_plan
from tfsparse.sparsity.layers import mask_variables, masked
from tfsparse.sparsity.masks import random_mask
from tfsparse.sparsity.subject import Subject
from tfsparse.training.evaluation import Evaluator, evaluate
from tfsparse.training.feeds import MemoryFeed
from tfsparse.training.objective import cross_entropy, l2_term
from tfsparse.training.optimizers import make_optimizer, make_rate
from tfsparse.training.trainer import Trainer


def plan(steps=1000, batch_size=10, images=1000):
    config = check({"steps": steps, "batch_size": batch_size}, TrainConfig, "train")
    return make_plan(config, images)


def rate(schedule, batch_size=10, **more):
    config = check({"learning_rate": schedule, **more}, OptimizerConfig, "optimizer")
    made = make_rate(config, plan(batch_size=batch_size))
    return lambda step: float(made(step))


def test_l2_has_the_papers_half():
    with tf.GradientTape() as tape:
        kernel = tf.Variable(tf.ones(10))
        term = l2_term([kernel], 1e-4)
    assert float(term) == pytest.approx(5e-4)
    np.testing.assert_allclose(tape.gradient(term, kernel), np.full(10, 1e-4))
    assert float(l2_term([], 1e-4)) == 0.0


def test_cross_entropy_by_hand():
    logits = tf.constant([[0.0, 0.0], [np.log(3.0), 0.0]])
    np.testing.assert_allclose(cross_entropy(logits, [0, 0]), [np.log(2), np.log(4 / 3)], rtol=1e-6)
    # Smoothing 0.2 over 2 classes: targets 0.9 and 0.1.
    expected = 0.9 * np.log(4 / 3) + 0.1 * np.log(4)
    np.testing.assert_allclose(cross_entropy(logits, [0, 0], 0.2)[1], expected, rtol=1e-6)


def test_rates_by_hand():
    steps = {"schedule": "steps", "value": 1.0, "warmup": 10, "boundaries": [50, 80], "factor": 0.1}
    lr = rate(steps)
    np.testing.assert_allclose(
        [lr(s) for s in (0, 5, 10, 49, 50, 79, 80)], [0, 0.5, 1, 1, 0.1, 0.1, 0.01], rtol=1e-6
    )
    lr = rate({"schedule": "cosine", "value": 1.0, "final": 0.2})
    np.testing.assert_allclose([lr(s) for s in (0, 500, 1000)], [1.0, 0.6, 0.2], rtol=1e-5)
    assert rate(0.3)(999) == pytest.approx(0.3)


def test_rates_per_256_images_keep_the_epochs_of_the_drops():
    schedule = {"schedule": "steps", "value": 0.1, "boundaries": ["3ep"]}
    small = rate(schedule, batch_size=10, reference_batch_size=256)
    large = rate(schedule, batch_size=100, reference_batch_size=256)
    assert small(0) == pytest.approx(0.1 * 10 / 256)
    assert large(0) == pytest.approx(0.1 * 100 / 256)
    assert small(300) == pytest.approx(small(299) / 10)
    assert large(30) == pytest.approx(large(29) / 10)


def trainer(model, xla=False, masks=None, **kwargs):
    data = load_data(small_config("x").data, seed=0)
    config = check({"learning_rate": 0.1, "momentum": 0.0}, OptimizerConfig, "optimizer")
    subject = Subject(model, plain=lambda: model, masks=masks or {})
    p = plan(steps=20, batch_size=50, images=data.num_train)
    feed = MemoryFeed(data, p, seed=0, shuffle=True)
    return Trainer(subject, make_optimizer(config, p), feed, batch_size=50, xla=xla, **kwargs)


def lenet(seed=0, width=0.1):
    return build(
        small_config("x").model.model_copy(update={"width": width}), (28, 28, 1), 10, seed=seed
    )


@pytest.mark.parametrize("xla", [False, True])
def test_a_step_is_gradient_descent_on_cross_entropy_plus_l2(xla):
    model = lenet()
    subject = trainer(model, xla, weight_decay=0.01)
    before = get_weights(model)
    step = tf.constant(0, tf.int64)
    pixels, labels = subject.feed.draw(step, *subject.feed.start(0))
    with tf.GradientTape() as tape:
        logits = model(subject.feed.prepare(pixels, step))
        loss = tf.reduce_mean(cross_entropy(logits, labels))
    gradients = dict(zip(before, tape.gradient(loss, model.trainable_variables), strict=True))
    totals = subject.run(0, 1)
    for name, value in get_weights(model).items():
        decay = 0.01 * before[name] if name.endswith("kernel") else 0.0
        expected = before[name] - 0.1 * (gradients[name].numpy() + decay)
        np.testing.assert_allclose(value, expected, atol=2e-6)
    squares = sum((w**2).sum() for n, w in before.items() if n.endswith("kernel"))
    assert totals["l2"] == pytest.approx(0.005 * squares, rel=1e-5)
    assert totals["cross_entropy"] == pytest.approx(float(loss), rel=1e-5)


def test_the_l2_term_sees_masked_kernels_only():
    masks = {"dense1": random_mask((784, 30), 0.8, seed=0)}
    model = masked(lenet(), masks)
    subject = trainer(model, weight_decay=1.0, masks=mask_variables(model))
    clean = float(l2_term(subject.masked_kernels(), 1.0))
    kernel = model.get_layer("dense1").kernel
    kernel.assign(kernel + 5.0 * (1 - masks["dense1"]))
    assert float(l2_term(subject.masked_kernels(), 1.0)) == clean
    model.get_layer("dense1").bias.assign_add(tf.ones(30))
    assert float(l2_term(subject.masked_kernels(), 1.0)) == clean


def test_each_epoch_sees_every_image_once_in_a_new_order():
    data = load_data(small_config("x").data, seed=0)
    p = plan(batch_size=data.num_train // 4, images=data.num_train)
    feed = MemoryFeed(data, p, seed=0, shuffle=True)
    orders = []
    for epoch in range(2):
        feed.start(epoch * p.steps_per_epoch)
        orders.append(feed._order.numpy())
    assert all(sorted(order) == list(range(data.num_train)) for order in orders)
    assert not np.array_equal(*orders)
    fixed = MemoryFeed(data, p, seed=0, shuffle=False)
    fixed.start(0)
    assert list(fixed._order.numpy()) == list(range(data.num_train))


def skipping():
    """Convolutions with bias and skip connection: each is one kernel in oneDNN, which must not run
    twice at once."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    for _ in range(3):
        x = keras.layers.Add()([keras.layers.Conv2D(4, 3, padding="same")(x), x])
        x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


def test_batches_of_an_evaluation_do_not_disturb_each_other():
    model, data = skipping(), made_data(2000, 8)
    whole = evaluate(model, data, "train", 2000)["cross_entropy"]
    evaluator = Evaluator(model, data, 20)
    for _ in range(25):
        np.testing.assert_allclose(evaluator("train")["cross_entropy"], whole, rtol=1e-5)


def test_evaluation_counts_every_image_once():
    data, model = load_data(small_config("x").data, seed=0), lenet()
    logits = model(data.preprocess(tf.constant(data.test.images))).numpy()
    expected = np.mean(logits.argmax(1) == data.test.labels)
    entropy = np.mean(cross_entropy(logits, data.test.labels))
    for batch_size in (7, 100, 5000):
        found = evaluate(model, data, "test", batch_size)
        assert found["accuracy"] == pytest.approx(expected)
        assert found["cross_entropy"] == pytest.approx(float(entropy), rel=1e-5)
        assert found["n"] == len(data.test)


def test_the_same_config_gives_the_same_bits_and_learns(tmp_path):
    a, summary = trained(tmp_path / "a", train={"steps": 200})
    b, _ = trained(tmp_path / "b", train={"steps": 200})
    for name, value in a.final_weights().items():
        np.testing.assert_array_equal(b.final_weights()[name], value)
    assert summary["test"]["accuracy"] > 0.8
    lines = [line for line in a.metrics() if line["kind"] == "train"]
    assert [line["step"] for line in lines] == list(range(20, 201, 20))
    assert lines[-1]["loss"] == pytest.approx(lines[-1]["cross_entropy"] + lines[-1]["l2"])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_only_the_named_set_is_looked_at_while_training(tmp_path, split):
    run, _ = trained(tmp_path, train={"evaluate_every": 20, "evaluate_on": split})
    lines = [line for line in run.metrics() if line["kind"] == "evaluation"]
    assert [line["step"] for line in lines] == [0, 20, 40, 60]
    assert {line["split"] for line in lines} == {split}


def test_the_rate_is_that_of_the_steps_without_evaluations(tmp_path, monkeypatch):
    look = Evaluator.__call__

    def slowly(self, split, limit=None):
        time.sleep(0.2)
        return look(self, split, limit)

    monkeypatch.setattr(Evaluator, "__call__", slowly)
    run, summary = trained(tmp_path, train={"evaluate_every": 4, "log_every": 20})
    images = summary["steps"] * summary["batch_size"]
    stepping = images / summary["images_per_second"]
    assert summary["steps"] == 60
    assert summary["seconds"] - stepping > 15 * 0.2
    lines = [line for line in run.metrics() if line["kind"] == "train"]
    parts = [20 * summary["batch_size"] / line["images_per_second"] for line in lines]
    assert sum(parts) == pytest.approx(stepping)


def test_the_gradient_at_the_end_is_that_of_the_objective(tmp_path):
    _, far = trained(tmp_path, "far", train={"steps": 0})
    _, near = trained(tmp_path, "near", train={"steps": 400})
    assert 0 < near["gradient_l1_mean"] < 0.3 * far["gradient_l1_mean"]


def test_bfloat16_trains_with_float32_weights(tmp_path):
    train = {"precision": "mixed_bfloat16", "steps": 200}
    run, summary = trained(tmp_path, **PRUNED, train=train)
    assert all(w.dtype == np.float32 for w in run.final_weights().values())
    assert summary["test"]["accuracy"] > 0.7
