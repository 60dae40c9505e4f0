"""The fast walk finds what a plain evaluation finds, for every model and in every mode."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from made_paths import made_data, normed_model, two_points, zoo_model

from tfsparse import files
from tfsparse.data import InMemoryData
from tfsparse.errors import UserError
from tfsparse.landscape import walk as walk_module
from tfsparse.landscape.batchnorm import pooled
from tfsparse.landscape.curves import bernstein, line, mix
from tfsparse.landscape.images import MemoryImages, check_count
from tfsparse.landscape.walk import Walk
from tfsparse.models import ZOO, get_weights, set_weights
from tfsparse.training.evaluation import evaluate
from tfsparse.training.objective import cross_entropy

ROWS = line([-0.2, 0.0, 0.4, 1.0, 1.2])
CLOSE = {"rtol": 1e-5}


def batches(images: MemoryImages):
    """The batches of a walk, one by one."""
    for first, count, size in images.groups():
        for i in range(count):
            start = tf.constant(first + i * size)
            yield images.batch(images.pixels, images.labels, start, size)


def plain(model, weights, images, *, training, smoothing=0.0):
    """The loss of each image and the accuracy, by assigning weights and calling the model."""
    set_weights(model, weights)
    losses, right = [], []
    for x, y in batches(images):
        logits = model(x, training=training)
        losses.append(cross_entropy(logits, y, smoothing).numpy())
        right.append(np.argmax(logits, 1) == y.numpy())
    return np.concatenate(losses), np.concatenate(right).mean()


def recompute(model, weights, images):
    """`weights` with batch norm's statistics over all images, by plain forward passes."""
    set_weights(model, weights)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    inner = keras.Model(model.input, [x.input for x in norms])
    seen = {layer.name: [] for layer in norms}
    for x, _ in batches(images):
        for layer, value in zip(norms, inner(x, training=True), strict=True):
            flat = np.reshape(value, [-1, value.shape[-1]]).astype(np.float64)
            seen[layer.name].append((len(x), flat.mean(0), flat.var(0)))
    result = dict(weights)
    for name, found in seen.items():
        count, mean, variance = (np.array(column) for column in zip(*found, strict=True))
        count = count[:, None] / count.sum()
        total = (count * mean).sum(0)
        result[f"{name}/moving_mean"] = total.astype(np.float32)
        result[f"{name}/moving_variance"] = (
            ((count * (variance + mean**2)).sum(0)) - total**2
        ).astype(np.float32)
    return result


def clipped(weights):
    return {
        name: np.maximum(value, 0) if name.endswith("variance") else value
        for name, value in weights.items()
    }


@pytest.mark.parametrize("name", ZOO)
def test_the_fast_walk_equals_the_plain_one_for_the_zoo(name):
    model, size, channels = zoo_model(name)
    points = two_points(model)
    images = MemoryImages(made_data(13, size, channels), count=13, batch_size=8)
    walk = Walk(model, points, images, batch_norm="batch")
    found = walk.run(ROWS[[2]])
    losses, accuracy = plain(model, mix(points, ROWS[2]), walk._images, training=True)
    np.testing.assert_allclose(found.losses[0].mean(), losses.mean(), **CLOSE)
    assert found.accuracy[0] == accuracy


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("lenet_300_100", "batch"),
        ("lenet_5", "running"),
        ("normed", "batch"),
        ("normed", "running"),
        ("normed", "recomputed"),
    ],
)
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "xla"])
def test_every_mode(name, compiled, mode):
    size = 8 if name == "normed" else 28
    model = normed_model() if name == "normed" else zoo_model(name)[0]
    points = two_points(model)
    images = MemoryImages(made_data(45, size), count=40, batch_size=16)
    walk = Walk(model, points, images, batch_norm=mode, compiled=compiled)
    found = walk.run(ROWS)
    for place, row in enumerate(ROWS):
        weights = clipped(mix(points, row))
        if mode == "recomputed":
            weights = recompute(model, weights, walk._images)
        losses, accuracy = plain(model, weights, walk._images, training=mode == "batch")
        np.testing.assert_allclose(found.losses[place], losses, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found.cross_entropy[place], losses.mean(), **CLOSE)
        assert found.accuracy[place] == accuracy


