"""Small image sets in TFDS's layout, written by the tests themselves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

Split = Sequence[tuple[bytes | np.ndarray, int]]


def write_set(
    root: Path,
    name: str,
    splits: Mapping[str, Split],
    *,
    shape: tuple[int | None, int | None, int],
    num_classes: int,
    shards: int = 1,
    encoding: str | None = None,
    features: Mapping[str, Any] | None = None,
) -> Path:
    """A prepared set `<root>/<name>/1.0.0` of the given images (encoded, or uint8) and labels."""
    directory = root / name / "1.0.0"
    directory.mkdir(parents=True)
    stored = tfds.features.FeaturesDict(
        dict(features)
        if features
        else {
            "image": tfds.features.Image(shape=shape, encoding_format=encoding),
            "label": tfds.features.ClassLabel(num_classes=num_classes),
        }
    )
    stored.save_config(directory)
    described = []
    for split, examples in splits.items():
        lengths, size = [], 0
        for shard, chosen in enumerate(np.array_split(np.arange(len(examples)), shards)):
            path = directory / f"{name}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(path)) as writer:
                for index in chosen:
                    record = _record(*examples[index])
                    size += len(record)
                    writer.write(record)
            lengths.append(str(len(chosen)))
        described.append(
            {
                "name": split,
                "numBytes": str(size),
                "shardLengths": lengths,
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    info = {
        "name": name,
        "version": "1.0.0",
        "description": "Made by a test.",
        "fileFormat": "tfrecord",
        "splits": described,
        "supervisedKeys": {"tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}},
    }
    (directory / "dataset_info.json").write_text(json.dumps(info))
    return directory


def _record(image: bytes | np.ndarray, label: int) -> bytes:
    encoded = image if isinstance(image, bytes) else png(image)
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
        )
    ).SerializeToString()


def png(image: np.ndarray) -> bytes:
    """uint8 [h, w, c] as PNG, which loses nothing."""
    return tf.io.encode_png(image).numpy()


def jpeg(image: np.ndarray) -> bytes:
    """uint8 [h, w, c] as JPEG."""
    return tf.io.encode_jpeg(image, quality=95).numpy()


def numbered(count: int, shape: tuple[int, int, int] = (8, 8, 1), first: int = 0) -> Split:
    """Images all of whose pixels are their own number, labelled number modulo 10."""
    return [
        (np.full(shape, first + index, np.uint8), (first + index) % 10) for index in range(count)
    ]


def photographs(count: int, seed: int = 0) -> Split:
    """JPEG images of many sizes, smooth as photographs are; the label is the number modulo 10."""
    random = np.random.RandomState(seed)
    examples = []
    for index in range(count):
        height, width = random.randint(40, 90, size=2)
        small = random.randint(0, 256, size=(5, 5, 3)).astype(np.float32)
        image = tf.cast(tf.image.resize(small, (height, width)), tf.uint8).numpy()
        examples.append((jpeg(image), index % 10))
    return examples
