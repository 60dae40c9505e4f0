"""What RigL and an exact Hessian cost: ratios within one run, so that a busy machine matters less.

    python tests/benchmarks/bench_gradient_flow.py rigl
    python tests/benchmarks/bench_gradient_flow.py hessian

rigl: seconds per step of RigL at an update interval of 100 against the masked static network of
the same mask, both LeNet-5 at 95% and batch 128, in turns. hessian: LeNet-5 at 95% on 1,000
images, by batched products against a product per row.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfsparse.analysis.hessian import exact_hessian
from tfsparse.analysis.products import Products
from tfsparse.config import ModelConfig, RunConfig, check
from tfsparse.data import load_data
from tfsparse.methods import init_seed, prepare
from tfsparse.models import build, kernel_shapes, maskable_layers
from tfsparse.plan import make_plan
from tfsparse.sparsity.masks import kept_count
from tfsparse.training.run import make_trainer
from tfsparse.training.trainer import Trainer

STEPS = 500
FREQUENCY = 100


def trainer(folder: Path, method: str) -> Trainer:
    """LeNet-5 on the embedded digits at MNIST's size, 95% sparse."""
    config = check(
        {
            "name": method,
            "method": method,
            "run_dir": str(folder),
            "model": {"name": "lenet_5"},
            "data": {"name": "digits", "image_size": 28},
            "optimizer": {"learning_rate": 0.01},
            "train": {"steps": 10 * STEPS, "batch_size": 128},
            "mask": {"sparsity": 0.95, "rules": []},
            **({"growth": {"frequency": FREQUENCY, "end_step": 1.0}} if method == "rigl" else {}),
        },
        RunConfig,
        "benchmark",
    )
    data = load_data(config.data, seed=0)
    plan = make_plan(config.train, data.num_train)
    model = build(config.model, data.input_shape, data.num_classes, seed=init_seed(config))
    subject = prepare(config, model, plan, lambda: None).subject
    return make_trainer(config, subject, plan, data)


def stretch(made: Trainer, start: int, per_epoch: int) -> float:
    """Seconds per step of STEPS steps, with mask updates where the subject has any."""
    began, step = time.perf_counter(), start
    updates = made.subject.updates.steps() if made.subject.updates else frozenset()
    while step < start + STEPS:
        if step in updates:
            made.update_masks(step)
        end = min((step // per_epoch + 1) * per_epoch, (step // FREQUENCY + 1) * FREQUENCY)
        made.run(step, end - step)
        step = end
    return (time.perf_counter() - began) / (step - start)


def rigl(rounds: int = 5) -> None:
    """Print the ratio of RigL's time per step to that of the static mask."""
    with tempfile.TemporaryDirectory() as folder:
        made = {name: trainer(Path(folder), name) for name in ("random", "rigl")}
    per_epoch = made["rigl"].feed._plan.steps_per_epoch
    for each in made.values():
        stretch(each, 0, per_epoch)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    for turn in range(1, rounds + 1):
        for name, each in made.items():
            seconds[name].append(stretch(each, turn * STEPS, per_epoch))
    for name, values in seconds.items():
        print(f"{name:8s} {1e3 * min(values):.3f} ms per step (best of {rounds})")
    # Turns lie close together in time, so their ratio hardly sees how busy the machine is.
    ratios = np.divide(seconds["rigl"], seconds["random"])
    print(f"RigL / static mask: median of turns {np.median(ratios):.3f}, from {ratios.min():.3f} "
          f"to {ratios.max():.3f} (at most 1.15)")  # fmt: skip


def hessian(images: int = 1000, rows: int = 24) -> None:
    """Print how long the exact Hessian takes, and a product per row."""
    model = build(ModelConfig(name="lenet_5"), (28, 28, 1), 10, seed=0)
    generator, masks = np.random.default_rng(0), {}
    for name, shape in kernel_shapes(model).items():
        size = int(np.prod(shape))
        places = generator.permutation(size) < kept_count(size, 0.95)
        masks[name] = places.reshape(shape).astype(np.uint8)
    for layer in maskable_layers(model):
        layer.kernel.assign(layer.kernel * masks[layer.name])
    data = tf.random.stateless_normal((images, 28, 28, 1), (0, 1)), tf.range(images) % 10
    products = Products(model, masks, *data)
    unit = np.eye(1, products.dimensions)[0]
    products(unit)
    began = time.perf_counter()
    for _ in range(rows):
        products(unit)
    by_row = (time.perf_counter() - began) / rows * products.dimensions
    began = time.perf_counter()
    result = exact_hessian(model, masks, *data)
    batched = time.perf_counter() - began
    print(f"{products.dimensions} coordinates, {images} images")
    print(f"batched    {batched:.1f} s with tracing; asymmetry {result.asymmetry:.1e}, "
          f"product error {result.product_error:.1e}")  # fmt: skip
    print(f"row by row {by_row:.1f} s (from {rows} rows); {by_row / batched:.1f} times as long")
    began = time.perf_counter()
    result.eigenvalues()
    print(f"eigenvalues {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    {"rigl": rigl, "hessian": hessian}[sys.argv[1]]()
