"""A model's state that is not trained, such as batch norm's running averages."""

import contextlib
from collections.abc import Iterator

import tf_keras as keras


@contextlib.contextmanager
def untouched_state(model: keras.Model) -> Iterator[None]:
    """Put back what a forward pass in training mode within the block changes.

    Works eagerly and within a `tf.function`, whose operations on variables keep their order.
    """
    state = [(variable, variable.read_value()) for variable in model.non_trainable_variables]
    yield
    for variable, value in state:
        variable.assign(value)
