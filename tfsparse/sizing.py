"""How narrow a dense model must be to have as many weights as a sparse one."""

import math

from tfsparse.config import ModelConfig, RunConfig
from tfsparse.errors import UserError
from tfsparse.models import build, kernel_shapes
from tfsparse.sparsity.masks import kept_count


def sized(config: RunConfig, input_shape: tuple[int, int, int], num_classes: int) -> ModelConfig:
    """The model to build: for `small_dense` one whose kernels have, in all, as many weights as
    the full model keeps at mask.sparsity; otherwise the config's own.

    Raises:
        UserError: the model has no width to shrink.
    """
    if config.method != "small_dense":
        return config.model
    if config.mask is None or config.mask.sparsity is None:
        raise UserError("method 'small_dense': expected mask.sparsity")

    def count(width: float) -> int:
        narrow = config.model.model_copy(update={"width": width})
        model = build(narrow, input_shape, num_classes, seed=0)
        return sum(math.prod(shape) for shape in kernel_shapes(model).values())

    full = config.model.width
    wanted = kept_count(count(full), config.mask.sparsity)
    low, high = 0.0, full
    for _ in range(16):  # the count is a staircase in the width; 16 halvings find its step
        middle = (low + high) / 2
        low, high = (middle, high) if count(middle) <= wanted else (low, middle)
    if not low:
        raise UserError("method 'small_dense': not even width 1 in each layer is small enough")
    return config.model.model_copy(update={"width": low})
