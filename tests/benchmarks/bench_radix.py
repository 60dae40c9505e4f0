"""RadixDense and CompactDense against the masked dense layer, as ratios in one run.

    python -m tests.benchmarks.bench_radix            # the table (about three minutes)
    python -m tests.benchmarks.bench_radix --quick    # without the large layer and LeNet

Times are the fastest of several repeats of forward + backward at batch 128, taken in turns so
that a disturbance of the machine meets both sides. Nothing here passes or fails by the clock.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

BATCH = 128
HIDDEN = 30_000


def fastest(functions: dict[str, Callable[[], object]], repeats: int = 12) -> dict[str, float]:
    """The least milliseconds of each function; one warm-up, then all in turns."""
    for function in functions.values():
        function()
    best = dict.fromkeys(functions, float("inf"))
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
    return best


def step_of(layer, *, jit: bool) -> Callable[[], object]:
    """Forward and backward of one layer on fixed random numbers, weights and inputs both."""
    import tensorflow as tf

    inputs = tf.random.stateless_normal((BATCH, layer.input_width), (0, 1))
    outer = tf.random.stateless_normal((BATCH, layer.units), (0, 2))

    @tf.function(jit_compile=jit, autograph=False)
    def step():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        return tape.gradient(outputs, [inputs, layer.kernel], outer)

    return lambda: [tensor.numpy().flat[0] for tensor in step()]


def compare(name: str, compact, repeats: int) -> str:
    """One row of the table: a compact layer and its masked dense twin, plain and compiled."""
    compact.build((None, compact.dense_shape[0]))
    twin = compact.to_masked_dense()
    compact.input_width = twin.input_width = compact.dense_shape[0]
    times = fastest(
        {
            "dense": step_of(twin, jit=False),
            "ours": step_of(compact, jit=False),
            "dense xla": step_of(twin, jit=True),
            "ours xla": step_of(compact, jit=True),
        },
        repeats,
    )
    plain, compiled = times["dense"] / times["ours"], times["dense xla"] / times["ours xla"]
    numbers = " ".join(f"{value:9.2f}" for value in times.values())
    return f"{name:34}{numbers}   {plain:5.1f}x {compiled:5.1f}x"


def layer_table(*, quick: bool) -> list[str]:
    """RadixDense and CompactDense against masked dense, a line per layer."""
    from tfsparse.sparsity.compact_dense import CompactDense
    from tfsparse.sparsity.connections import random_connections
    from tfsparse.sparsity.radix_dense import RadixDense
    from tfsparse.sparsity.topologies import RadixLayer

    cases = {
        "radix 800x300, place 1": RadixDense(RadixLayer(100, 10, 1, 8, 3)),
        "radix 800x3000, place 1": RadixDense(RadixLayer(100, 10, 1, 8, 30)),
        "radix 784x3000, place 1": RadixDense(RadixLayer(100, 10, 1, 8, 30, trimmed=16)),
        "radix 800x3000, place 10": RadixDense(RadixLayer(100, 10, 10, 8, 30)),
        "radix 800x3000, 75% sparse": RadixDense(RadixLayer(100, 25, 1, 8, 30)),
        "random 784x3000, 97% sparse": CompactDense(random_connections((784, 3000), 0.97, 0)),
    }
    if not quick:
        cases["random 784x30000, 99% sparse"] = CompactDense(
            random_connections((784, HIDDEN), 0.99, 0)
        )
        cases["radix 8000x8000, place 1"] = RadixDense(RadixLayer(100, 10, 1, 80, 80))
        cases["radix 8000x8000, place 10"] = RadixDense(RadixLayer(100, 10, 10, 80, 80))
    head = " ".join(f"{name:>9}" for name in ("dense", "ours", "dense xla", "ours xla"))
    rows = [f"{'milliseconds, batch 128':34}{head}   ratio  ratio xla"]
    while cases:  # each layer is freed before the next is built
        name = next(iter(cases))
        repeats = 12 if "000x8000" in name or "30000" in name else 60
        rows.append(compare(name, cases.pop(name), repeats))
        print(rows[-1], flush=True)
    return rows


def lenet_step(kind: str) -> tuple[float, float, float]:
    """Train 784-30000-100-10, 99% sparse: (ms per step, peak MiB, MiB before the model).

    Only the first two kernels are sparse; SGD with momentum, so that slots count.
    """
    import tensorflow as tf
    import tf_keras as keras

    from tfsparse.sparsity.compact_dense import CompactDense
    from tfsparse.sparsity.connections import random_connections

    images = tf.random.stateless_normal((BATCH, 784), (0, 1))
    labels = tf.random.stateless_uniform((BATCH,), (0, 2), 0, 10, tf.int32)
    tf.matmul(images, images, transpose_b=True)  # thread pools and their buffers
    before = peak_mib()
    layers = []
    for shape, seed in (((784, HIDDEN), 0), ((HIDDEN, 100), 1)):
        layer = CompactDense(random_connections(shape, 0.99, seed), activation="relu")
        layer.build((None, shape[0]))
        layers.append(layer if kind == "compact" else layer.to_masked_dense())
    inputs = keras.Input((784,))
    model = keras.Model(inputs, keras.layers.Dense(10)(layers[1](layers[0](inputs))))
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, jit_compile=False)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return tf.reduce_mean(loss)

    milliseconds = fastest({"step": lambda: step().numpy()}, 8)["step"]
    return milliseconds, peak_mib(), before


def peak_mib() -> float:
    """The largest memory this process ever held, MiB."""
    try:
        # getrusage would also count what the process that started this one once held.
        with open("/proc/self/status") as status:
            peak = next(line for line in status if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def lenet_table() -> list[str]:
    """Both kinds, each in a process of its own: a peak is never forgotten by a process."""
    rows = [f"{'784-30000-100-10, 99% sparse':34}  ms/step  peak MiB  of which the model's"]
    for kind in ("masked", "compact"):
        command = [sys.executable, "-m", "tests.benchmarks.bench_radix", "--lenet", kind]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        milliseconds, peak, before = map(float, result.stdout.split())
        rows.append(f"{kind:34}{milliseconds:9.1f}{peak:10.0f}{peak - before:12.0f}")
        print(rows[-1], flush=True)
    return rows


def test_the_small_layers_are_measured():
    """The table is printed; only its being made is checked, never a time."""
    rows = layer_table(quick=True)
    assert len(rows) == 7 and all("x" in row for row in rows[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only the small layers")
    parser.add_argument("--lenet", choices=("masked", "compact"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if arguments.lenet:
        print(*lenet_step(arguments.lenet))
        return
    rows = layer_table(quick=arguments.quick)
    if not arguments.quick:
        rows += ["", *lenet_table()]
    print("\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
