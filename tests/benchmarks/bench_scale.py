"""What a strategy costs: a step under `mirrored` with one device against one without a strategy.

    python -m tests.benchmarks.bench_scale

Both run in turns in one process on MNIST-shaped random images, with the same setting of XLA; the
figure is the ratio of the fastest of several repeats.
"""

import time
from collections.abc import Callable

import tensorflow as tf

from tests.benchmarks.bench_training import random_data
from tfsparse.config import RunConfig, check
from tfsparse.config.distribution import DistributionConfig
from tfsparse.methods import prepare
from tfsparse.models import build
from tfsparse.plan import make_plan
from tfsparse.training.run import make_trainer
from tfsparse.training.strategies import make_strategy

BATCH = 128
STEPS = 60
REPEATS = 12
TARGET = 1.05
SETTINGS = {
    "no strategy": DistributionConfig(),
    "mirrored": DistributionConfig(strategy="mirrored", devices=("CPU:0",)),
}
METHODS = {
    "dense": {},
    "pruned": {"pruning": {"final_sparsity": 0.9, "begin_step": 0, "end_step": 0}},
}


def step_of(method: str, model: str, setting: DistributionConfig) -> Callable[[], float]:
    """A function that takes some steps and returns the microseconds of one."""
    data = random_data((28, 28, 1), 20_000)
    config = check(
        {
            "name": "bench",
            "method": method,
            "model": {"name": model},
            "optimizer": {"learning_rate": 0.01, "weight_decay": 1e-4},
            "train": {"steps": 100_000, "batch_size": BATCH, "xla": False},
            **METHODS[method],
        },
        RunConfig,
        "bench",
    )
    plan = make_plan(config.train, len(data.train))
    strategy = make_strategy(setting)
    with strategy.scope():
        network = build(config.model, data.input_shape, 10, seed=0)
        subject = prepare(config, network, plan, None).subject
        trainer = make_trainer(config, subject, plan, data)

    def microseconds() -> float:
        with strategy.scope():
            began = time.perf_counter()
            trainer.run(0, STEPS)
        return (time.perf_counter() - began) / STEPS * 1e6

    microseconds()  # traces
    return microseconds


def measure(method: str, model: str) -> dict[str, float]:
    """The fastest step of each side, in microseconds, and their ratio."""
    sides = {name: step_of(method, model, setting) for name, setting in SETTINGS.items()}
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(REPEATS):
        for name, microseconds in sides.items():
            best[name] = min(best[name], microseconds())
    return {**best, "ratio": best["mirrored"] / best["no strategy"]}


def main() -> None:
    print(f"{'microseconds a step':32}{'no strategy':>12}{'mirrored':>10}{'ratio':>8}")
    for model in ("lenet_5", "lenet_300_100"):
        for method in METHODS:
            found = measure(method, model)
            print(
                f"{model + ' ' + method:32}{found['no strategy']:12.0f}{found['mirrored']:10.0f}"
                f"{found['ratio']:8.3f}",
                flush=True,
            )


def test_overhead(capsys) -> None:
    """Printed, and compared with the target only in words: a busy machine proves nothing."""
    with capsys.disabled():
        print(f"\nTensorFlow {tf.__version__}, target {TARGET}")
        main()


if __name__ == "__main__":
    main()
