"""Batch norm with given statistics, folded into the convolution before it.

gamma * (conv(x, W) - mean) / sqrt(variance + eps) + beta = conv(x, W * s) + shift. Folding costs a
product per weight and row; it saves a pass over the activations per image and row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfsparse.landscape.operations import Operation, add

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Fold:
    """One batch norm and the layer whose kernel takes it up.

    Args:
        kernel: the kernel's name.
        bias: the name of the bias before the batch norm, if any.
        norm: the batch-norm layer.
    """

    kernel: str
    bias: str | None
    norm: Any

    @property
    def shift(self) -> str:
        """The name of what is added instead."""
        return f"{self.norm.name}/shift"

    @property
    def inputs(self) -> list[str]:
        """The weights that enter."""
        names = ["moving_mean", "moving_variance"]
        names += ["gamma"] * self.norm.scale + ["beta"] * self.norm.center
        bias = [] if self.bias is None else [self.bias]
        return [self.kernel, *bias, *(f"{self.norm.name}/{name}" for name in names)]

    def apply(self, table: Arrays) -> None:
        """Replace the kernel and add the shift, for all rows [m, ...] of a table."""
        name = self.norm.name
        variance = np.maximum(table[f"{name}/moving_variance"], 0.0)
        scale = 1.0 / np.sqrt(variance + self.norm.epsilon)
        if self.norm.scale:
            scale = scale * table[f"{name}/gamma"]
        shift = -table[f"{name}/moving_mean"] * scale
        if self.norm.center:
            shift = shift + table[f"{name}/beta"]
        if self.bias is not None:
            shift = shift + table[self.bias] * scale
        kernel = table[self.kernel]
        outputs = kernel.shape[-2:] if self.kernel.endswith("/depthwise_kernel") else (-1,)
        between = (1,) * (kernel.ndim - 1 - len(outputs))
        table[self.kernel] = kernel * scale.reshape(len(scale), *between, *outputs)
        table[self.shift] = shift


def fold(steps: Sequence[Operation], stem: int | None) -> tuple[list[Operation], list[Fold]]:
    """Replace batch norms behind a layer's kernel by additions.

    Args:
        steps: operations whose batch norms take given statistics.
        stem: the place of the first layer's operation: its kernel stays as it is, because what it
            makes is mixed from control points.

    Returns:
        The operations, and what has to be done to the weights.
    """
    steps, folds = list(steps), []
    for norm in [step for step in steps if step.kind == "norm"]:
        before = _alone_before(steps, norm)
        bias = before if before is not None and before.kind == "bias" else None
        linear = _alone_before(steps, bias) if bias is not None else before
        if linear is None or linear.kind != "linear" or steps.index(linear) == stem:
            continue
        found = Fold(linear.weights[0], bias.weights[0] if bias else None, norm.layer)
        folds.append(found)
        steps[steps.index(norm)] = replace(
            norm,
            inputs=(linear.output,),
            weights=(found.shift,),
            kind="bias",
            run=add(found.shift),
        )
        if bias is not None:
            steps.remove(bias)
    return steps, folds


def _alone_before(steps: Sequence[Operation], step: Operation) -> Operation | None:
    """The operation whose output `step` alone reads, if there is one."""
    makers = [other for other in steps if other.output in step.inputs]
    if len(makers) != 1 or len(step.inputs) != 1:
        return None
    readers = sum(makers[0].output in other.inputs for other in steps)
    return makers[0] if readers == 1 else None