@pytest.mark.parametrize("mode", ["batch", "running", "recomputed"])
def test_rows_side_by_side_do_not_disturb_each_other(mode):
    # oneDNN's convolution with bias and skip connection, one kernel, is not reentrant.
    model = normed_model()
    points, rows = two_points(model), line(np.linspace(0, 1, 16))
    images = MemoryImages(made_data(45, 8), count=40, batch_size=16)
    alone = Walk(model, points, images, batch_norm=mode, compiled=False, parallel=1).run(rows)
    walk = Walk(model, points, images, batch_norm=mode, compiled=False, parallel=4)
    for _ in range(25):
        np.testing.assert_allclose(walk.run(rows).losses, alone.losses, rtol=1e-4, atol=1e-5)


def test_a_curve_of_several_points_and_label_smoothing():
    model = normed_model()
    first, last = two_points(model)
    points = [first, *(two_points(model, spread=0.3)[1] for _ in range(2)), last]
    images = MemoryImages(made_data(20, 8), count=20, batch_size=10)
    rows = bernstein(3, [0.0, 0.3, 1.0])
    found = Walk(model, points, images, label_smoothing=0.1).run(rows)
    for place, row in enumerate(rows):
        losses, _ = plain(model, mix(points, row), images, training=True, smoothing=0.1)
        np.testing.assert_allclose(found.losses[place], losses, rtol=1e-5)


def test_the_values_at_both_ends_are_the_networks_own():
    model, size, channels = zoo_model("lenet_5")
    points = two_points(model)
    data = made_data(40, size, channels)
    found = Walk(model, points, MemoryImages(data, count=40, batch_size=40)).run(line([0, 1]))
    for place, weights in enumerate(points):
        set_weights(model, weights)
        own = evaluate(model, data, "train")
        np.testing.assert_allclose(found.cross_entropy[place], own["cross_entropy"], **CLOSE)
        assert found.accuracy[place] == own["accuracy"]


@pytest.mark.parametrize("mode", ["batch", "running", "recomputed"])
def test_a_walk_leaves_the_model_as_it_was(mode):
    model = normed_model()
    points = two_points(model)
    before = get_weights(model)
    images = MemoryImages(made_data(20, 8), count=20, batch_size=10)
    Walk(model, points, images, batch_norm=mode).run(ROWS)
    for name, value in get_weights(model).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "xla"])
def test_every_t_sees_the_same_augmented_images(compiled):
    model, size, channels = zoo_model("lenet_300_100")
    points = two_points(model)
    data = made_data(30, size, channels, augments=True)
    rows = line([0.3, 0.7, 0.3, 0.1])

    def losses(rows, seed=5, augment=True):
        images = MemoryImages(data, count=30, batch_size=10, augment=augment, seed=seed)
        return Walk(model, points, images, compiled=compiled).run(rows).losses

    found = losses(rows)
    # How many rows a product has may change the order of its sums, on some processors.
    same = functools.partial(np.testing.assert_allclose, rtol=1e-6)
    same(found[0], found[2])
    same(losses(rows[[3, 1, 2, 0]]), found[[3, 1, 2, 0]])
    same(losses(rows[[3, 1, 0]]), found[[3, 1, 0]])
    same(losses(rows[:1]), found[:1])
    assert not np.allclose(losses(rows, seed=6), found, rtol=1e-3)
    assert not np.allclose(losses(rows, augment=False), found, rtol=1e-3)


class Scale(keras.layers.Layer):
    """A layer the walk does not know: one weight, times the input."""

    def build(self, shape):
        self.factor = self.add_weight(name="factor", shape=shape[1:], initializer="ones")

    def call(self, inputs):
        return inputs * self.factor


@pytest.mark.parametrize("first", [False, True])
def test_layers_that_are_not_known(first):
    layers = keras.layers
    inputs = keras.Input((4, 4, 1), name="image")
    x = layers.Flatten(name="flatten")(inputs)
    x = Scale(name="scale")(x) if first else x
    x = layers.Dense(5, activation="tanh", name="dense")(x)
    x = x if first else Scale(name="scale")(x)
    model = keras.Model(inputs, layers.Dense(10, name="logits")(layers.Dropout(0.5)(x)))
    points = two_points(model)
    images = MemoryImages(made_data(12, 4), count=12, batch_size=5)
    found = Walk(model, points, images, parallel=8).run(ROWS)
    for place, row in enumerate(ROWS):
        losses, _ = plain(model, mix(points, row), images, training=False)
        np.testing.assert_allclose(found.losses[place], losses, rtol=1e-5)
    before = get_weights(model)
    Walk(model, points, images).run(ROWS)
    np.testing.assert_array_equal(get_weights(model)["scale/factor"], before["scale/factor"])


