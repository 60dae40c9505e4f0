"""Several processes at one run: worker 0 writes the run folder, the others write none."""

import contextlib
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from tfsparse.errors import RunFailed, UserError, one_line
from tfsparse.runs import Run

GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
"""What a collective operation raises when a worker or a TPU is gone."""


@contextlib.contextmanager
def shared_run(run: Run, strategy: tf.distribute.Strategy) -> Iterator[Run]:
    """The folder for this process: `run` itself for worker 0 and where there is one process.

    Batch norm's averages are gathered from all workers when weights or checkpoints are written,
    so every worker takes every step of the work. The others do so in a temporary copy of the
    folder, from which they also carry on.

    Raises:
        UserError: the workers do not see the same folder.
        RunFailed: a worker is gone.
    """
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type or len(_workers(resolver)) < 2:
        yield run
        return
    try:
        if resolver.task_id == 0:
            _agree(strategy, run)
            yield run
            _agree(strategy, run, finished=True)
            return
        folder = tempfile.mkdtemp(prefix="tfsparse_worker_")
        try:
            copy = Run(Path(folder) / run.path.parent.name / run.path.name)
            if run.path.is_dir():
                shutil.copytree(run.path, copy.path)
            for path in copy.path.rglob("config.json"):  # it names the folder's own path
                path.unlink()
            _agree(strategy, run)
            yield copy
            _agree(strategy, run, finished=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except GONE as error:
        raise RunFailed(gone(run, error)) from error


def gone(run: Run, error: BaseException) -> str:
    """What to tell the user when another worker has left."""
    return (
        f"{run.path}: another worker is gone ({one_line(error)[:120]}); start all workers again "
        "with the same command: the run carries on from its last checkpoint"
    )


def _workers(resolver: tf.distribute.cluster_resolver.ClusterResolver) -> list[str]:
    return resolver.cluster_spec().as_dict().get("worker", [])


def _agree(strategy: tf.distribute.Strategy, run: Run, *, finished: bool = False) -> None:
    """Wait until every worker is here; at the start also compare what they see of the folder."""
    seen = "" if finished else f"{run.finished()} {tf.train.latest_checkpoint(run.checkpoints)}"
    number = zlib.crc32(seen.encode()) % (1 << 20)

    def moments() -> tuple[tf.Tensor, tf.Tensor]:
        value = tf.constant(number, tf.int64)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, [value, value * value])

    found = tf.function(lambda: strategy.run(moments))()
    first, second = (int(strategy.experimental_local_results(part)[0]) for part in found)
    if strategy.num_replicas_in_sync * second != first * first:  # the numbers' variance is not 0
        raise UserError(
            f"{run.path}: expected the same folder on every worker, received one that is "
            f"{run.state()} here and otherwise elsewhere; put run_dir on a disk they share"
        )
