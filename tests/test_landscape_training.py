"""Training a curve: the step by hand, the subspaces, resuming with the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from made_paths import made_data, normed_model, two_points, zoo_model
from small import trained

import tfsparse
from tfsparse import files
from tfsparse.config import load_config
from tfsparse.config.landscape import CurveConfig
from tfsparse.errors import RunFailed
from tfsparse.landscape.bezier import curve
from tfsparse.landscape.curves import bernstein, chain, mix, on_the_line
from tfsparse.landscape.descend import descend
from tfsparse.landscape.optimise import CurveTrainer, Descent
from tfsparse.landscape.solutions import read_control_points
from tfsparse.models import get_weights, named_variables, set_weights
from tfsparse.plan import Plan
from tfsparse.runs import Run
from tfsparse.sparsity.masks import random_mask
from tfsparse.training.feeds import MemoryFeed
from tfsparse.training.objective import cross_entropy, l2_term

QUIET = {"title": "curve", "quiet": True}


def made_plan(steps, *, every=10, batch=8, epoch=5):
    return Plan(steps, epoch, batch, every, None, every, (), None)


def made_masks(weights, sparsity=0.5):
    return {
        name.removesuffix("/kernel"): random_mask(value.shape, sparsity, i)
        for i, (name, value) in enumerate(weights.items())
        if name.endswith("/kernel")
    }


def inside(weights, masks):
    return {
        name: value * masks.get(name.removesuffix("/kernel"), 1).astype(np.float32)
        if name.endswith("/kernel")
        else value
        for name, value in weights.items()
    }


def made_trainer(
    model, *, order=2, shape="bezier", subspace="sparse", seed=0, rate=0.05, augments=False,
    xla=False, decay=1e-3, steps=40,
):  # fmt: skip
    """A trainer between two weight sets of `model` inside a mask, the ends and the masks."""
    end, start = two_points(model, spread=0.3)
    masks = made_masks(end)
    end, start = inside(end, masks), inside(start, masks)
    size, channels = model.input_shape[1], model.input_shape[3]
    plan = made_plan(steps)
    trainer = CurveTrainer(
        model,
        [end, *on_the_line(end, start, order), start],
        chain=shape == "chain",
        masks=masks if subspace == "sparse" else {},
        feed=MemoryFeed(
            made_data(40, size, channels, augments=augments), plan, seed=seed, shuffle=True
        ),
        batch_size=8,
        descent=Descent(learning_rate=rate, weight_decay=decay, momentum=0.9),
        seed=seed,
        xla=xla,
    )
    return trainer, end, start, masks


@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("shape", ["bezier", "chain"])
def test_steps_by_hand(shape, xla):
    """Two steps against the chain rule written out with a plain model."""
    model = normed_model()
    trainer, end, start, masks = made_trainer(model, order=3, shape=shape, xla=xla)
    points = [end, *on_the_line(end, start, 3), start]
    velocity = [{name: np.zeros_like(value) for name, value in end.items()} for _ in points]
    names = {v.ref(): name for name, v in named_variables(model).items()}
    losses = []
    for step in range(2):
        t = float(trainer.draw(tf.constant(step, tf.int64)))
        row = (chain if shape == "chain" else bernstein)(3, [t])[0]
        x, y = trainer._feed.draw(tf.constant(step, tf.int64), *trainer._feed.start(step))
        set_weights(model, mix(points, row))
        with tf.GradientTape() as tape:
            entropy = tf.reduce_mean(cross_entropy(model(trainer._feed.prepare(x, step), True), y))
            kernels = [v for v in model.trainable_variables if "kernel" in v.name]
            objective = entropy + l2_term(kernels, 1e-3)
        losses.append(float(objective))
        variables = model.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(objective, variables), strict=True):
            name = names[variable.ref()]
            gradient = gradient.numpy() * masks.get(name.removesuffix("/kernel"), 1)
            for i in (1, 2):
                velocity[i][name] = 0.9 * velocity[i][name] + row[i] * gradient
                points[i][name] = points[i][name] - 0.05 * velocity[i][name]
    totals = trainer.run(0, 2)
    assert totals["cross_entropy"] + totals["l2"] == pytest.approx(sum(losses), rel=1e-5)
    for i, point in enumerate(trainer.points()):
        for name in (names[variable.ref()] for variable in model.trainable_variables):
            np.testing.assert_allclose(
                point[name], points[i][name], rtol=1e-4, atol=1e-6, err_msg=f"{i} {name}"
            )


def test_a_sparse_curve_stays_inside_the_mask():
    trainer, end, _, masks = made_trainer(zoo_model("lenet_5", 0.5)[0], order=3)
    for step in range(0, 40, 5):
        trainer.run(step, 5)
        points = trainer.points()
        for row in bernstein(3, np.linspace(0, 1, 21)):
            weights = mix(points, row)
            for layer, mask in masks.items():
                assert not np.any(weights[f"{layer}/kernel"][mask == 0])
    moved = [not np.array_equal(points[1][n], end[n]) for n in end if n.endswith("bias")]
    assert any(moved)
    for layer, mask in masks.items():
        assert not np.any(trainer.velocity[f"{layer}/kernel"].numpy() * (mask == 0))


def test_a_dense_curve_leaves_the_mask_but_not_its_ends():
    trainer, end, start, masks = made_trainer(zoo_model("lenet_5", 0.5)[0], subspace="dense")
    trainer.run(0, 5)
    first, control, last = trainer.points()
    for layer, mask in masks.items():
        assert np.count_nonzero(control[f"{layer}/kernel"][mask == 0]) > 0
    for name in end:
        assert first[name].tobytes() == end[name].tobytes()
        assert last[name].tobytes() == start[name].tobytes()


def test_training_lowers_the_mean_loss():
    trainer, *_ = made_trainer(normed_model(), rate=0.02, decay=0.0)
    before = [trainer.run(step, 5)["cross_entropy"] for step in range(0, 200, 5)]
    assert np.mean(before[-8:]) < 0.8 * np.mean(before[:8])


def test_draws_of_t_are_uniform_and_follow_the_seed():
    trainer, *_ = made_trainer(normed_model())
    again, *_ = made_trainer(normed_model())
    other, *_ = made_trainer(normed_model(), seed=1)

    def draws(trainer, count=400):
        steps = tf.range(count, dtype=tf.int64)
        return tf.map_fn(trainer.draw, steps, fn_output_signature=tf.float32).numpy()

    found = draws(trainer)
    np.testing.assert_array_equal(found, draws(again))
    assert not np.array_equal(found, draws(other))
    assert found.min() >= 0 and found.max() < 1
    np.testing.assert_allclose(np.histogram(found, 4, (0, 1))[0], 100, atol=35)


def test_weights_that_are_not_trained_stay():
    model = normed_model()
    trainer, end, start, _ = made_trainer(model)
    before = get_weights(model)
    expected = on_the_line(end, start, 2)[0]
    trainer.run(0, 5)
    control = trainer.points()[1]
    for name in ("bn1/moving_mean", "bn3/moving_variance"):
        np.testing.assert_array_equal(control[name], expected[name])
    for name, value in get_weights(model).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_the_second_schedule():
    descent = Descent(2.0, flat_then_linear=True, total_steps=10)
    rates = [float(descent.rate(step)) for step in range(10)]
    np.testing.assert_allclose(rates[:6], 2.0)
    np.testing.assert_allclose(rates[7], 2.0 * (1 - 0.99 * 0.5), rtol=1e-6)
    np.testing.assert_allclose(rates[9], 0.02, rtol=1e-5)


# ---- stopping and carrying on ------------------------------------------------------------


def test_a_stopped_curve_ends_with_the_same_bits(tmp_path):
    model = normed_model()
    whole, *_ = made_trainer(model, augments=True)
    descend(whole, made_plan(40), Run(tmp_path / "whole"), **QUIET)
    first, *_ = made_trainer(model, augments=True)
    run = Run(tmp_path / "parts")
    descend(first, made_plan(20), run, **QUIET)
    run.append_metrics({"kind": "train", "step": 25})  # of a process that was killed at 26
    second, *_ = made_trainer(model, augments=True)
    descend(second, made_plan(40), run, **QUIET)
    for name in whole.bends:
        for ours, theirs in ((second.bends, whole.bends), (second.velocity, whole.velocity)):
            np.testing.assert_array_equal(ours[name].numpy(), theirs[name].numpy())
    logs = [
        [{k: v for k, v in line.items() if "second" not in k} for line in log]
        for log in (run.metrics(), Run(tmp_path / "whole").metrics())
    ]
    assert logs[0] == logs[1] and [line["step"] for line in logs[0]] == [10, 20, 30, 40]
    assert len(list(run.checkpoints.iterdir())) == 2


def test_a_broken_checkpoint_is_named(tmp_path):
    trainer, *_ = made_trainer(normed_model())
    run = Run(tmp_path)
    descend(trainer, made_plan(10), run, **QUIET)
    newest = max(run.checkpoints.iterdir())
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.raises(RunFailed, match=r"step_00000010.npz: cannot be restored .* remove the"):
        descend(trainer, made_plan(20), run, **QUIET)


def test_a_loss_that_is_not_finite_fails(tmp_path):
    trainer, *_ = made_trainer(zoo_model("lenet_300_100")[0], rate=1e20)
    with pytest.raises(RunFailed, match=r"not finite between steps .* lower train.learning_rate"):
        descend(trainer, made_plan(40), Run(tmp_path), **QUIET)


def test_a_killed_curve_ends_with_the_same_bits(tmp_path):
    """SIGKILL in the middle of training, against an undisturbed curve."""
    run, _ = trained(tmp_path, train={"steps": 5})
    environment = {**os.environ, "PYTHONPATH": str(Path(tfsparse.__file__).parents[1])}
    configs = {}
    for name in ("whole", "killed"):
        data = {
            "start": {"run": str(run.path), "at": "start"},
            "end": {"run": str(run.path)},
            "subspace": "dense",
            "train": {"steps": 1500, "batch_size": 16, "log_every": 5, "checkpoint_every": 15},
            "t": [0.0, 0.5, 1.0],
            "images": 100,
            "batch_size": 50,
            "run_dir": str(tmp_path / "paths"),
            "xla": False,
        }
        files.write_json(tmp_path / f"{name}.json", data)
        configs[name] = load_config(tmp_path / f"{name}.json", CurveConfig)
    notes = []
    calling = {"command": ["test"], "note": notes.append, "quiet": True}
    whole, _ = curve(configs["whole"], **calling)

    path = str(tmp_path / "killed.json")
    command = [sys.executable, "-m", "tfsparse.curve", "--quiet", "--config", path]
    killed = Run(tmp_path / "paths" / "killed" / "seed_0")
    process = subprocess.Popen(command, env=environment)
    while process.poll() is None and not _reached(killed.path / "metrics.jsonl", 300):
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    process.wait()
    assert not killed.finished(), "killed too late to show anything"
    last = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert last.returncode == 0, last.stderr

    points = [read_control_points(one.path / "curve.npz") for one in (whole, killed)]
    for first, second in zip(*points, strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    tables = [(one.path / "points.csv").read_text() for one in (whole, killed)]
    assert tables[0] == tables[1]
    assert notes == []
    curve(configs["killed"], **calling)
    assert notes == [f"{killed.path} is finished; its results:"]


def _reached(log, step):
    try:
        lines = log.read_text().splitlines()
        return bool(lines) and json.loads(lines[-1])["step"] >= step
    except (OSError, ValueError):
        return False
