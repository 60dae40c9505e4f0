"""Gradient flow: how far one gradient step would lower the loss, to first order.

Evci et al. (2022), section 3: g^T g with g = grad L(theta), the learning rate left out. The
papers' figures show its root, the norm. L is the cross-entropy without the L2 term; g holds the
gradients of the connections that exist, of biases and of batch norm's scales and shifts.
"""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.data import InMemoryData, StreamedData
from tfsparse.models import untouched_state
from tfsparse.seeds import named_seed
from tfsparse.sparsity.subject import Subject
from tfsparse.training.objective import cross_entropy
from tfsparse.training.strategies import assign, on_each

Batch = tuple[tf.Tensor, tf.Tensor]


class GradientFlow:
    """Measures the gradient flow of a subject again and again on one fixed batch.

    Batch norm computes in training mode, over each part of the batch; its running averages are
    the same afterwards.

    Args:
        subject: the model and its masks, read at every call.
        images: float32 [n, height, width, channels], prepared without augmentation.
        labels: int32 [n].
        part: at most so many images at a time; the mean is over all of them.
        label_smoothing: of the cross-entropy, as in training.
    """

    def __init__(
        self,
        subject: Subject,
        images: tf.Tensor,
        labels: tf.Tensor,
        *,
        part: int = 1000,
        label_smoothing: float = 0.0,
    ) -> None:
        self._subject, self._label_smoothing = subject, label_smoothing
        self._parts = split_evenly(images, labels, part)
        self._count = int(labels.shape[0])
        self._variables = trained_variables(subject.model)
        self._kernels = {name: self._variables[name][0] for name in subject.masks}
        self._graph = on_each(self._part_gradients)

    def __call__(self) -> dict[str, Any]:
        """Measure once.

        Returns:
            squared: g^T g; norm: its root; layers: each layer's share of `squared`, by name;
            n: the images behind it.
        """
        sums: dict[str, list[np.ndarray]] = {}
        for images, labels in self._parts:
            weight = int(labels.shape[0]) / self._count
            for name, gradients in self._graph(images, labels).items():
                terms = [weight * gradient.numpy().astype(np.float64) for gradient in gradients]
                before = sums.get(name)
                pairs = zip(before, terms, strict=True) if before else ()
                sums[name] = [a + b for a, b in pairs] if before else terms
        layers = {
            name: float(sum(np.sum(np.square(gradient)) for gradient in gradients))
            for name, gradients in sums.items()
        }
        squared = sum(layers.values())
        return {"norm": squared**0.5, "squared": squared, "layers": layers, "n": self._count}

    def _part_gradients(self, images: tf.Tensor, labels: tf.Tensor) -> dict[str, list[tf.Tensor]]:
        """The masked gradients of the mean cross-entropy, by layer."""
        # Under tfmot's rule of revival a weight outside its mask may be other than zero; the
        # next step's forward pass would zero it, and so does this one, for its own time.
        revived = self._kernels if self._subject.revival else {}
        raw = {name: kernel.read_value() for name, kernel in revived.items()}
        for name, kernel in revived.items():
            assign(kernel, kernel * self._subject.masks[name])
        with untouched_state(self._subject.model), tf.GradientTape() as tape:
            logits = self._subject.model(images, training=True)
            loss = tf.reduce_mean(cross_entropy(logits, labels, self._label_smoothing))
        gradients = tape.gradient(
            loss, self._variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        for name, kernel in revived.items():
            assign(kernel, raw[name])
        for name, mask in self._subject.masks.items():
            gradients[name][0] *= tf.cast(mask, gradients[name][0].dtype)
        return gradients


def trained_variables(model: keras.Model) -> dict[str, list[tf.Variable]]:
    """The trained variables of each layer that has any, by layer name; a kernel comes first."""
    return {
        layer.name: list(layer.trainable_variables)
        for layer in model.layers
        if layer.trainable_variables
    }


def split_evenly(images: tf.Tensor, labels: tf.Tensor, part: int) -> list[Batch]:
    """The batch in as few portions of at most `part` images as will do, of about equal size."""
    count = int(labels.shape[0])
    ends = np.linspace(0, count, -(-count // part) + 1).round().astype(int)
    pairs = itertools.pairwise(ends)
    return [(images[start:end], labels[start:end]) for start, end in pairs]


def fixed_batch(data: InMemoryData | StreamedData, count: int, seed: int) -> Batch:
    """The same `count` training images whenever they are asked for, without augmentation.

    In memory they are drawn without replacement by the seed's own name; of a streamed set, whose
    records cannot be picked, they are the first in stored order.

    Args:
        data: the set; all of its training images are taken where there are fewer.
        count: how many.
        seed: of the run.

    Returns:
        images float32, labels int32.
    """
    if isinstance(data, StreamedData):
        size = min(count, data.num_train)
        return next(iter(data.evaluation_batches("train", size)))
    generator = np.random.default_rng(named_seed(seed, "gradient_flow"))
    numbers = generator.random(len(data.train))
    chosen = np.sort(np.argsort(numbers, kind="stable")[:count])
    images = data.preprocess(tf.constant(data.train.images[chosen]))
    return images, tf.constant(data.train.labels[chosen])


def flow_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, float]:
    """What a mask update did to the gradient norm, as fields of its log line."""
    return {
        "norm_before": before["norm"],
        "norm_after": after["norm"],
        "norm_change": after["norm"] - before["norm"],
    }
