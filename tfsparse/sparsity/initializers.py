"""The sparse initial kernels as ordinary Keras initializers.

    keras.layers.Dense(100, kernel_initializer=PerNeuronInitializer(mask, seed=7))

The mask travels in the config, so a saved layer can be loaded and initialised anew. Unlike
Keras' own, these draw the same kernel on every call: the seed is part of the recipe. Give each
layer its own seed.
"""

import base64
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.sparsity.initial_kernels import check_init, sparse_initial_kernel
from tfsparse.sparsity.mask_files import validate_masks


class _SparseInitializer(keras.initializers.Initializer):
    """A kernel drawn for `mask`, by the kind that the subclass names.

    Args:
        mask: 0/1 array of the kernel's shape, or the packed form of `get_config`.
        seed: an integer.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "normal" (untruncated) or "uniform".
        scale: the variance is scale / fan.

    Raises:
        UserError: settings or a mask that no kernel can be drawn from; on call, another shape.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        mask: np.ndarray | dict[str, Any],
        *,
        seed: int,
        mode: str = "fan_in",
        distribution: str = "normal",
        scale: float = 2.0,
    ) -> None:
        check_init(kind=self.kind, mode=mode, distribution=distribution, scale=scale)
        array = _unpacked(mask) if isinstance(mask, dict) else np.asarray(mask)
        self.mask = validate_masks({"(initializer)": array})["(initializer)"]
        self.seed = int(seed)
        self.mode = mode
        self.distribution = distribution
        self.scale = float(scale)

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        if tuple(shape) != self.mask.shape:
            raise UserError(
                f"{type(self).__name__}: expected the mask's shape {self.mask.shape}, "
                f"received {tuple(shape)}"
            )
        kernel = sparse_initial_kernel(
            self.mask,
            seed=self.seed,
            kind=self.kind,
            mode=self.mode,
            distribution=self.distribution,
            scale=self.scale,
        )
        return tf.cast(kernel, dtype or keras.backend.floatx())

    def get_config(self) -> dict[str, Any]:
        return {
            "mask": _packed(self.mask),
            "seed": self.seed,
            "mode": self.mode,
            "distribution": self.distribution,
            "scale": self.scale,
        }


@keras.saving.register_keras_serializable("tfsparse")
class PerNeuronInitializer(_SparseInitializer):
    """Variance by the unmasked fan of each neuron (Evci et al.)."""

    kind = "per_neuron"


@keras.saving.register_keras_serializable("tfsparse")
class PerLayerInitializer(_SparseInitializer):
    """Variance by the layer's density (Liu et al.)."""

    kind = "per_layer"


@keras.saving.register_keras_serializable("tfsparse")
class MaskedDenseInitializer(_SparseInitializer):
    """The dense layer's kernel, then masked: unaware of sparsity."""

    kind = "dense"


def _packed(mask: np.ndarray) -> dict[str, Any]:
    """The mask as JSON: one bit per weight."""
    bits = base64.b64encode(np.packbits(mask.reshape(-1)).tobytes()).decode("ascii")
    return {"shape": [int(n) for n in mask.shape], "bits": bits}


def _unpacked(packed: dict[str, Any]) -> np.ndarray:
    try:
        shape = tuple(int(n) for n in packed["shape"])
        data = np.frombuffer(base64.b64decode(packed["bits"], validate=True), np.uint8)
        size = int(np.prod(shape, dtype=np.int64))
        if data.size != -(-size // 8):
            raise ValueError(f"{data.size} bytes for {size} weights")
        return np.unpackbits(data, count=size).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"mask in an initializer's config: cannot be unpacked ({error})") from None
