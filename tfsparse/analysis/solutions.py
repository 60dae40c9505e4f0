"""Finished runs as points in weight space: their weights, masks, data and predictions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.config import RunConfig, check
from tfsparse.config.analysis import Place
from tfsparse.data import InMemoryData, StreamedData, load_data
from tfsparse.errors import UserError
from tfsparse.methods import METHODS
from tfsparse.models import build
from tfsparse.runs import Run
from tfsparse.sizing import sized
from tfsparse.sparsity.masks import Masks
from tfsparse.sparsity.subject import Subject
from tfsparse.training.evaluation import Split
from tfsparse.training.gradient_flow import GradientFlow
from tfsparse.training.strategies import OverParts

Data = InMemoryData | StreamedData
BATCH = 1000


@dataclass(frozen=True)
class Solution:
    """A finished run."""

    run: Run
    config: RunConfig
    summary: dict[str, Any]

    def weights(self, at: Place) -> dict[str, np.ndarray]:
        """The weights at a place, kernels times their masks.

        Raises:
            UserError: a step whose weights were not kept.
        """
        masks = self.masks(at)
        weights = self._raw(at)
        for name, mask in masks.items():
            weights[f"{name}/kernel"] = weights[f"{name}/kernel"] * mask
        return weights

    def masks(self, at: Place) -> dict[str, np.ndarray]:
        """The masks at a place; empty where the run was dense.

        A run keeps its last masks. Where they were others before, they show in the weights: what
        is outside is exactly zero, what is inside was drawn and trained.

        Raises:
            UserError: between start and end of a run whose connections move, where new
                connections are zero, too.
        """
        last = self.run.masks()
        training = METHODS[self.config.method].training
        if at == "end" or training == "masked" or not last:
            return last
        if training == "dynamic" and at != "start":
            raise UserError(
                f"{self.run.path}: expected at 'start' or 'end' for method "
                f"{self.config.method!r}, received {at}; its connections move in between"
            )
        weights = self._raw(at)
        return {name: (weights[f"{name}/kernel"] != 0).astype(np.uint8) for name in last}

    def _raw(self, at: Place) -> dict[str, np.ndarray]:
        if at == "end":
            return self.run.final_weights()
        return self.run.weights_at(0 if at == "start" else int(at))

    def data(self) -> Data:
        """The run's data."""
        return load_data(self.config.data, seed=self.config.seed)

    def model(self, data: Data) -> keras.Model:
        """A float32 model of the run's architecture; its weights are still to be set."""
        return build(
            sized(self.config, data.input_shape, data.num_classes),
            data.input_shape,
            data.num_classes,
            seed=0,
        )


def open_solution(path: str) -> Solution:
    """A finished run.

    Raises:
        UserError: none there, or not finished.
    """
    run = Run(Path(path))
    summary = run.summary()
    config = check(run.config_json(), RunConfig, str(run.path / "config.json"))
    return Solution(run, config, summary)


def gradient_flow(
    model: keras.Model, masks: Masks, images: tf.Tensor, labels: tf.Tensor
) -> dict[str, Any]:
    """The gradient flow of a model whose kernels are zero outside their masks."""
    constants = {name: tf.constant(mask) for name, mask in masks.items()}
    return GradientFlow(Subject(model, lambda: model, constants), images, labels)()


def same_kind(first: Solution, others: Sequence[Solution]) -> None:
    """Raise a UserError unless all runs have one architecture and one data set."""
    for other in others:
        for word in ("model", "data"):
            ours, theirs = (getattr(item.config, word) for item in (first, other))
            if word == "data":
                ours, theirs = ours.name, theirs.name
            if ours != theirs:
                raise UserError(
                    f"{other.run.path}: expected a run of {word} {_words(ours)} like "
                    f"{first.run.path}, received {_words(theirs)}"
                )


def _words(value: Any) -> str:
    return value if isinstance(value, str) else str(value.model_dump(mode="json"))


class Predictor:
    """The logits of one model on the same images, again and again.

    Args:
        model: whose weights change between calls.
        data: the set.
        split: "train", "validation" or "test".
        limit: use only the first so many images.

    Raises:
        UserError: the split is empty.
    """

    def __init__(self, model: keras.Model, data: Data, split: Split, limit: int | None) -> None:
        self._model, self._data, self._split, self._limit = model, data, split, limit
        self._over_parts = OverParts(lambda x: model(x, training=False))
        if isinstance(data, InMemoryData) and not len(getattr(data, split)):
            raise UserError(f"split: expected images, the data have no {split} part")

    def __call__(self) -> tuple[np.ndarray, np.ndarray]:
        """Logits float32 [n, classes] and labels int32 [n]."""
        labels: list[np.ndarray] = []
        found = self._over_parts(self._inputs(labels))
        logits = [part.numpy() for part in found]
        every = np.concatenate(labels)[: self._limit]
        return np.concatenate(logits)[: len(every)], every

    def _inputs(self, labels: list[np.ndarray]) -> Iterator[tuple[tf.Tensor]]:
        """Image batches of one size, the last one filled up; `labels` gets their classes."""
        count = 0
        for images, classes in self._batches():
            labels.append(classes.numpy())
            count += len(classes)
            missing = len(labels[0]) - len(classes)
            yield (tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]]) if missing else images,)
            if self._limit is not None and count >= self._limit:
                return

    def _batches(self) -> Any:
        if isinstance(self._data, StreamedData):
            yield from self._data.evaluation_batches(self._split, BATCH)
            return
        examples = getattr(self._data, self._split)
        for start in range(0, len(examples), BATCH):
            images = tf.constant(examples.images[start : start + BATCH])
            yield self._data.preprocess(images), tf.constant(examples.labels[start : start + BATCH])
