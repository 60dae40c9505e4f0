"""Every kind of step compiles as a whole with static shapes, which is what a TPU needs, and finds
what the uncompiled one finds."""

import numpy as np
import pytest
import tensorflow as tf
from made_paths import made_data, two_points, zoo_model
from small import BASE, PRUNED, small_config

from tfsparse.config import merge
from tfsparse.data import load_data
from tfsparse.landscape.curves import line
from tfsparse.landscape.images import MemoryImages
from tfsparse.landscape.optimise import CurveTrainer, Descent
from tfsparse.landscape.walk import Walk
from tfsparse.methods import init_seed, prepare
from tfsparse.models import build, get_weights
from tfsparse.plan import Plan, make_plan
from tfsparse.sparsity.masks import random_mask
from tfsparse.training.feeds import MemoryFeed
from tfsparse.training.run import make_trainer
from tfsparse.training.strategies import OverParts

GROWTH = {"mask": {"sparsity": 0.5, "rules": []}, "growth": {"frequency": 2, "end_step": 1.0}}
METHODS = {
    "dense": {},
    "pruned": PRUNED,
    "random": {"method": "random", "mask": {"sparsity": 0.5, "rules": []}},
    "set": {"method": "set", **GROWTH},
    "rigl": {"method": "rigl", **GROWTH},
    "snfs": {"method": "snfs", **GROWTH},
}


@pytest.fixture(scope="module")
def data():
    return load_data(small_config("x").data, seed=0)


def made_trainer(data, method, *, xla):
    changes = merge(BASE, {"train": {"xla": xla, "batch_size": 16}, **METHODS[method]})
    config = small_config("x", **changes)
    plan = make_plan(config.train, data.num_train)
    model = build(config.model, data.input_shape, data.num_classes, seed=init_seed(config))
    return make_trainer(config, prepare(config, model, plan, None).subject, plan, data)


def assert_static(function, *arguments):
    """Every operation of the compiled graph has a known shape."""
    graph = function.get_concrete_function(*arguments).graph
    for operation in graph.get_operations():
        for output in operation.outputs:
            assert output.shape.is_fully_defined(), f"{operation.name}: {output.shape}"


# The steps of SET and RigL are that of SNFS without its means.
@pytest.mark.parametrize("method", ["dense", "pruned", "random", "snfs"])
def test_a_training_step(data, method):
    plain, compiled = (made_trainer(data, method, xla=xla) for xla in (False, True))
    step = tf.constant(0, tf.int64)
    batch = compiled.feed.draw(step, *compiled.feed.start(0))
    assert_static(compiled._step, *batch, step)
    expected, found = plain.run(0, 3), compiled.run(0, 3)
    assert found == pytest.approx(expected, rel=1e-4)
    weights = get_weights(plain.subject.model)
    for name, value in get_weights(compiled.subject.model).items():
        np.testing.assert_allclose(value, weights[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize("method", ["set", "rigl", "snfs"])
def test_a_mask_update(data, method):
    trainer = made_trainer(data, method, xla=False)
    trainer.run(0, 2)
    updates, step = trainer.subject.updates, tf.constant(2, tf.int64)
    dense = tf.function(trainer._dense_gradients, jit_compile=True)
    batch = trainer.feed.peek(2)
    assert_static(dense, *batch, step)
    gradients = dense(*batch, step)
    for name, gradient in trainer.dense_gradients(2).items():
        np.testing.assert_allclose(gradients[name], gradient, atol=1e-5)
    update = tf.function(updates._update, jit_compile=True)
    arguments = (tf.constant(2, tf.int32), tf.constant(0.3), gradients)
    assert_static(update, *arguments)
    found, expected = update(*arguments), updates._update(*arguments)
    for name, change in expected.items():
        assert int(change.changed) > 0
        np.testing.assert_array_equal(found[name].mask, change.mask)
        assert int(tf.reduce_sum(change.mask)) == int(tf.reduce_sum(trainer.subject.masks[name]))


def test_a_cut_of_the_masks(data):
    trainer = made_trainer(data, "pruned", xla=False)
    updates = trainer.subject.updates
    updates._set_step(30)
    cut = tf.function(type(updates)._cut.python_function, jit_compile=True)
    cut(updates)
    # Step 30 is two thirds of the way from 10 to 40: 0.8 (1 - (1/3)^3) = 0.7704.
    kept = np.mean(np.concatenate([m.numpy().ravel() for m in updates.masks.values()]))
    assert kept == pytest.approx(1 - 0.8 * 26 / 27, abs=1e-3)


@pytest.mark.parametrize("name", ["lenet_300_100", "lenet_5"])
def test_a_walk(name):
    (model, *_), data = zoo_model(name), made_data(24)
    points = two_points(model)
    images = MemoryImages(data, count=24, batch_size=8)
    rows = np.asarray(line([0.0, 0.5, 1.0]))
    expected = Walk(model, points, images, compiled=False).run(rows)
    walk = Walk(model, points, images, compiled=True)
    found = walk.run(rows)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-4, atol=1e-5)
    # A TPU compiles the whole pass over a batch, not only what gains from it here.
    program = walk._passes["evaluating"].program
    whole = tf.function(program.run, jit_compile=True)
    table = {n: tf.constant(walk._at(rows, n)) for n in program.names}
    pixels, labels = images.batch(images.pixels, images.labels, tf.constant(0), 8)
    losses, _ = whole(pixels, labels, tf.constant(rows, tf.float32), table)
    np.testing.assert_allclose(losses[:, 0], expected.losses[:, :8], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("subspace", ["sparse", "dense"])
def test_a_curve_step(subspace):
    (model, *_), data = zoo_model("lenet_5"), made_data(64)
    ends = two_points(model)
    masks = {}
    if subspace == "sparse":
        shapes = {n.removesuffix("/kernel"): v.shape for n, v in ends[0].items() if "kernel" in n}
        masks = {name: random_mask(shape, 0.5, 1) for name, shape in shapes.items()}
        ends = [{n: v * masks.get(n.split("/kernel")[0], 1) for n, v in e.items()} for e in ends]
    middle = {name: (ends[0][name] + ends[1][name]) / 2 for name in ends[0]}

    def trained(xla):
        plan = Plan(10, 8, 8, 10, None, 10, (), None)
        trainer = CurveTrainer(
            model, [ends[0], middle, ends[1]], chain=False, masks=masks,
            feed=MemoryFeed(data, plan, seed=0, shuffle=True), batch_size=8,
            descent=Descent(0.01, total_steps=10), seed=0, xla=xla,
        )  # fmt: skip
        if xla:
            step = tf.constant(0, tf.int64)
            assert_static(trainer._step, *trainer._feed.draw(step, *trainer._feed.start(0)), step)
        return trainer.run(0, 3), trainer.points()[1]

    (expected, point), (found, compiled) = trained(False), trained(True)
    assert found == pytest.approx(expected, rel=1e-4)
    for name, value in point.items():
        np.testing.assert_allclose(compiled[name], value, atol=1e-5)


def test_what_is_computed_in_parts_is_the_same_without_a_strategy():
    double = OverParts(lambda x, factor: factor * x)
    parts = [(tf.constant([1.0, 2.0]),), (tf.constant([3.0]),)]
    assert [list(found.numpy()) for found in double(parts, 2.0)] == [[2.0, 4.0], [6.0]]
