"""How long the sparse initial kernels of a ResNet-50 take, against drawing its plain noise.

    python tests/benchmarks/bench_initializers.py

Prints seconds and ratios of one process; the target is a ResNet-50 in under a second.
"""

import time

import numpy as np

from tfsparse.sparsity.initial_kernels import sparse_initial_weights
from tfsparse.sparsity.masks import random_mask

SETTINGS = (("fan_in", "normal"), ("fan_avg", "normal"), ("fan_in", "uniform"))


def resnet_50_shapes() -> dict[str, tuple[int, ...]]:
    """The 53 convolutions and the last layer: 25.5 million weights."""
    shapes: dict[str, tuple[int, ...]] = {"conv1": (7, 7, 3, 64)}
    channels = 64
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], start=1):
        for block in range(1, blocks + 1):
            name = f"stage{stage}_block{block}"
            shapes[f"{name}_conv1"] = (1, 1, channels, width)
            shapes[f"{name}_conv2"] = (3, 3, width, width)
            shapes[f"{name}_conv3"] = (1, 1, width, 4 * width)
            if block == 1:
                shapes[f"{name}_shortcut"] = (1, 1, channels, 4 * width)
            channels = 4 * width
    return {**shapes, "logits": (2048, 1000)}


def best(work, repeats: int = 3) -> float:
    """The shortest of a few times, in seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def per_neuron_loop(masks: dict[str, np.ndarray]) -> None:
    """One neuron after the other; it draws the kept weights only, so its time falls with them."""
    rng = np.random.default_rng(0)
    for mask in masks.values():
        kernel = np.zeros(mask.shape, np.float32)
        for neuron in range(mask.shape[-1]):
            ones = mask[..., neuron] != 0
            fan = np.count_nonzero(ones)
            kernel[..., neuron][ones] = rng.normal(0, np.sqrt(2 / max(1, fan)), fan)


def main() -> None:
    """Print the table."""
    shapes = resnet_50_shapes()
    masks = {name: random_mask(shape, 0.9, i) for i, (name, shape) in enumerate(shapes.items())}
    weights = {f"{name}/kernel": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    rng = np.random.default_rng(0)
    size = sum(mask.size for mask in masks.values())

    noise = best(lambda: [rng.standard_normal(s, dtype=np.float32) for s in shapes.values()])
    loop = best(lambda: per_neuron_loop(masks), repeats=1)
    print(f"ResNet-50, {size:,} weights, 90% sparse; plain noise {noise:.3f} s")
    print(f"{'kind':12} {'mode':8} {'noise':8} {'seconds':>8} {'/ plain noise':>14}")
    for kind in ("per_neuron", "per_layer", "dense"):
        for mode, distribution in SETTINGS:
            seconds = best(
                lambda kind=kind, mode=mode, distribution=distribution: sparse_initial_weights(
                    weights, masks, seed=0, kind=kind, mode=mode, distribution=distribution
                )
            )
            print(f"{kind:12} {mode:8} {distribution:8} {seconds:8.3f} {seconds / noise:14.2f}")
    print(f"{'neuron by neuron':30} {loop:8.3f} {loop / noise:14.2f}")


if __name__ == "__main__":
    main()
