"""How fast ImageNet-shaped records become batches of pixels, beside the bare decoding of the JPEGs.

Both rates are measured in one process on the same cores, in turns. At 0.9 or more the input
pipeline costs no more than the decoding it cannot avoid. Run it by

    python -m tests.benchmarks.bench_input_pipeline
"""

import dataclasses
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from tests.made_sets import Split, write_set
from tfsparse.config import DataConfig
from tfsparse.data import StreamedData, load_data

BATCH = 32
TARGET = 0.9


def imagenet_shaped(count: int) -> Split:
    """JPEG images of ImageNet's usual 500x375 pixels and about its 110 KB."""
    random = np.random.RandomState(0)
    examples = []
    for index in range(count):
        coarse = random.randint(0, 256, (24, 32, 3)).astype(np.float32)
        smooth = tf.image.resize(coarse, (375, 500), method="bicubic").numpy()
        noisy = np.clip(smooth + random.normal(0, 12, smooth.shape), 0, 255).astype(np.uint8)
        examples.append((tf.io.encode_jpeg(noisy, quality=92).numpy(), index % 1000))
    return examples


def rate(elements: tf.data.Dataset, images: int, skip: int) -> float:
    """Images per second of one pass, `images` per element, without its start: an epoch of ImageNet
    has thousands of batches to one opening of files and first filling of the shuffle buffer."""
    count = -skip
    for _ in elements:
        count += 1
        if count == 0:
            started = time.perf_counter()
    return images * count / (time.perf_counter() - started)


def bare_decode(encoded: list[bytes]) -> tf.data.Dataset:
    """The whole images, decoded in parallel and thrown away."""
    return tf.data.Dataset.from_tensor_slices(encoded).map(
        lambda image: tf.shape(tf.io.decode_jpeg(image, channels=3)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def measure(images: int = 1024, repeats: int = 21) -> dict[str, float]:
    """Median rates of both, and the median of their ratios turn by turn. The shuffle buffer holds
    an eighth of the records, so that reading goes on while images are decoded."""
    examples = imagenet_shaped(images // 4) * 4
    with tempfile.TemporaryDirectory() as folder:
        splits = {"train": examples, "validation": examples[:BATCH]}
        write_set(
            Path(folder),
            "imagenet2012",
            splits,
            shape=(None, None, 3),
            num_classes=1000,
            shards=8,
            encoding="jpeg",
        )
        config = DataConfig(name="imagenet2012", data_dir=folder, validation_fraction=0.0)
        data = load_data(config, seed=0)
        assert isinstance(data, StreamedData)
        stored = sum(len(encoded) for encoded, _ in examples)
        data = dataclasses.replace(data, shuffle_bytes=stored // 8)
        bare = bare_decode([encoded for encoded, _ in examples])
        decode, pipeline = [], []
        for epoch in range(repeats + 1):
            decode.append(rate(bare, 1, skip=2 * BATCH))
            batches = data.train_batches(BATCH, epoch=epoch, seed=0)
            pipeline.append(rate(batches, BATCH, skip=2))
    turns = [fed / raw for fed, raw in zip(pipeline[1:], decode[1:], strict=True)]
    return {
        "kilobytes_per_image": stored / images / 1000,
        "bare_decode_per_second": statistics.median(decode[1:]),
        "pipeline_per_second": statistics.median(pipeline[1:]),
        "ratio": statistics.median(turns),
    }


def report(measured: dict[str, float]) -> str:
    return (
        f"{measured['kilobytes_per_image']:.0f} KB per image;"
        f" bare decode {measured['bare_decode_per_second']:.0f} images/s,"
        f" input pipeline {measured['pipeline_per_second']:.0f} images/s,"
        f" ratio {measured['ratio']:.2f} (target {TARGET})"
    )


def test_the_input_pipeline_is_measured():
    measured = measure(images=160, repeats=1)
    print(report(measured))
    assert measured["pipeline_per_second"] > 0


if __name__ == "__main__":
    print(report(measure()))
