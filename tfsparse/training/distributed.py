"""A command's work under the strategy of its config: on which devices, in which folder, and anew
after a TPU was taken away."""

from collections.abc import Callable
from typing import TypeVar

from tfsparse.config.distribution import DistributionConfig
from tfsparse.errors import RunFailed, one_line
from tfsparse.runs import Run
from tfsparse.training.strategies import check_batch, make_strategy
from tfsparse.training.workers import GONE, shared_run

RESTARTS = 20
"""How often in a row a run is started anew before it gives up."""

Result = TypeVar("Result")


def distributed(
    work: Callable[[Run], Result],
    run: Run,
    config: DistributionConfig,
    note: Callable[[str], None],
    batch_size: int | None = None,
) -> Result:
    """What `work` returns.

    Args:
        work: does everything in the folder it is given, which is `run` or, for a worker other
            than the first, a temporary copy of it.
        run: the folder.
        config: the devices.
        note: called with each sentence for the user.
        batch_size: when given, it must be a multiple of the replicas.

    Raises:
        UserError: devices that do not exist, or a batch they cannot share.
        RunFailed: another worker left, or the TPU went away too often.
    """

    def attempt() -> Result:
        strategy = make_strategy(config)
        if batch_size is not None:
            check_batch(strategy, batch_size, "train.batch_size")
        with strategy.scope(), shared_run(run, strategy) as folder:
            return work(folder)

    return restarting(attempt, config, note)


def restarting(
    attempt: Callable[[], Result], config: DistributionConfig, note: Callable[[str], None]
) -> Result:
    """What `attempt` returns; on a TPU it is called again, with a new strategy, when the TPU is
    preempted. Each attempt carries on from the last checkpoint.

    Raises:
        RunFailed: the TPU went away too often.
    """
    restarts = 0
    while True:
        try:
            return attempt()
        except GONE as error:
            if config.strategy != "tpu" or restarts == RESTARTS:
                times = f" ({restarts + 1} times)" if restarts else ""
                raise RunFailed(f"a device went away{times}: {one_line(error)}") from error
            restarts += 1
            note(f"warning: the TPU went away ({one_line(error)[:120]}); starting anew")
            make_strategy.cache_clear()
