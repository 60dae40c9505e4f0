"""The serialized records of a stretch of a split, read from many files at once."""

import numpy as np
import tensorflow as tf

from tfsparse.data.image_set import ImageSet

OPEN_FILES = 16
"""Files read side by side; their records alternate."""

_READ_BYTES = 1 << 20


def read_records(
    image_set: ImageSet, split: str, start: int, stop: int, *, order_seed: int | None = None
) -> tf.data.Dataset:
    """Records start..stop-1 of a split as serialized strings.

    Without `order_seed` they come in stored order; with it the files are drawn in a random order
    and alternate, the same for the same seed. The data set fails on a file that holds fewer
    records than its description says.
    """
    files = image_set.builder.info.splits[f"{split}[{start}:{stop}]"].file_instructions
    if order_seed is not None:
        order = np.random.RandomState(order_seed).permutation(len(files))
        files = [files[place] for place in order]
    side_by_side = 1 if order_seed is None else OPEN_FILES

    def read(name: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(name, buffer_size=_READ_BYTES).skip(skip).take(take)

    columns = (
        tf.constant([str(file.filename) for file in files]),
        tf.constant([file.skip for file in files], tf.int64),
        tf.constant([file.take for file in files], tf.int64),
    )
    records = tf.data.Dataset.from_tensor_slices(columns).interleave(
        read,
        cycle_length=side_by_side,
        block_length=1,
        num_parallel_calls=side_by_side,
        deterministic=True,
    )
    return records.apply(tf.data.experimental.assert_cardinality(stop - start))
