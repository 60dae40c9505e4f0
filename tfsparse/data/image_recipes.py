"""From one encoded image to the model's input, for sets that are streamed."""

import dataclasses
from typing import Any

import tensorflow as tf

from tfsparse.data.inception import CENTER_MARGIN, decode_center, decode_random
from tfsparse.data.preprocessing import Preprocessing, Shape, Statistics


@dataclasses.dataclass(frozen=True)
class FixedSizeRecipe:
    """Images of one size: decoded whole, then treated as those held in memory."""

    preprocessing: Preprocessing

    @property
    def input_shape(self) -> Shape:
        return self.preprocessing.input_shape

    def for_training(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Encoded bytes and int32 [2] -> pixels [*input_shape] that `standardise` takes."""
        return self.preprocessing.augment_pixels(self._decode(encoded), seed)[0]

    def standardise(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels [b, *input_shape] -> float32 of the same shape."""
        return self.preprocessing.standardise(images)

    def for_evaluation(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded bytes -> float32 [*input_shape]."""
        return self.preprocessing(self._decode(encoded))[0]

    def _decode(self, encoded: tf.Tensor) -> tf.Tensor:
        shape = self.preprocessing.stored_shape
        image = tf.io.decode_image(encoded, channels=shape[2], expand_animations=False)
        return tf.ensure_shape(image, shape)[tf.newaxis]

    def description(self) -> dict[str, Any]:
        return self.preprocessing.description()


@dataclasses.dataclass(frozen=True)
class CropRecipe:
    """Images of many sizes: a random crop for training, the centre for evaluation."""

    size: int
    channels: int
    statistics: Statistics
    augments: bool = True
    """False: the centre in training too."""
    jpeg: bool = False
    """Every image of the set is a JPEG, as its description promises."""

    @property
    def input_shape(self) -> Shape:
        return (self.size, self.size, self.channels)

    def for_training(self, encoded: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Encoded bytes and int32 [2] -> pixels [*input_shape] that `standardise` takes."""
        if not self.augments:
            return self._center(encoded)
        return decode_random(encoded, seed, size=self.size, channels=self.channels, jpeg=self.jpeg)

    def standardise(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels [b, *input_shape] -> float32 of the same shape."""
        return self._preprocessing().standardise(images)

    def for_evaluation(self, encoded: tf.Tensor) -> tf.Tensor:
        """Encoded bytes -> float32 [*input_shape]."""
        return self.standardise(self._center(encoded)[tf.newaxis])[0]

    def _center(self, encoded: tf.Tensor) -> tf.Tensor:
        return decode_center(encoded, size=self.size, channels=self.channels, jpeg=self.jpeg)

    def _preprocessing(self) -> Preprocessing:
        return Preprocessing(self.input_shape, self.input_shape, self.statistics)

    def description(self) -> dict[str, Any]:
        return {
            **self._preprocessing().description(),
            "resize": f"shorter side to {round(self.size * CENTER_MARGIN)}, bilinear,"
            f" then the central {self.size}x{self.size}",
            "augmentation": "random crop of 8-100% area, aspect 3/4-4/3, random flip"
            if self.augments
            else None,
        }