def test_groups_of_rows_give_the_same_and_are_kept(tmp_path, monkeypatch):
    model, size, channels = zoo_model("lenet_300_100")
    points = two_points(model)
    images = MemoryImages(made_data(20, size, channels), count=20, batch_size=20)
    rows = line(np.linspace(0, 1, 7))
    expected = Walk(model, points, images).run(rows, keep=tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(walk_module, "TABLE_BYTES", 1)
    monkeypatch.setattr(walk_module, "FEW_ROWS", 3)
    ticks = []
    walk = Walk(model, points, images)
    found = walk.run(rows, ticks.append, tmp_path)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-6)
    np.testing.assert_array_equal(found.accuracy, expected.accuracy)
    assert sum(ticks) == walk.passes(len(rows)) == 7
    assert len(list(tmp_path.iterdir())) == 7

    (tmp_path / "rows_0002.npz").unlink()
    path = tmp_path / "rows_0003.npz"
    saved = files.read_npz(path)
    files.write_npz(path, {**saved, "rows": saved["rows"] + 1})
    computed = []
    monkeypatch.setattr(
        Walk, "_part", lambda self, part, tick: computed.append(part) or found_rows(part)
    )

    def found_rows(part):
        place = int(np.flatnonzero((rows == part[0]).all(axis=1))[0])
        return np.stack([found.losses[[place]], 0 * found.losses[[place]]], axis=1)

    again = walk.run(rows, keep=tmp_path)
    np.testing.assert_array_equal(again.losses, found.losses)
    assert [part.tolist() for part in computed] == [rows[[2]].tolist(), rows[[3]].tolist()]


def test_a_plane_keeps_means_only():
    model, size, channels = zoo_model("lenet_300_100")
    images = MemoryImages(made_data(20, size, channels), count=20, batch_size=20)
    points = two_points(model)
    found = Walk(model, points, images, keep_losses=False).run(ROWS)
    expected = Walk(model, points, images).run(ROWS)
    assert found.losses.shape == (5, 0)
    np.testing.assert_array_equal(found.cross_entropy, expected.cross_entropy)


# ---- images ------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "size"), [(45, 16), (40, 40), (41, 40), (7, 1), (30, 7)])
def test_batches_differ_by_one_image_at_most(count, size):
    images = MemoryImages(made_data(45, 4), count=count, batch_size=size, seed=3)
    sizes = [len(y) for _, y in batches(images)]
    assert sum(sizes) == count and len(sizes) == images.batches
    assert max(sizes) <= size and max(sizes) - min(sizes) <= 1


def test_images_are_drawn_once_and_by_the_seed():
    data: InMemoryData = made_data(45, 4)
    pixels = {tuple(image.ravel()) for image in data.train.images}

    def drawn(count, seed):
        return MemoryImages(data, count=count, batch_size=5, seed=seed).pixels.numpy()

    all_images = drawn(None, 0)
    assert {tuple(image.ravel()) for image in all_images} == pixels
    np.testing.assert_array_equal(drawn(10, 0), all_images[:10])
    assert not np.array_equal(drawn(10, 1), all_images[:10])


@pytest.mark.parametrize(
    ("count", "message"),
    [(9, "at least one batch of 10, received 9"), (46, "at most the 45 training images")],
)
def test_counts_that_do_not_fit(count, message):
    with pytest.raises(UserError, match=message):
        check_count(count, 45, 10)


def test_pooled_statistics_are_those_of_all_images():
    values = np.random.default_rng(0).normal(size=(30, 4)) * 3 + 1
    parts = np.split(values, [7, 12])
    means, variances = (np.array([f(part, axis=0) for part in parts]) for f in (np.mean, np.var))
    counts = np.array([len(part) for part in parts], np.float64)
    mean, variance = pooled(means[:, None], variances[:, None], counts)
    np.testing.assert_allclose(mean[0], values.mean(0))
    np.testing.assert_allclose(variance[0], values.var(0))
