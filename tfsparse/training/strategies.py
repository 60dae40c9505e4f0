"""The `tf.distribute` strategy of a config, and what is computed alike on all replicas.

A strategy is entered once, around a whole command; below it `tf.distribute.get_strategy()` says
what is in force. Without one (strategy one_device, no device named) nothing here does anything.
"""

import itertools
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfsparse.config.distribution import DistributionConfig, read_cluster
from tfsparse.errors import UserError, one_line

ANSWER_SECONDS = 20
"""How long a TPU's address may take to answer."""


@lru_cache(maxsize=1)  # one process can belong to one cluster only
def make_strategy(config: DistributionConfig) -> tf.distribute.Strategy:
    """The strategy that `config` asks for.

    To be called before TensorFlow computes anything: only then can a processor be split into
    CPU:0, CPU:1, ... and a process join a cluster.

    Raises:
        UserError: devices or a TPU that do not exist, a TF_CONFIG that is none.
    """
    if config.strategy == "multi_worker":
        read_cluster(os.environ.get("TF_CONFIG"))
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except RuntimeError as error:  # TensorFlow already runs
            raise UserError(f"distribution.strategy: {one_line(error)}") from None
    if config.strategy == "tpu":
        assert config.tpu is not None  # the config has checked it
        return _tpu(config.tpu)
    _check_devices(config.devices)
    if config.strategy == "mirrored":
        return tf.distribute.MirroredStrategy(list(config.devices) or None)
    if config.devices:
        return tf.distribute.OneDeviceStrategy(config.devices[0])
    return tf.distribute.get_strategy()


def check_batch(strategy: tf.distribute.Strategy, batch_size: int, key: str) -> None:
    """Raise a UserError unless every replica gets equally many images of a batch."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(
            f"{key}: expected a multiple of the {replicas} replicas, received {batch_size}"
        )


def on_each(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a graph that every replica computes on the same arguments; the result is one
    replica's. For what is measured once in a while and whose batches must stay whole."""
    if not tf.distribute.has_strategy():
        return tf.function(function, reduce_retracing=True)
    strategy = tf.distribute.get_strategy()
    graph = tf.function(lambda *arguments: strategy.run(function, args=arguments))

    def first(*arguments: Any) -> Any:
        found = graph(*arguments)
        return tf.nest.map_structure(lambda x: strategy.experimental_local_results(x)[0], found)

    return first


class OverParts:
    """Computes the parts of a whole, one part on each replica at a time.

    Args:
        function: of one part's tensors and what is the same for all; its results are tensors of
            equal shapes for all parts.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._strategy = tf.distribute.get_strategy()
        self._spread = tf.distribute.has_strategy()

        def stacked(*arguments: Any) -> Any:
            return tf.nest.map_structure(lambda value: value[None], function(*arguments))

        def on_replicas(*arguments: Any) -> Any:
            return self._strategy.run(stacked, args=arguments)

        self._graph = tf.function(on_replicas if self._spread else function, reduce_retracing=True)

    def __call__(self, parts: Iterable[tuple[Any, ...]], *same: Any) -> Iterator[Any]:
        """The results of all parts, in order; the same on every worker."""
        if not self._spread:
            yield from (self._graph(*part, *same) for part in parts)
            return
        iterator, replicas = iter(parts), self._strategy.num_replicas_in_sync
        while chosen := list(itertools.islice(iterator, replicas)):
            filled = chosen + chosen[-1:] * (replicas - len(chosen))
            own = self._strategy.experimental_distribute_values_from_function(
                lambda context, filled=filled: filled[context.replica_id_in_sync_group]
            )
            found = self._graph(*own, *same)
            every = tf.nest.map_structure(lambda x: self._strategy.gather(x, axis=0), found)
            for number in range(len(chosen)):
                yield tf.nest.map_structure(lambda x, number=number: x[number], every)


def replica() -> tuple[tf.Tensor | int, int]:
    """Which replica computes this, and of how many."""
    if not tf.distribute.has_strategy():
        return 0, 1
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group, context.num_replicas_in_sync


def mean_over_replicas(values: Any) -> Any:
    """The means of a structure of tensors over all replicas, from within them."""
    if not tf.distribute.has_strategy():
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def assign(variable: tf.Variable, value: tf.Tensor) -> None:
    """Assign what all replicas have computed alike, each to its own copy, from within them."""
    if not tf.distribute.has_strategy() or tf.distribute.in_cross_replica_context():
        variable.assign(value)
        return
    tf.distribute.get_replica_context().merge_call(_assign_copies, args=(variable, value))


def _assign_copies(strategy: tf.distribute.Strategy, variable: tf.Variable, value: Any) -> None:
    strategy.extended.update(variable, lambda copy, own: copy.assign(own), args=(value,))


def settle(variables: Iterable[tf.Variable]) -> None:
    """Give every replica the mean of what the replicas keep apart: batch norm's running averages.

    Evaluations then do not depend on the replica, and a run that is carried on from a checkpoint,
    which holds the means, does not differ from one that was never stopped.
    """
    if not tf.distribute.has_strategy():
        return
    for variable in variables:
        if variable.synchronization == tf.VariableSynchronization.ON_READ:
            variable.assign(variable.read_value())


def synchronised(model: keras.Model) -> keras.Model:
    """`model` with batch norms that take their statistics from the batch of all replicas."""

    def twin(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        return layer.__class__.from_config(config)

    result = keras.models.clone_model(model, clone_function=twin)
    result.set_weights(model.get_weights())
    return result


def _check_devices(devices: tuple[str, ...]) -> None:
    numbers = [int(device[4:]) for device in devices if device.startswith("CPU")]
    if numbers:
        _split_processor(max(numbers) + 1)
    graphics = len(tf.config.list_physical_devices("GPU"))
    for device in devices:
        if device.startswith("GPU") and int(device[4:]) >= graphics:
            there = ", ".join(["CPU:0", *(f"GPU:{i}" for i in range(graphics))])
            raise UserError(
                f"distribution.devices: expected devices of this machine ({there}), "
                f"received {device}"
            )


def _split_processor(count: int) -> None:
    """Make the processor appear as at least so many devices."""
    (processor,) = tf.config.list_physical_devices("CPU")
    made = tf.config.get_logical_device_configuration(processor) or [None]
    if len(made) >= count:
        return
    try:
        parts = [tf.config.LogicalDeviceConfiguration()] * count
        tf.config.set_logical_device_configuration(processor, parts)
    except RuntimeError:
        raise UserError(
            f"distribution.devices: expected at most CPU:{len(made) - 1}, received CPU:{count - 1};"
            " a processor cannot be split any more once TensorFlow runs"
        ) from None


def _reach(name: str) -> None:
    """Raise an OSError where an address does not answer; TensorFlow would wait for ever."""
    host, colon, port = name.removeprefix("grpc://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()


def _tpu(name: str) -> tf.distribute.Strategy:
    try:
        _reach(name)
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise UserError(
            f"distribution.tpu: no TPU answers to {name!r} ({one_line(error)[:200]}); "
            "give its name or address, or choose another strategy"
        ) from None
