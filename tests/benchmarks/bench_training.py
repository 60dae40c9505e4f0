"""Our training loop against plain `model.fit`, and sparse steps against dense ones.

    python -m tests.benchmarks.bench_training

Each pair runs in turns in one process on MNIST-shaped random images, so that a disturbance of the
machine meets both sides; the figure is the fastest of several repeats. Nothing here passes or
fails by the clock.
"""

import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.config import ModelConfig, RunConfig, check
from tfsparse.data import Examples, InMemoryData
from tfsparse.data.preprocessing import Preprocessing, Statistics
from tfsparse.methods import prepare
from tfsparse.models import build
from tfsparse.plan import make_plan
from tfsparse.training.run import make_trainer

BATCH = 128
SHAPES = {"lenet_300_100": (28, 28, 1), "lenet_5": (28, 28, 1), "resnet_20": (32, 32, 3)}
STEPS = {"lenet_300_100": 120, "lenet_5": 30, "resnet_20": 2}
IMAGES = {"lenet_300_100": 60_000, "lenet_5": 60_000, "resnet_20": 2_000}


def random_data(shape: tuple[int, int, int], count: int) -> InMemoryData:
    """Random images in memory, preprocessed as MNIST is."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = rng.integers(0, 10, count).astype(np.int32)
    channels = shape[2]
    statistics = Statistics((0.13,) * channels, (0.31,) * channels, "chosen")
    few = Examples(images[:100], labels[:100])
    return InMemoryData(
        "random",
        "1",
        Examples(images, labels),
        few,
        few,
        10,
        Preprocessing(shape, shape, statistics),
    )


def typical(functions: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """The median of the microseconds per step of each, all in turns: a shared machine's speed
    drifts by more than what is measured here, and short turns meet the same drift."""
    found: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            found[name].append(function())
    return {name: float(np.median(times)) for name, times in found.items()}


def ours(method: str, model: str, data: InMemoryData) -> Callable[[], float]:
    """Our step under a method, in microseconds."""
    sparse = {"pruning": {"final_sparsity": 0.9, "begin_step": 0, "end_step": 0}}
    sections = {
        "dense": {},
        "pruned": sparse,
        "random": {"mask": {"sparsity": 0.9}},
    }
    config = check(
        {
            "name": "bench",
            "method": method,
            "model": {"name": model},
            "optimizer": {"learning_rate": 0.01, "weight_decay": 1e-4},
            "train": {"steps": 100_000, "batch_size": BATCH},
            **sections[method],
        },
        RunConfig,
        "bench",
    )
    plan = make_plan(config.train, len(data.train))
    network = build(config.model, data.input_shape, 10, seed=0)
    trainer = make_trainer(config, prepare(config, network, plan, _none).subject, plan, data)
    if method == "pruned":
        trainer.update_masks(0)
    steps = STEPS[model]
    trainer.run(0, 2)

    def run() -> float:
        start = time.perf_counter()
        trainer.run(0, steps)
        return 1e6 * (time.perf_counter() - start) / steps

    return run


def _none() -> None:
    raise AssertionError("no method here scores at initialisation")


def plain_fit(model: str, data: InMemoryData) -> Callable[[], float]:
    """`model.fit` on a shuffled tf.data pipeline of the same images, in microseconds a step."""
    network = build(ModelConfig(name=model), data.input_shape, 10, seed=0)
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    network.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(True), ["accuracy"])
    steps = STEPS[model]
    images = data.preprocess(tf.constant(data.train.images)).numpy()
    dataset = tf.data.Dataset.from_tensor_slices((images, data.train.labels))
    dataset = dataset.shuffle(10_000).batch(BATCH, drop_remainder=True).repeat().prefetch(2)
    batches = iter(dataset)
    network.fit(batches, steps_per_epoch=2, verbose=0)

    def run() -> float:
        start = time.perf_counter()
        network.fit(batches, steps_per_epoch=steps, verbose=0)
        return 1e6 * (time.perf_counter() - start) / steps

    return run


def table(repeats: int = 25) -> list[str]:
    """A line per network and pair."""
    lines = [f"{'network':15}{'pair':18}{'us a step':>22}{'ratio':>9}   target"]
    for model, shape in SHAPES.items():
        data = random_data(shape, IMAGES[model])
        functions = {name: ours(name, model, data) for name in ("dense", "pruned", "random")}
        if model != "resnet_20":
            functions["fit"] = plain_fit(model, data)
        found = typical(functions, repeats)
        faster = {"lenet_300_100": ">= 1.5", "lenet_5": ">= 1.15"}
        pairs = [("pruned", "dense", "<= 1.15"), ("random", "dense", "<= 1.05")]
        if "fit" in found:
            pairs.insert(0, ("fit", "dense", faster[model]))
        for upper, lower, target in pairs:
            times = f"{found[upper]:,.0f} / {found[lower]:,.0f}"
            name = f"{'masked' if upper == 'random' else upper} / {lower}"
            lines.append(
                f"{model:15}{name:18}{times:>22}{found[upper] / found[lower]:8.2f}x   {target}"
            )
    return lines


def test_training_ratios() -> None:
    """Print the table; `make bench` runs it."""
    print()
    print("\n".join(table()))


if __name__ == "__main__":
    print("\n".join(table()))
