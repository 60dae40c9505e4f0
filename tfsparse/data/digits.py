"""`digits` as a TFDS data set: the scans that come with scikit-learn, so nothing is downloaded."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

TEST_EVERY = 5
"""Every fifth scan of each class is a test example."""

_DESCRIPTION = """\
1,797 scans of handwritten digits, 8x8 pixels, as bundled with scikit-learn (the test part of the
UCI "Optical Recognition of Handwritten Digits" set). Grey values 0 to 16 are scaled to 0 to 255.
Split in 1,437 training and 360 test examples with equal shares of the classes."""

_CITATION = """\
@misc{alpaydin1998optdigits,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}"""


class _EmbeddedInfo(tfds.core.DatasetInfo):
    """The facts of a set that no bucket knows; TFDS would otherwise ask one over the network."""

    def initialize_from_bucket(self) -> None:
        return


class Digits(tfds.core.GeneratorBasedBuilder):
    """Handwritten digits, uint8 [8, 8, 1] and a label in 0..9."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "Stratified split into 1,437 training and 360 test scans."}

    def _info(self) -> tfds.core.DatasetInfo:
        return _EmbeddedInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
            homepage="https://scikit-learn.org/stable/datasets/toy_dataset.html",
            citation=_CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        del dl_manager  # everything is on the machine already
        images, labels = read_scans()
        train, test = split_by_class(labels)
        return {
            "train": self._generate_examples(images, labels, train),
            "test": self._generate_examples(images, labels, test),
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray
    ) -> Iterator[tuple[int, dict]]:
        for index in indices:
            yield int(index), {"image": images[index], "label": int(labels[index])}


def read_scans() -> tuple[np.ndarray, np.ndarray]:
    """The bundled scans: images uint8 [1797, 8, 8, 1] in 0..255 and labels int64 [1797]."""
    from sklearn.datasets import load_digits  # slow to import and needed only once per machine

    bundle = load_digits()
    images = np.rint(bundle.images * (255.0 / 16.0)).astype(np.uint8)
    return images[..., np.newaxis], bundle.target.astype(np.int64)


def split_by_class(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and the test examples, each with the same shares of the classes.

    The examples are sorted by class and every fifth of that list is set aside for the test.

    >>> train, test = split_by_class(np.array([1, 0, 1, 0, 1, 0, 1, 0, 1, 0]))
    >>> test.tolist(), train.tolist()
    ([0, 1], [2, 3, 4, 5, 6, 7, 8, 9])
    """
    by_class = np.argsort(labels, kind="stable")
    for_test = np.zeros(len(labels), bool)
    for_test[by_class[::TEST_EVERY]] = True
    return np.flatnonzero(~for_test), np.flatnonzero(for_test)
