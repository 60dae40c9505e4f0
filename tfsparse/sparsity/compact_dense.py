"""Keras layers for any sparse topology: one weight per connection, whatever its pattern."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.errors import UserError
from tfsparse.sparsity.compact_layer import CompactLayer
from tfsparse.sparsity.compact_product import Index, sparse_product
from tfsparse.sparsity.connections import Connections, connections_of
from tfsparse.sparsity.layers import MaskedDense

_INDEX = ("sources", "targets", "by_input", "output_starts", "input_starts")


@keras.saving.register_keras_serializable("tfsparse")
class CompactDense(CompactLayer):
    """A dense layer that stores and computes only its connections.

    Input: float [..., inputs]; output: float [..., outputs]. `kernel`: [connections]. The index
    of the connections is five int32 variables, not trainable, together three numbers per
    connection; the config holds only sizes, so a layer made from a config knows its
    connections once its weights are loaded.

    Args:
        topology: `Connections`, a 0/1 mask [inputs, outputs], or the sizes of a saved config.
        **kwargs: activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer
            and those of every Keras layer.
    """

    def __init__(self, topology: Connections | np.ndarray | dict[str, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._known: Connections | None = None
        if isinstance(topology, dict):
            self._sizes = dict(topology)
        else:
            known = topology if isinstance(topology, Connections) else connections_of(topology)
            self._known = known
            self._sizes = {
                "inputs": known.inputs,
                "outputs": known.outputs,
                "connections": len(known),
                "most_inputs": known.most_inputs,
                "most_outputs": known.most_outputs,
            }

    @classmethod
    def from_dense(
        cls, dense: keras.layers.Dense, topology: Connections | np.ndarray | None = None
    ) -> "CompactDense":
        """The compact twin of a built Dense or MaskedDense layer, with its weights and name.

        Args:
            dense: the layer; a MaskedDense brings its own topology.
            topology: connections or mask, needed for a plain Dense.

        Raises:
            UserError: no topology, another shape, or weights outside the topology.
        """
        if topology is None:
            if not isinstance(dense, MaskedDense):
                raise UserError(
                    f"layer {dense.name!r}: expected a topology or a MaskedDense layer, "
                    f"received {type(dense).__name__} alone"
                )
            topology = dense.mask.numpy()
        layer = cls(topology, **cls._shared_arguments(dense))
        layer.take_weights(dense)
        return layer

    @property
    def layout(self) -> Connections:  # type: ignore[override]
        """The connections; read from the layer's variables when it came from a config."""
        if self._known is None:
            inputs, outputs = self._sizes["inputs"], self._sizes["outputs"]
            known = Connections(inputs, outputs, self.sources.numpy(), self.targets.numpy())
            if not len(known) or known.sources.any() or known.targets.any():
                self._known = known  # all zero: weights not loaded yet
            return known
        return self._known

    @property
    def dense_shape(self) -> tuple[int, int]:
        return self._sizes["inputs"], self._sizes["outputs"]

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        return (self._sizes["connections"],)

    def build(self, input_shape: Any) -> None:
        sizes = self._sizes
        lengths = [sizes["connections"]] * 3 + [sizes["outputs"] + 1, sizes["inputs"] + 1]
        for name, length in zip(_INDEX, lengths, strict=True):
            values = getattr(self._known, name) if self._known is not None else "zeros"
            variable = self.add_weight(
                name,
                shape=(length,),
                dtype=tf.int32,
                trainable=False,
                initializer=values if isinstance(values, str) else _constant(values),
            )
            setattr(self, name, variable)
        super().build(input_shape)

    def product(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.transpose(self.rows_product(tf.transpose(inputs), kernel))

    def rows_product(self, rows: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The outputs [outputs, batch] of inputs [inputs, batch]."""
        index = Index(
            **{name: tf.convert_to_tensor(getattr(self, name)) for name in _INDEX},
            most_inputs=self._sizes["most_inputs"],
            most_outputs=self._sizes["most_outputs"],
        )
        return sparse_product(rows, kernel, index)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "topology": dict(self._sizes)}


def _constant(values: np.ndarray) -> Any:
    """An initializer that is these numbers (Keras' own Constant would enter the config)."""
    return lambda shape, dtype=None, **_: tf.constant(values, dtype)
