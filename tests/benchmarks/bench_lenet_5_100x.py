"""LeNet-5 (20-50-384) with 100 times the neurons: batch, seconds per step and peak memory.

    python -m tests.benchmarks.bench_lenet_5_100x --batch 16 --steps 3

Alford et al. could not train it for lack of memory: conv2 has 250 million places and dense1 9.4
billion, 37 GB of float32 before mask, gradient or optimizer. With as many connections as the
ordinary LeNet-5 both hold 25,000 and 940,800 weights, and nothing larger than the activations is
ever made. The first and the last layer are dense, as in the paper.
"""

import argparse
import os
import time

from tests.benchmarks.bench_radix import peak_mib


def large_lenet_5(times: int):
    """784-(20, 50, 384) x `times`-10 with the connections of the ordinary net."""
    import tf_keras as keras

    from tfsparse.sparsity.compact_conv import CompactConv2D
    from tfsparse.sparsity.compact_dense import CompactDense
    from tfsparse.sparsity.connections import random_connections

    layers = keras.layers
    first, second, hidden = 20 * times, 50 * times, 384 * times
    sparsity = 1.0 - 1.0 / times**2  # as many connections, `times` the neurons on both sides
    conv2 = random_connections((5, 5, first, second), sparsity, 1)
    dense1 = random_connections((7 * 7 * second, hidden), sparsity, 2)
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(first, 5, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            CompactConv2D(conv2, (5, 5), activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            CompactDense(dense1, activation="relu", name="dense1"),
            layers.Dense(10, name="logits"),
        ]
    )


def measure(batch: int, steps: int, times: int) -> dict[str, float]:
    """Train `steps` steps on fixed random images with plain SGD, as the paper did."""
    import tensorflow as tf
    import tf_keras as keras

    images = tf.random.stateless_uniform((batch, 28, 28, 1), (0, 1))
    labels = tf.random.stateless_uniform((batch,), (0, 2), 0, 10, tf.int32)
    model = large_lenet_5(times)
    optimizer = keras.optimizers.SGD(0.05, jit_compile=False)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(loss)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    losses, seconds = [float(step())], []
    for _ in range(steps):
        start = time.perf_counter()
        losses.append(float(step()))
        seconds.append(time.perf_counter() - start)
    return {
        "batch": batch,
        "trained_weights": sum(v.shape.num_elements() for v in model.trainable_variables),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "seconds_per_step": min(seconds),
        "peak_gib": peak_mib() / 1024,
    }


def test_the_smaller_sister_trains():
    """Ten times the neurons, so that the script itself stays sound; no time is checked."""
    result = measure(batch=8, steps=4, times=10)
    assert result["last_loss"] < result["first_loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--times", type=int, default=100, help="times the neurons")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, value in measure(arguments.batch, arguments.steps, arguments.times).items():
        print(f"{name:18}{value:14,.3f}")


if __name__ == "__main__":
    main()
