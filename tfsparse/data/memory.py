"""A data set held in memory as stored pixels."""

import dataclasses
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import tensorflow as tf

from tfsparse.data.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images uint8 [n, h, w, c] and their labels int32 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class InMemoryData:
    """Three disjoint parts of a set, and the functions that turn pixels into model inputs."""

    name: str
    version: str
    train: Examples
    validation: Examples
    """Empty where no validation part was asked for."""
    test: Examples
    num_classes: int
    preprocessing: Preprocessing

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width, channels of what the model is fed."""
        return self.preprocessing.input_shape

    @property
    def augments(self) -> bool:
        """Whether `augment` differs from `preprocess`."""
        return self.preprocessing.augments

    @property
    def num_train(self) -> int:
        return len(self.train)

    @property
    def num_validation(self) -> int:
        return len(self.validation)

    @property
    def num_test(self) -> int:
        return len(self.test)

    def preprocess(self, images: tf.Tensor) -> tf.Tensor:
        """uint8 [b, h, w, c] -> float32 [b, *input_shape], for evaluation."""
        return self.preprocessing(images)

    def augment(
        self, images: tf.Tensor, seed: tf.Tensor, part: tuple[tf.Tensor | int, int] = (0, 1)
    ) -> tf.Tensor:
        """As `preprocess`, with the training's random changes; `seed` (int32 [2]) fixes them.

        `part` says that `images` are the i-th of n equal parts of the batch they are fixed for.
        """
        return self.preprocessing.augment(images, seed, part)

    def reading(self) -> AbstractContextManager[None]:
        """Nothing can go wrong any more; so that both kinds of data are looped over alike."""
        return nullcontext()

    def description(self) -> dict[str, Any]:
        """The set and its preprocessing, as JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "num_classes": self.num_classes,
            "examples": {
                "train": self.num_train,
                "validation": self.num_validation,
                "test": self.num_test,
            },
            **self.preprocessing.description(),
        }
