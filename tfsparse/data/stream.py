"""A data set read from disk in every epoch, for sets too large for memory."""

import dataclasses
from contextlib import AbstractContextManager
from typing import Any, Literal

import tensorflow as tf

from tfsparse.data.image_recipes import CropRecipe, FixedSizeRecipe
from tfsparse.data.image_set import ImageSet, reading
from tfsparse.data.records import read_records
from tfsparse.errors import UserError
from tfsparse.seeds import named_seed, stateless_seed

SHUFFLE_BYTES = 1 << 30
"""Memory for the encoded records among which the next one is drawn."""

Part = Literal["train", "validation", "test"]
Shard = tuple[int, int]
"""Which worker this is, and of how many."""


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Records start..stop-1 of a split."""

    split: str
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclasses.dataclass(frozen=True)
class StreamedData:
    """Three disjoint stretches of a set and their batches.

    Batches for evaluation are the model's input. Those for training are pixels that the step
    standardises: the host's cores have the decoding to do, and uint8 is a quarter of the bytes
    to send to an accelerator.
    """

    image_set: ImageSet
    train: Stretch
    validation: Stretch
    test: Stretch
    recipe: CropRecipe | FixedSizeRecipe
    shuffle: bool = True
    shuffle_bytes: int = SHUFFLE_BYTES

    @property
    def name(self) -> str:
        return self.image_set.name

    @property
    def num_classes(self) -> int:
        return self.image_set.num_classes

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width, channels of what the model is fed."""
        return self.recipe.input_shape

    @property
    def num_train(self) -> int:
        return len(self.train)

    @property
    def num_validation(self) -> int:
        return len(self.validation)

    @property
    def num_test(self) -> int:
        return len(self.test)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Whole batches in one epoch; what is left over is not trained on in that epoch."""
        return self.num_train // batch_size

    def train_batches(
        self, batch_size: int, *, epoch: int, seed: int, skip: int = 0, shard: Shard = (0, 1)
    ) -> tf.data.Dataset:
        """The batches of one epoch: pixels [b, *input_shape] and int32 [b], b static.

        Pixels are in 0..255, float32 where they were resized and uint8 elsewhere; `standardise`
        makes the model's input of them.

        Order and augmentation depend on `seed` and `epoch` alone. `skip` leaves out the first
        batches, whose images are read but never decoded. `batch_size` is that of all workers
        together: worker `i` of `n` gets every n-th image of each, so that the union does not
        depend on `n`; every worker reads all records and decodes only its own.

        Raises:
            UserError: a batch that `n` does not divide, or one larger than the training part.
        """
        index, workers = shard
        self._check(batch_size, shard)
        steps = self.steps_per_epoch(batch_size)
        if steps < 1:
            raise UserError(
                f"train.batch_size: expected at most {self.num_train} (the training images of"
                f" {self.name!r}), received {batch_size}"
            )
        parse = self.image_set.parser()
        augmentation = tf.constant(stateless_seed(seed, "augmentation", epoch), tf.int32)

        def prepare(place: tf.Tensor, record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            encoded, label = parse(record)
            image_seed = augmentation + tf.stack([0, tf.cast(place, tf.int32)])
            return self.recipe.for_training(encoded, image_seed), label

        return (
            self._ordered(epoch, seed)
            .enumerate()
            .take(steps * batch_size)
            .skip(skip * batch_size)
            .shard(workers, index)
            .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(batch_size // workers, drop_remainder=True)
            .prefetch(tf.data.AUTOTUNE)
            .with_options(_options())
        )

    def standardise(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels of `train_batches` -> float32 [b, *input_shape], the model's input."""
        return self.recipe.standardise(images)

    def evaluation_batches(
        self, split: Part, batch_size: int, *, shard: Shard = (0, 1)
    ) -> tf.data.Dataset:
        """Every image of a part once, in stored order, without augmentation.

        float32 [b, *input_shape] and int32 [b]; the last batch may be smaller. `batch_size` is
        that of all workers together, as in `train_batches`.
        """
        index, workers = shard
        self._check(batch_size, shard)
        parse = self.image_set.parser()

        def prepare(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            encoded, label = parse(record)
            return self.recipe.for_evaluation(encoded), label

        stretch: Stretch = getattr(self, split)
        return (
            read_records(self.image_set, stretch.split, stretch.start, stretch.stop)
            .shard(workers, index)
            .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(batch_size // workers)
            .prefetch(tf.data.AUTOTUNE)
            .with_options(_options())
        )

    def reading(self) -> AbstractContextManager[None]:
        """Wrap the loop over batches in it: a damaged record becomes a UserError."""
        return reading(self.image_set)

    def description(self) -> dict[str, Any]:
        """The set and its preprocessing, as JSON values."""
        return {
            "name": self.name,
            "version": self.image_set.version,
            "num_classes": self.num_classes,
            "examples": {
                "train": self.num_train,
                "validation": self.num_validation,
                "test": self.num_test,
            },
            **self.recipe.description(),
        }

    def _ordered(self, epoch: int, seed: int) -> tf.data.Dataset:
        """The serialized training records in the epoch's order."""
        part = self.train
        if not self.shuffle:
            return read_records(self.image_set, part.split, part.start, part.stop)
        records = read_records(
            self.image_set,
            part.split,
            part.start,
            part.stop,
            order_seed=named_seed(seed, "file_order", epoch),
        )
        return records.shuffle(
            self._shuffle_records(),
            seed=named_seed(seed, "data_order", epoch),
            reshuffle_each_iteration=False,
        )

    def _shuffle_records(self) -> int:
        stored = self.image_set.num_examples(self.train.split)
        size = max(1, self.image_set.num_bytes(self.train.split) // max(1, stored))
        return max(1, min(self.num_train, self.shuffle_bytes // size))

    def _check(self, batch_size: int, shard: Shard) -> None:
        index, workers = shard
        if batch_size < 1 or batch_size % workers:
            raise UserError(
                f"train.batch_size: expected a multiple of the {workers} workers,"
                f" received {batch_size}"
            )
        if not 0 <= index < workers:
            raise UserError(f"expected a worker in 0..{workers - 1}, received {index}")


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Workers are told apart by `shard`; TensorFlow must not split the data once more.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
