"""How training images reach the step: from memory, shuffled in the graph, or as a stream."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfsparse.data import InMemoryData, StreamedData
from tfsparse.plan import Plan
from tfsparse.seeds import named_seed, stateless_seed
from tfsparse.training.strategies import replica

Batch = tuple[tf.Tensor, tf.Tensor]


class MemoryFeed:
    """Batches gathered inside the graph from images held in memory.

    Drawing is apart from preparing because only the latter gains from XLA: inside an XLA loop
    the gather makes the whole data set's conversion to float part of every call. The batch of a
    step depends on the seed and the step alone, so a resumed run sees the same images. Images
    stay uint8 until they are gathered.
    """

    def __init__(self, data: InMemoryData, plan: Plan, *, seed: int, shuffle: bool) -> None:
        self._data, self._plan, self._seed, self._shuffle = data, plan, seed, shuffle
        self._images = tf.constant(data.train.images)
        self._labels = tf.constant(data.train.labels)
        self._order = tf.Variable(tf.range(len(data.train)), trainable=False, name="data_order")
        self._augmentation_seed = stateless_seed(seed, "augmentation")

    def start(self, step: int) -> tuple[Any, ...]:
        """Make ready for the steps from `step` to the end of its epoch.

        Returns:
            The arguments `draw` takes after the step.
        """
        if self._shuffle:
            epoch = step // self._plan.steps_per_epoch
            generator = np.random.default_rng(named_seed(self._seed, "data_order", epoch))
            numbers = generator.random(self._order.shape[0])
            self._order.assign(np.argsort(numbers, kind="stable").astype(np.int32))
        return ()

    def draw(self, step: tf.Tensor) -> Batch:
        """The stored pixels (uint8) and labels (int32) of `step`."""
        size = self._plan.batch_size
        position = tf.cast(step % self._plan.steps_per_epoch, tf.int32) * size
        indices = tf.slice(self._order, [position], [size])
        return tf.gather(self._images, indices), tf.gather(self._labels, indices)

    def share(self, images: tf.Tensor, labels: tf.Tensor) -> Batch:
        """The part of a drawn batch for the replica that asks."""
        index, replicas = replica()
        if replicas == 1:
            return images, labels
        size = self._plan.batch_size // replicas
        first, rest = index * size, images.shape[1:]
        pixels = tf.slice(images, tf.stack([first, 0, 0, 0]), [size, *rest])
        return pixels, tf.slice(labels, [first], [size])

    def prepare(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Shared pixels as the model's input, float32, augmented by the seed of `step`."""
        first, second = self._augmentation_seed
        seed = tf.stack([first, second + tf.cast(step, tf.int32)])
        return self._data.augment(images, seed, replica())

    def peek(self, step: int) -> Batch:
        """The batch of `step`, which the step will draw again."""
        self.start(step)
        return self.draw(tf.constant(step, tf.int64))

    def take_held(self) -> Batch | None:
        """Nothing: any batch can be drawn twice."""
        return None

    def pass_over(self, step: int) -> None:
        """Nothing to do: the batch of a step does not depend on those drawn before."""


class StreamFeed:
    """Batches of a `tf.data` pipeline, one pipeline an epoch."""

    def __init__(self, data: StreamedData, plan: Plan, *, seed: int) -> None:
        self._data, self._plan, self._seed = data, plan, seed
        self._iterator: Iterator[Batch] | None = None
        self._held: Batch | None = None

    def start(self, step: int) -> tuple[Any, ...]:
        """The iterator from `step` to the end of its epoch."""
        epoch, skip = divmod(step, self._plan.steps_per_epoch)
        if self._iterator is None or (skip == 0 and self._held is None):
            self._iterator = iter(self._batches(epoch, skip))
        return (self._iterator,)

    def _batches(self, epoch: int, skip: int) -> Any:
        """The batches of an epoch; under a strategy each a part for every replica."""
        size = self._plan.batch_size

        def of_worker(index: int, workers: int) -> tf.data.Dataset:
            return self._data.train_batches(
                size, epoch=epoch, skip=skip, seed=self._seed, shard=(index, workers)
            )

        if not tf.distribute.has_strategy():
            return of_worker(0, 1)
        strategy = tf.distribute.get_strategy()
        part = size // strategy.num_replicas_in_sync
        return strategy.distribute_datasets_from_function(
            lambda context: of_worker(
                context.input_pipeline_id, context.num_input_pipelines
            ).rebatch(part, drop_remainder=True)
        )

    def draw(self, step: tf.Tensor, iterator: Any) -> Batch:
        """The next batch of the pipeline, which knows its step."""
        del step
        return next(iterator)

    def share(self, images: tf.Tensor, labels: tf.Tensor) -> Batch:
        """The batch as it is: the pipeline has shared it out."""
        return images, labels

    def prepare(self, images: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The pipeline's pixels as the model's input, float32; it has augmented them."""
        del step
        return self._data.standardise(images)

    def peek(self, step: int) -> Batch:
        """The batch of `step`; it is held back for the step, since no pipeline goes backwards."""
        if self._held is None:
            (iterator,) = self.start(step)
            self._held = next(iterator)
        return self._held

    def take_held(self) -> Batch | None:
        """The batch that was held back for the step to come, if any; it is given out once."""
        held, self._held = self._held, None
        return held

    def pass_over(self, step: int) -> None:
        """Leave out the batch of `step`."""
        self.peek(step)
        self._held = None


def make_feed(
    data: InMemoryData | StreamedData, plan: Plan, *, seed: int, shuffle: bool
) -> MemoryFeed | StreamFeed:
    """The feed that fits where the data live."""
    if isinstance(data, StreamedData):
        return StreamFeed(data, plan, seed=seed)
    return MemoryFeed(data, plan, seed=seed, shuffle=shuffle)
