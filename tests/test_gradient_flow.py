"""Gradient flow: the two-weight quadratic, masks, no L2 term, and what training logs of it."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small import PRUNED, small_config, trained

from tfsparse.data import load_data
from tfsparse.sparsity.subject import Subject
from tfsparse.training.gradient_flow import GradientFlow, fixed_batch, flow_change, split_evenly

RIGL = {
    "method": "rigl",
    "mask": {"sparsity": 0.8, "rules": []},
    "growth": {"frequency": 10, "end_step": 40},
}


def two_weights(mask: list[float] | None = None) -> tuple[Subject, tf.Tensor, tf.Tensor]:
    """Logits (w1, w2) of the input 1, both 0: softmax (1/2, 1/2), label 0, gradient (-1/2, 1/2)."""
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(2, use_bias=False, kernel_initializer="zeros", name="w"),
        ]
    )
    masks = {} if mask is None else {"w": tf.Variable([mask])}
    return Subject(model, plain=lambda: model, masks=masks), tf.ones((1, 1)), tf.zeros(1, tf.int32)


def test_two_weights_by_hand():
    result = GradientFlow(*two_weights())()
    assert result["squared"] == pytest.approx(0.5)
    assert result["norm"] == pytest.approx(math.sqrt(0.5))
    assert result["layers"] == {"w": pytest.approx(0.5)} and result["n"] == 1


def test_a_masked_weight_has_no_flow():
    assert GradientFlow(*two_weights([1.0, 0.0]))()["squared"] == pytest.approx(0.25)
    assert GradientFlow(*two_weights([0.0, 0.0]))()["norm"] == 0.0


def test_the_l2_term_plays_no_part():
    subject, images, labels = two_weights()
    regularised = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(2, use_bias=False, kernel_initializer="ones", name="w",
                               kernel_regularizer=keras.regularizers.l2(10.0)),
        ]
    )  # fmt: skip
    assert regularised.losses
    plain = GradientFlow(subject, images, labels)()["squared"]
    flow = GradientFlow(Subject(regularised, plain=lambda: regularised), images, labels)
    assert flow()["squared"] == pytest.approx(plain)


def test_layers_add_up_and_parts_do_not_matter():
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(3, 2, name="a"),
            keras.layers.Flatten(),
            keras.layers.Dense(5, name="b"),
        ]
    )
    subject = Subject(model, plain=lambda: model)
    images = tf.random.stateless_normal((10, 4, 4, 1), (1, 2))
    labels = tf.range(10) % 5
    whole = GradientFlow(subject, images, labels)()
    assert whole["squared"] == pytest.approx(sum(whole["layers"].values()))
    parted = GradientFlow(subject, images, labels, part=3)()
    assert parted["layers"] == pytest.approx(whole["layers"], rel=1e-5)
    sizes = [len(part) for _, part in split_evenly(images, labels, 3)]
    assert sum(sizes) == 10 and len(sizes) == 4 and max(sizes) <= 3


def test_running_averages_are_left_alone():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="d"),
                              keras.layers.BatchNormalization(name="n"),
                              keras.layers.Dense(2, name="logits")])  # fmt: skip
    images = 5.0 + tf.random.stateless_normal((8, 3), (1, 2))
    flow = GradientFlow(Subject(model, plain=lambda: model), images, tf.range(8) % 2, part=4)
    first = flow()
    norm = model.get_layer("n")
    assert not norm.moving_mean.numpy().any() and (norm.moving_variance.numpy() == 1).all()
    assert flow() == first
    assert set(first["layers"]) == {"d", "n", "logits"}


def test_the_batch_is_fixed_and_not_the_first_images():
    data = load_data(small_config("runs").data, seed=0)
    first, labels = fixed_batch(data, 50, 3)
    again, _ = fixed_batch(data, 50, 3)
    np.testing.assert_array_equal(first, again)
    other, _ = fixed_batch(data, 50, 4)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, data.preprocess(tf.constant(data.train.images[:50])))
    assert labels.shape == (50,) and labels.dtype == tf.int32
    assert len(fixed_batch(data, 10**6, 0)[1]) == data.num_train


def test_change():
    assert flow_change({"norm": 1.0}, {"norm": 3.0}) == {
        "norm_before": 1.0, "norm_after": 3.0, "norm_change": 2.0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def rigl(tmp_path_factory):
    train = {"gradient_flow_every": 20, "gradient_flow_examples": 100,
             "gradient_flow_at_updates": True}  # fmt: skip
    return trained(tmp_path_factory.mktemp("flow"), train=train, **RIGL)[0]


def test_training_logs_the_flow(rigl):
    lines = [line for line in rigl.metrics() if line["kind"] == "gradient_flow"]
    assert [line["step"] for line in lines] == [0, 20, 40, 60]
    for line in lines:
        assert line["norm"] ** 2 == pytest.approx(line["squared"])
        assert line["norm"] > 0 and line["n"] == 100


def test_training_logs_the_change_at_updates(rigl):
    lines = [line for line in rigl.metrics() if line["kind"] == "mask_update"]
    assert lines and all(
        line["norm_change"] == line["norm_after"] - line["norm_before"] for line in lines
    )
    assert any(line["norm_change"] for line in lines if line["grown"])


def test_an_update_that_changes_nothing_has_change_zero(tmp_path):
    """Pruning from 80% to 80%: the second cut on removes and adds nothing."""
    pruning = {**PRUNED["pruning"], "initial_sparsity": 0.8}
    run, _ = trained(
        tmp_path, method="pruned", pruning=pruning,
        train={"gradient_flow_at_updates": True, "gradient_flow_examples": 100},
    )  # fmt: skip
    lines = [line for line in run.metrics() if line["kind"] == "mask_update"]
    assert lines[0]["norm_change"] != 0
    assert len(lines) > 1 and all(line["norm_change"] == 0.0 for line in lines[1:])
    assert not [line for line in run.metrics() if line["kind"] == "gradient_flow"]


def test_measuring_does_not_change_training(rigl, tmp_path):
    plain, _ = trained(tmp_path, **RIGL)
    for name, weights in plain.final_weights().items():
        np.testing.assert_array_equal(weights, rigl.final_weights()[name])
