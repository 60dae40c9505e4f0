"""How much signal reaches the logits at initialisation, for masks with uneven neurons.

Evci et al. (2022), Figure 1c: the standard deviation of the logits against sparsity, for inputs of
standard normal noise and masks whose neurons have very different fan-ins. With the dense fan-in
in the variance it collapses; in the paper it holds longer with the layer's density, and longest
with each neuron's own fan-in.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.config.analysis import SignalConfig
from tfsparse.models import build, get_weights, kernel_shapes, set_weights
from tfsparse.seeds import named_seed, stateless_seed
from tfsparse.sparsity.initial_kernels import sparse_initial_weights
from tfsparse.sparsity.masks import Masks, kept_count, top_k_mask


def uneven_mask(
    shape: tuple[int, ...], sparsity: float, seed: int, unevenness: float = 2.0
) -> np.ndarray:
    """A uint8 mask of exactly `kept_count` ones whose output neurons differ in fan-in.

    Connections are drawn without replacement with weights: those of the neuron at quantile q of
    the layer, in random order, weigh q^unevenness (Efraimidis & Spirakis' keys). Each neuron gets
    its best connection first, so that none is dead as long as the count suffices: what is compared
    are fan-ins, not missing neurons.
    """
    generator = np.random.default_rng(seed)
    outputs = shape[-1]
    quantiles = (generator.permutation(outputs) + 1.0) / outputs
    keys = np.log1p(-generator.random(shape)) / quantiles**unevenness
    flat = keys.reshape(-1, outputs)
    flat[flat.argmax(axis=0), np.arange(outputs)] += 1e6
    return top_k_mask(keys, kept_count(int(np.prod(shape)), sparsity))


def signal(config: SignalConfig, seed: int) -> list[dict[str, Any]]:
    """The standard deviation of the logits, over images and classes.

    Returns:
        One row per sparsity and init: sparsity, init, std (mean over repeats), spread (their
        standard deviation, None for one), drift (mean of |ln(std / std of the full network with
        the same noise)|, None where nothing reaches the logits), repeats. In each repeat all
        inits share mask and noise.
    """
    shape = (config.input_shape[0], config.input_shape[1], config.input_shape[2])
    model = build(config.model, shape, config.num_classes, seed=named_seed(seed, "init"))
    images = tf.random.stateless_normal(
        (config.images, *shape), stateless_seed(seed, "noise_images")
    )
    forward = tf.function(lambda: tf.math.reduce_std(model(images, training=False)))
    rows, full = [], []
    for turn in range(config.repeats):
        ones = {name: np.ones(size, np.uint8) for name, size in kernel_shapes(model).items()}
        _draw(model, ones, "dense", named_seed(seed, "signal_weights", turn))
        full.append(float(forward()))
    for sparsity in config.sparsities:
        masks = [_masks(model, sparsity, config, seed, turn) for turn in range(config.repeats)]
        for init in config.inits:
            stds = []
            for turn, mask in enumerate(masks):
                _draw(model, mask, init, named_seed(seed, "signal_weights", turn))
                stds.append(float(forward()))
            ratios = [one / whole for one, whole in zip(stds, full, strict=True)]
            rows.append({
                "sparsity": sparsity,
                "init": init,
                "std": float(np.mean(stds)),
                "spread": float(np.std(stds, ddof=1)) if len(stds) > 1 else None,
                "drift": float(np.mean(np.abs(np.log(ratios)))) if min(ratios) > 0 else None,
                "repeats": len(stds),
            })  # fmt: skip
    return rows


def _masks(
    model: keras.Model, sparsity: float, config: SignalConfig, seed: int, turn: int
) -> Masks:
    return {
        name: uneven_mask(
            shape, sparsity, named_seed(seed, "uneven_mask", name, turn), config.unevenness
        )
        for name, shape in kernel_shapes(model).items()
    }


def _draw(model: keras.Model, masks: Mapping[str, np.ndarray], init: str, seed: int) -> None:
    set_weights(model, sparse_initial_weights(get_weights(model), masks, seed=seed, kind=init))
