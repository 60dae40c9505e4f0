"""Architectures, their weights by name, and which of these may be masked."""

from tfsparse.models.build import ZOO, build, check_model
from tfsparse.models.state import untouched_state
from tfsparse.models.weights import (
    first_convolution,
    get_weights,
    is_compact,
    kernel_shapes,
    last_dense,
    maskable_layers,
    named_variables,
    set_weights,
)

__all__ = [
    "ZOO",
    "build",
    "check_model",
    "first_convolution",
    "get_weights",
    "is_compact",
    "kernel_shapes",
    "last_dense",
    "maskable_layers",
    "named_variables",
    "set_weights",
    "untouched_state",
]
