"""Drop and grow within training: what RigL grows, what new connections start with, counts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small import small_config, trained

from tfsparse.data import load_data
from tfsparse.landscape.images import make_images
from tfsparse.methods import init_seed, prepare
from tfsparse.models import build
from tfsparse.plan import make_plan
from tfsparse.sparsity.at_init import masks_at_init
from tfsparse.sparsity.mask_facts import mask_hash
from tfsparse.training.feeds import StreamFeed
from tfsparse.training.run import first_batch, make_trainer
from tfsparse.training.trainer import Trainer

SMALL = {"data": {"image_size": 8}, "model": {"name": "lenet_300_100", "width": 0.1}}


def made(folder: Path, method: str, optimizer: dict | None = None, **growth) -> Trainer:
    """A trainer of a small network at 80%, before its first step."""
    config = small_config(
        folder, method=method, mask={"sparsity": 0.8, "rules": []},
        growth={"frequency": 10, "end_step": 1.0, **growth},
        optimizer=optimizer or {"learning_rate": 0.05}, **SMALL,
    )  # fmt: skip
    data = load_data(config.data, seed=0)
    plan = make_plan(config.train, data.num_train)
    model = build(config.model, data.input_shape, data.num_classes, seed=init_seed(config))
    subject = prepare(config, model, plan, lambda: (tf.zeros(0), tf.zeros(0))).subject
    return make_trainer(config, subject, plan, data)


def planted(trainer: Trainer, place: int = 27) -> int:
    """Give an input in the middle of the image no connection and a huge gradient.

    What the model is fed there is made 1000 times as large, and with it dL/dw of all connections
    that this input could have.
    """
    mask, kernel = trainer.subject.masks["dense1"], trainer.subject.model.get_layer("dense1").kernel
    rows = tf.cast(tf.range(mask.shape[0]) != place, tf.float32)[:, None]
    mask.assign(mask * rows)
    kernel.assign(kernel * rows)
    size = round(mask.shape[0] ** 0.5)
    scale = np.ones((size, size, 1), np.float32)
    scale.reshape(-1)[place] = 1000.0
    prepare_batch = trainer.feed.prepare
    trainer.feed.prepare = lambda images, step: prepare_batch(images, step) * scale
    return place


@pytest.mark.parametrize(("method", "grows"), [("rigl", True), ("rigl_inverted", False)])
def test_rigl_grows_a_huge_gradient_first_and_its_inverse_does_not(tmp_path, method, grows):
    trainer = made(tmp_path, method)
    place = planted(trainer)
    before = trainer.subject.masks["dense1"].numpy()
    change = trainer.update_masks(0)
    after = trainer.subject.masks["dense1"].numpy()
    assert change["grown"] == change["dropped"] > 0
    assert not before[place].any() and after.sum() == before.sum()
    gradients = np.abs(trainer.dense_gradients(0)["dense1"].numpy())
    alive = gradients[place] > np.delete(gradients, place, axis=0).max()  # not a dead neuron
    assert alive.sum() > 5
    assert (after[place][alive] == grows).all()


@pytest.mark.parametrize("method", ["set", "rigl", "snfs"])
@pytest.mark.parametrize("optimizer", [{"momentum": 0.9}, {"name": "adam"}])
def test_new_connections_start_at_zero_without_memory(tmp_path, method, optimizer):
    trainer = made(tmp_path, method, {"learning_rate": 0.02, **optimizer})
    trainer.run(0, 10)
    before = {name: mask.numpy() for name, mask in trainer.subject.masks.items()}
    trainer.update_masks(10)
    for name, mask in trainer.subject.masks.items():
        new = (mask.numpy() == 1) & (before[name] == 0)
        gone = (mask.numpy() == 0) & (before[name] == 1)
        kernel = trainer.subject.model.get_layer(name).kernel.numpy()
        assert new.sum() == gone.sum()
        for values in (kernel, *(slot.numpy() for slot in trainer.slots[name])):
            assert not values[new].any() and not values[mask.numpy() == 0].any()
        if new.any():
            assert kernel[mask.numpy() == 1].any()
    trainer.run(10, 10)
    for name, mask in trainer.subject.masks.items():
        kernel = trainer.subject.model.get_layer(name).kernel.numpy()
        assert not kernel[mask.numpy() == 0].any()  # momentum moves nothing that is gone


@pytest.mark.parametrize("method", ["set", "rigl", "rigl_inverted", "snfs"])
def test_counts_stay_through_training(tmp_path, method):
    trainer = made(tmp_path, method, drop_schedule="constant")
    counts = {name: int(mask.numpy().sum()) for name, mask in trainer.subject.masks.items()}
    for step in range(0, 30, 2):
        trainer.run(step, 2)
        trainer.update_masks(step + 2)
        now = {name: int(mask.numpy().sum()) for name, mask in trainer.subject.masks.items()}
        assert now == counts


def test_an_update_can_take_the_place_of_the_step(tmp_path):
    """Of 40 steps at rate 0.05, updates at 0, 10, 20 and 30 take one each."""
    train = {"steps": 40, "checkpoint_every": 20, "log_every": 40}
    runs = {}
    for replace in (False, True):
        runs[replace], summary = trained(
            tmp_path, f"replace_{replace}", method="rigl", mask={"sparsity": 0.8, "rules": []},
            growth={"frequency": 10, "end_step": 39, "replace_step": replace}, train=train, **SMALL,
        )  # fmt: skip
        assert summary["steps"] == 40
    kept, replaced = (runs[value].final_weights()["dense1/kernel"] for value in (False, True))
    assert not np.array_equal(kept, replaced)
    updates = [line["step"] for line in runs[True].metrics() if line["kind"] == "mask_update"]
    assert updates == [0, 10, 20, 30]


PROGRAM = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from small import trained
run, summary = trained(Path(sys.argv[2]), method="set", mask={"sparsity": 0.8, "rules": []},
    growth={"frequency": 10, "end_step": 20}, train={"steps": 20},
    data={"image_size": 8}, model={"name": "lenet_300_100", "width": 0.1})
print(summary["mask_hash"])
"""


