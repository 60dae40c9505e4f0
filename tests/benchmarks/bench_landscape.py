"""How fast paths are walked and curves trained, against what public code does.

    python tests/benchmarks/bench_landscape.py [lenet_300_100] [lenet_5] [resnet_20] [curve]

Each line is one comparison within this process; only the ratios mean anything on a shared machine.
Both sides are measured again after a first call, which traces and compiles.

Targets, on 60,000 images of MNIST's shape in float32: a point at least 12 times as fast as the
eager loop on LeNet-300-100 and 4 times on LeNet-5; at least 1.1 times as fast as `model.evaluate`
on ResNet-20; a curve's step at most 1.2 times as long as a plain training step. Every walk's mean
losses must agree with the other side's to 1e-5.
"""

import sys
import time

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.config import ModelConfig
from tfsparse.data import Examples, InMemoryData
from tfsparse.data.preprocessing import Preprocessing, Statistics
from tfsparse.landscape.curves import line, mix, on_the_line
from tfsparse.landscape.images import MemoryImages
from tfsparse.landscape.optimise import CurveTrainer, Descent
from tfsparse.landscape.walk import Walk
from tfsparse.models import build, get_weights, set_weights
from tfsparse.plan import Plan
from tfsparse.sparsity.subject import Subject
from tfsparse.training.feeds import MemoryFeed
from tfsparse.training.trainer import Trainer, xla_by_default

POINTS = 71
BATCH = 1000


def made(count: int, size: int, channels: int) -> InMemoryData:
    """Noise with labels."""
    rng = np.random.default_rng(0)
    shape = (size, size, channels)
    examples = Examples(
        rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        rng.integers(0, 10, count).astype(np.int32),
    )
    statistics = Statistics((0.5,) * channels, (0.25,) * channels, "made")
    few = Examples(examples.images[:10], examples.labels[:10])
    return InMemoryData(
        "made", "1", examples, few, few, 10, Preprocessing(shape, shape, statistics)
    )


def two_ends(model: keras.Model) -> list[dict[str, np.ndarray]]:
    """The model's weights, and others nearby."""
    rng = np.random.default_rng(1)
    first = get_weights(model)
    last = {
        name: (value + np.abs(rng.normal(0, 0.02, value.shape))).astype(np.float32)
        for name, value in first.items()
    }
    return [first, last]


