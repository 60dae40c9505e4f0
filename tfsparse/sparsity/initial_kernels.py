"""Initial kernels for sparse layers, as numpy functions.

Three kinds, each a variance times untruncated noise times the mask, with fan counts either of
the dense layer or of what the mask leaves (Evci et al., "Gradient Flow in Sparse Neural
Networks and How Lottery Tickets Win", section 3.1):

    per_neuron   Var(w_ij) = scale / fan of the neurons that w_ij joins, unmasked inputs only
    per_layer    Var(w_ij) = scale / (dense fan * density of the layer)   (Liu et al. 2019)
    dense        Var(w_ij) = scale / dense fan                            (He et al. at scale 2)

Kernels are [..., inputs, outputs]: the last axis counts output neurons or channels, the one
before it inputs, and all axes before those are the positions of a convolution.
"""

import math
from collections.abc import Mapping

import numpy as np

from tfsparse.errors import UserError
from tfsparse.seeds import named_seed

KINDS = ("per_neuron", "per_layer", "dense")
MODES = ("fan_in", "fan_out", "fan_avg")
NOISES = ("normal", "uniform")


def sparse_initial_kernel(
    mask: np.ndarray,
    *,
    seed: int,
    kind: str = "per_neuron",
    mode: str = "fan_in",
    distribution: str = "normal",
    scale: float = 2.0,
) -> np.ndarray:
    """A float32 kernel of the mask's shape, 0 outside the mask.

    The noise at a place depends on seed, shape and distribution only. So two masks, or two kinds,
    of one seed differ in scale and not in luck, and `kind="dense"` is the dense kernel times the
    mask. A neuron without inputs gets zeros.

    Args:
        mask: 0/1 array of at least two axes.
        seed: for numpy's default generator.
        kind: one of KINDS.
        mode: "fan_in" counts what enters the output neuron, "fan_out" what leaves the input
            neuron, "fan_avg" takes the mean of both.
        distribution: "normal", or "uniform" in +-sqrt(3 * variance).
        scale: the variance is scale / fan.

    Raises:
        UserError: an unknown kind, mode or distribution, a scale that is not positive, or a mask
            of fewer than two axes.
    """
    check_init(kind=kind, mode=mode, distribution=distribution, scale=scale)
    mask = np.asarray(mask)
    if mask.ndim < 2:
        raise UserError(f"mask: expected a kernel of at least two axes, received {mask.shape}")
    kernel = _noise(mask.shape, distribution, seed)
    # In place: for a large network the time goes into passes over memory.
    kernel *= _deviation(mask, kind, mode, scale)
    kernel *= mask != 0
    return kernel


def sparse_initial_weights(
    weights: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    *,
    seed: int,
    kind: str = "per_neuron",
    mode: str = "fan_in",
    distribution: str = "normal",
    scale: float = 2.0,
) -> dict[str, np.ndarray]:
    """`weights` with a new kernel for every masked layer.

    Biases, batch norm and layers without a mask keep what they have. Each layer draws from its
    own named seed, so that adding a layer changes no other.

    Args:
        weights: arrays keyed "<layer>/<weight>".
        masks: 0/1 arrays keyed by layer.

    Raises:
        UserError: a mask without a kernel of its shape, or as `sparse_initial_kernel`.
    """
    result = dict(weights)
    for name, mask in masks.items():
        key = f"{name}/kernel"
        if key not in weights:
            raise UserError(f"mask of layer {name!r}: the weights hold no {key!r}")
        if np.shape(weights[key]) != np.shape(mask):
            raise UserError(
                f"mask of layer {name!r}: expected the kernel's shape {np.shape(weights[key])}, "
                f"received {np.shape(mask)}"
            )
        layer_seed = named_seed(seed, "sparse_init", name)
        result[key] = sparse_initial_kernel(
            mask, seed=layer_seed, kind=kind, mode=mode, distribution=distribution, scale=scale
        )
    return result


def scale_against_dense(
    mask: np.ndarray, *, kind: str, mode: str = "fan_in", scale: float = 2.0
) -> np.ndarray:
    """What turns a kernel drawn for a full layer into one drawn for `mask`, elementwise.

    The ratio of the two standard deviations, of a shape that broadcasts to the mask's; 0 for
    neurons without inputs.
    """
    check_init(kind=kind, mode=mode, distribution="normal", scale=scale)
    mask = np.asarray(mask)
    return _deviation(mask, kind, mode, scale) / _deviation(np.ones_like(mask), kind, mode, scale)


def fans(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unmasked connections of each output neuron [outputs], and of each input neuron [inputs]."""
    mask = np.asarray(mask) != 0
    # Over the positions of a convolution first: both counts follow from the small rest.
    joined = mask.reshape(-1, *mask.shape[-2:]).sum(axis=0, dtype=np.int32)
    return joined.sum(axis=0), joined.sum(axis=1)


def check_init(*, kind: str, mode: str, distribution: str, scale: float) -> None:
    """Refuse settings that no kernel can be drawn from.

    Raises:
        UserError: it names the setting, what was expected and what was received.
    """
    for name, value, known in (
        ("kind", kind, KINDS), ("mode", mode, MODES), ("distribution", distribution, NOISES)
    ):  # fmt: skip
        if value not in known:
            raise UserError(f"init {name}: expected one of {', '.join(known)}, received {value!r}")
    if not (math.isfinite(scale) and scale > 0):
        raise UserError(f"init scale: expected a number > 0, received {scale!r}")


def _noise(shape: tuple[int, ...], distribution: str, seed: int) -> np.ndarray:
    """float32 noise of mean 0 and variance 1."""
    rng = np.random.default_rng(seed)
    if distribution == "normal":
        return rng.standard_normal(shape, dtype=np.float32)
    noise = rng.random(shape, dtype=np.float32)
    noise -= np.float32(0.5)
    noise *= np.float32(math.sqrt(12.0))
    return noise


def _deviation(mask: np.ndarray, kind: str, mode: str, scale: float) -> np.ndarray:
    """The float32 standard deviation, in a shape that broadcasts to the kernel's."""
    if kind == "per_neuron":
        fan_in, fan_out = fans(mask)
        # float32 holds these counts, and half the memory is half the time.
        columns, rows = fan_in.astype(np.float32), fan_out.astype(np.float32)
        fan = _fan(mode, columns, rows[:, np.newaxis])
    else:
        outputs, inputs = mask.shape[-1], mask.shape[-2]
        fan = np.float32(_fan(mode, mask.size / outputs, mask.size / inputs))
        if kind == "per_layer":
            fan *= np.float32(np.count_nonzero(mask) / mask.size)
    # A neuron of fan 0 has nothing to draw: 1 instead of 0 keeps it free of NaN.
    return np.sqrt(np.float32(scale) / np.where(fan > 0, fan, np.float32(1.0)))


def _fan(mode: str, fan_in: np.ndarray | float, fan_out: np.ndarray | float) -> np.ndarray | float:
    if mode == "fan_in":
        return fan_in
    return fan_out if mode == "fan_out" else (fan_in + fan_out) * 0.5