def test_masks_are_the_same_in_another_process(tmp_path):
    run, summary = trained(
        tmp_path / "here", method="set", mask={"sparsity": 0.8, "rules": []},
        growth={"frequency": 10, "end_step": 20}, train={"steps": 20}, **SMALL,
    )  # fmt: skip
    there = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(Path(__file__).parent), str(tmp_path / "there")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert there.stdout.split()[-1] == summary["mask_hash"] == mask_hash(run.masks())


def labels_of(feed, total: int, peeks=(), passed=()) -> list[list[int]]:
    """The labels of each step's batch as training draws them."""
    found = []
    for step in range(total):
        if step in peeks:
            feed.peek(step)
            feed.peek(step)
        if step in passed:
            feed.pass_over(step)
            continue
        (iterator,) = feed.start(step)
        batch = feed.take_held() or next(iterator)
        found.append(batch[1].numpy().tolist())
    return found


def test_looking_at_a_streamed_batch_does_not_use_it_up(tmp_path):
    """Over two epochs, with looks at their first, a middle and their last batch."""
    config = small_config(tmp_path, data={"stream": True}, train={"batch_size": 256})
    data = load_data(config.data, seed=0)
    plan = make_plan(config.train, data.num_train)
    per_epoch = plan.steps_per_epoch

    def feed() -> StreamFeed:
        return StreamFeed(data, plan, seed=0)

    plain = labels_of(feed(), 2 * per_epoch)
    peeks = {0, 2, per_epoch - 1, per_epoch, 2 * per_epoch - 1}
    assert labels_of(feed(), 2 * per_epoch, peeks) == plain
    assert labels_of(feed(), 2 * per_epoch, peeks, passed={2}) == plain[:2] + plain[3:]


def test_a_streamed_step_sees_the_numbers_of_one_from_memory(tmp_path):
    """Pixels of a stream are standardised in the step; in memory they stay uint8 until then."""
    batches = []
    for stream in (False, True):
        config = small_config(
            tmp_path, data={"stream": stream, "shuffle": False, "validation_fraction": 0.0}
        )
        data = load_data(config.data, seed=0)
        batches.append(first_batch(config, make_plan(config.train, data.num_train), data))
    (images, labels), (streamed, same) = batches
    assert np.array_equal(labels, same)
    # Mean and deviation of a streamed set are those of its first images alone.
    assert streamed.numpy() == pytest.approx(images.numpy(), abs=0.01)
    path = make_images(data, count=32, batch_size=32, augment=True, seed=0)  # the streamed set
    on_the_path, _ = next(iter(path))
    assert on_the_path.numpy() == pytest.approx(streamed.numpy(), abs=1e-6)


def test_rigl_trains_on_streamed_images(tmp_path):
    run, summary = trained(
        tmp_path, method="rigl", mask={"sparsity": 0.8, "rules": []},
        growth={"frequency": 10, "end_step": 50}, train={"steps": 80},
        data={"image_size": 8, "stream": True}, model=SMALL["model"],
    )  # fmt: skip
    assert summary["steps"] == 80
    assert any(line["grown"] for line in run.metrics() if line["kind"] == "mask_update")


@pytest.mark.parametrize("algorithm", ["snip", "grasp"])
def test_scores_at_initialisation_leave_running_averages_alone(algorithm):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="d"),
                              keras.layers.BatchNormalization(name="n"),
                              keras.layers.Dense(2, name="logits")])  # fmt: skip
    images = 5.0 + tf.random.stateless_normal((8, 3), (1, 2))
    masks_at_init(algorithm, model, images, tf.range(8) % 2, 0.5)
    norm = model.get_layer("n")
    assert not norm.moving_mean.numpy().any() and (norm.moving_variance.numpy() == 1).all()