def best(work, repeats: int = 3) -> tuple[float, object]:
    """The shortest of a few times, in seconds, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def eager_point(model: keras.Model, weights, data: InMemoryData) -> float:
    """One point as public code finds it: assign, loop over batches in Python, Keras metrics."""
    set_weights(model, weights)
    loss = keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    for start in range(0, len(data.train), BATCH):
        images = data.preprocess(tf.constant(data.train.images[start : start + BATCH]))
        labels = data.train.labels[start : start + BATCH]
        logits = model(images, training=False)
        loss.update_state(labels, logits)
        accuracy.update_state(labels, logits)
    return float(loss.result())


def report(name: str, ours: float, other: str, theirs: float, target: str) -> None:
    """One line of the table."""
    print(
        f"{name:28} {ours:9.4f} s   {other:22} {theirs:9.4f} s   "
        f"{theirs / ours:6.2f} times as fast (target {target})",
        flush=True,
    )


def check(found: float, expected: float) -> None:
    """Stop where a walk is fast but wrong."""
    assert abs(found - expected) <= 1e-5 * abs(expected), (found, expected)


def walk_against_eager(name: str, target: str, count: int = 60_000) -> None:
    """A whole walk of 71 points against the eager loop, per point."""
    data = made(count, 28, 1)
    model = build(ModelConfig(name=name), data.input_shape, 10, seed=0)
    points, t = two_ends(model), np.linspace(-0.2, 1.2, POINTS)
    rows, middle = line(t), POINTS // 2
    weights = mix(points, rows[middle])
    eager_point(model, weights, data)
    images = MemoryImages(data, count=None, batch_size=BATCH)
    eager_first, expected = best(lambda: eager_point(model, weights, data))
    walk = Walk(model, points, images)
    first, walked = best(lambda: walk.run(rows), 1)
    again, _ = best(lambda: walk.run(rows))
    eager_last, _ = best(lambda: eager_point(model, weights, data))
    check(walked.cross_entropy[middle], expected)
    eager = min(eager_first, eager_last)
    report(f"{name}, with compiling", first / POINTS, "eager loop", eager, "-")
    report(f"{name}, per point", again / POINTS, "eager loop", eager, target)


def walk_against_evaluate(count: int = 4_000, points: int = 8) -> None:
    """ResNet-20 with running averages against `model.evaluate` on inputs made before."""
    data = made(count, 32, 3)
    model = build(ModelConfig(name="resnet_20"), data.input_shape, 10, seed=0)
    ends, rows = two_ends(model), line(np.linspace(0, 1, points))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inputs = data.preprocess(tf.constant(data.train.images)).numpy()
    labels = data.train.labels
    images = MemoryImages(data, count=None, batch_size=BATCH)
    set_weights(model, mix(ends, rows[2]))
    times, walks = {}, []
    walk = Walk(model, ends, images, batch_norm="running")
    walk.run(rows)
    for _ in range(2):
        for batch in (32, 128, BATCH):
            seconds, expected = best(
                lambda batch=batch: model.evaluate(inputs, labels, batch_size=batch, verbose=0), 2
            )
            times[batch] = min(times.get(batch, seconds), seconds)
        seconds, walked = best(lambda: walk.run(rows), 1)
        walks.append(seconds / points)
    check(walked.cross_entropy[2], expected)
    for batch, seconds in times.items():
        report("resnet_20, per point", min(walks), f"evaluate, batch {batch}", seconds, "1.1")


def curve_against_training(name: str, batch: int = 128, steps: int = 400) -> None:
    """Steps of a quadratic curve against steps of plain training."""
    size, channels = (28, 1) if name.startswith("lenet") else (32, 3)
    steps = steps if name.startswith("lenet") else 10
    data = made(batch * steps, size, channels)
    plan = Plan(steps, steps, batch, steps, None, steps, (), None)
    model = build(ModelConfig(name=name), data.input_shape, 10, seed=0)
    ends, xla = two_ends(model), xla_by_default(model)
    feed = MemoryFeed(data, plan, seed=0, shuffle=True)
    curve = CurveTrainer(
        model, [ends[0], *on_the_line(*ends, 2), ends[1]], chain=False, masks={}, feed=feed,
        batch_size=batch, descent=Descent(learning_rate=1e-4), seed=0, xla=xla,
    )  # fmt: skip
    other = build(ModelConfig(name=name), data.input_shape, 10, seed=0)
    optimizer = keras.optimizers.SGD(1e-4, momentum=0.9, jit_compile=False)
    plain = Trainer(
        Subject(other, lambda: other, {}), optimizer, feed, batch_size=batch, weight_decay=1e-4,
        xla=xla,
    )  # fmt: skip
    times = {"curve": [], "plain": []}
    for _ in range(4):
        for key, trainer in (("curve", curve), ("plain", plain)):
            start = time.perf_counter()
            trainer.run(0, steps)
            times[key].append(time.perf_counter() - start)
    ours, theirs = (min(times[key][1:]) / steps for key in ("curve", "plain"))
    print(
        f"{name + ', curve step':28} {ours:9.5f} s   {'plain step':22} {theirs:9.5f} s   "
        f"{ours / theirs:6.2f} times as long (target at most 1.2)",
        flush=True,
    )


def main(chosen: list[str]) -> None:
    """Print the table."""
    everything = ["lenet_300_100", "lenet_5", "resnet_20", "curve"]
    unknown = set(chosen) - set(everything)
    if unknown:
        print(f"error: expected {', '.join(everything)}, received {', '.join(unknown)}",
              file=sys.stderr)  # fmt: skip
        raise SystemExit(2)
    for name in chosen or everything:
        if name == "lenet_300_100":
            walk_against_eager(name, "12")
        elif name == "lenet_5":
            walk_against_eager(name, "4")
        elif name == "resnet_20":
            walk_against_evaluate()
        else:
            for model in ("lenet_300_100", "lenet_5", "resnet_20"):
                curve_against_training(model)


if __name__ == "__main__":
    main(sys.argv[1:])
