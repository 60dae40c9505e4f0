"""A model's state that is not trained, such as batch norm's running averages."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras


@contextlib.contextmanager
def untouched_state(model: keras.Model) -> Iterator[None]:
    """Put back what a forward pass in training mode within the block changes.

    Works eagerly and within a `tf.function`, whose operations on variables keep their order.
    """
    # A replica may assign only what it keeps for itself; nothing else changes in a forward pass.
    own = tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()
    state = [
        (variable, variable.read_value())
        for variable in model.non_trainable_variables
        if not own or variable.synchronization == tf.VariableSynchronization.ON_READ
    ]
    yield
    for variable, value in state:
        variable.assign(value)
