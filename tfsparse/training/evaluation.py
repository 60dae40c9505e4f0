"""Accuracy and cross-entropy of a model on one part of the data, and its mean gradient."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.data import InMemoryData, StreamedData
from tfsparse.training.objective import cross_entropy
from tfsparse.training.strategies import on_each, replica, settle
from tfsparse.training.trainer import Trainer

BATCH = 1000

Split = Literal["train", "validation", "test"]


class Evaluator:
    """Evaluates one model again and again; the graph is traced once.

    Under a `tf.distribute` strategy every replica evaluates its part of each batch.

    Args:
        model: from images to logits.
        data: what to evaluate on.
        batch_size: images at a time.
    """

    def __init__(
        self, model: keras.Model, data: InMemoryData | StreamedData, batch_size: int = BATCH
    ) -> None:
        self._model, self._data, self._batch_size = model, data, batch_size
        self._sums = self._summed(self._sums_in_memory)
        self._batch = self._summed(self._part_sums)

    def __call__(self, split: Split, limit: int | None = None) -> dict[str, Any] | None:
        """Accuracy (fraction), mean cross-entropy (nats) and number of images of a split.

        Args:
            split: "train", "validation" or "test".
            limit: use only the first so many images; a stream stops with the batch that
                reaches it.

        Returns:
            None when the split is empty.
        """
        settle(self._model.non_trainable_variables)
        streamed = isinstance(self._data, StreamedData)
        count, entropy, right = (self._streamed if streamed else self._held)(split, limit)
        if not count:
            return None
        return {"accuracy": right / count, "cross_entropy": entropy / count, "n": count}

    def _streamed(self, split: Split, limit: int | None) -> tuple[int, float, float]:
        assert isinstance(self._data, StreamedData)
        count, entropy, right = 0, 0.0, 0.0
        with self._data.reading():
            for images, labels in self._data.evaluation_batches(split, self._batch_size):
                sums = self._batch(images, labels)
                count += int(tf.shape(labels)[0])
                entropy, right = entropy + float(sums[0]), right + float(sums[1])
                if limit is not None and count >= limit:
                    break
        return count, entropy, right

    def _held(self, split: Split, limit: int | None) -> tuple[int, float, float]:
        examples = getattr(self._data, split)
        count = min(len(examples), limit or len(examples))
        if not count:
            return 0, 0.0, 0.0
        images, labels = examples.images[:count], examples.labels[:count]
        sums = self._sums(tf.constant(images), tf.constant(labels))
        return count, float(sums[0]), float(sums[1])

    def _sums_in_memory(self, images: tf.Tensor, labels: tf.Tensor) -> Any:
        assert isinstance(self._data, InMemoryData)
        count = tf.shape(labels)[0]
        number, replicas = replica()
        size = -(-min(self._batch_size, int(labels.shape[0])) // replicas)
        entropy = right = tf.constant(0.0, tf.float64)
        for start in tf.range(number * size, count, replicas * size):
            # oneDNN's convolution with bias and skip connection is not reentrant.
            tf.autograph.experimental.set_loop_options(parallel_iterations=1)
            index = start + tf.range(size)
            valid = tf.cast(index < count, tf.float32)  # the last batch is filled up
            index = tf.minimum(index, count - 1)
            batch = self._data.preprocess(tf.gather(images, index))
            sums = self._batch_sums(batch, tf.gather(labels, index), valid)
            entropy += sums[0]
            right += sums[1]
        return entropy, right

    def _part_sums(self, images: tf.Tensor, labels: tf.Tensor) -> Any:
        number, replicas = replica()
        images, labels = images[number::replicas], labels[number::replicas]
        return self._batch_sums(images, labels, tf.ones(tf.shape(labels), tf.float32))

    def _batch_sums(self, images: tf.Tensor, labels: tf.Tensor, valid: tf.Tensor) -> Any:
        logits = self._model(images, training=False)
        entropy = cross_entropy(logits, labels)
        right = tf.cast(
            tf.equal(tf.argmax(logits, -1, output_type=labels.dtype), labels), valid.dtype
        )
        return (
            tf.cast(tf.reduce_sum(entropy * valid), tf.float64),
            tf.cast(tf.reduce_sum(right * valid), tf.float64),
        )

    def _summed(self, sums: Callable[..., Any]) -> Callable[..., Any]:
        """A graph that adds up what the replicas find."""
        if not tf.distribute.has_strategy():
            return tf.function(sums)
        strategy, total = tf.distribute.get_strategy(), tf.distribute.ReduceOp.SUM

        def on_replicas(*arguments: tf.Tensor) -> Any:
            found = strategy.run(sums, args=arguments)
            return [strategy.reduce(total, part, axis=None) for part in found]

        return tf.function(on_replicas)


def evaluate(
    model: keras.Model, data: InMemoryData | StreamedData, split: Split, batch_size: int = BATCH
) -> dict[str, Any] | None:
    """Accuracy, mean cross-entropy and image count of `model` on a split; None when empty."""
    return Evaluator(model, data, batch_size)(split)


def mean_gradient(
    trainer: Trainer, data: InMemoryData | StreamedData, limit: int
) -> dict[str, Any]:
    """Paper 1's measure of stationarity: the mean l1 norm of the objective's gradient.

    The gradient of the whole objective, averaged over the first `limit` training images in
    batches of the training batch size, without augmentation; batch norm in training mode.

    Returns:
        gradient_l1_mean: the mean of |gradient| over all trained, unmasked numbers;
        n: the number of images.
    """
    sums, batches = None, 0
    gradients = on_each(lambda x, y: trainer.mask_gradients(trainer.gradients(x, y)[0]))
    state = [(v, v.numpy()) for v in trainer.subject.model.non_trainable_variables]
    size = trainer.batch_size
    for images, labels in _batches(data, size, limit):
        batch = [tf.cast(g, tf.float64).numpy() for g in gradients(images, labels)]
        sums = batch if sums is None else [a + b for a, b in zip(sums, batch, strict=True)]
        batches += 1
    for variable, value in state:  # the pass moved batch norm's running averages
        variable.assign(value)
    if sums is None:
        return {"gradient_l1_mean": None, "n": 0}
    kept = sum(g.size for g in sums) - sum(
        int(np.sum(mask.numpy() == 0)) for mask in trainer.subject.masks.values()
    )
    total = sum(float(np.sum(np.abs(g / batches))) for g in sums)
    return {"gradient_l1_mean": total / max(1, kept), "n": batches * size}


def _batches(data: InMemoryData | StreamedData, size: int, limit: int) -> Any:
    if isinstance(data, StreamedData):
        yield from data.evaluation_batches("train", size).take(max(1, limit // size))
        return
    count = max(1, min(len(data.train), limit) // size)
    for start in range(0, count * size, size):
        images = tf.constant(data.train.images[start : start + size])
        yield data.preprocess(images), tf.constant(data.train.labels[start : start + size])
