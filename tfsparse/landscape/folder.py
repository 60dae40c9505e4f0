"""A result's folder: held while it is computed, returned when it is there."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from tfsparse.config.analysis import AnalysisConfig
from tfsparse.config.landscape import WalkConfig
from tfsparse.environment import now
from tfsparse.runs import Run, run_path
from tfsparse.training.distributed import distributed
from tfsparse.training.failures import recording_failure

Note = Callable[[str], None]


def result(
    config: WalkConfig | AnalysisConfig,
    kind: str,
    prepare: Callable[[], Callable[[Run], dict[str, Any]]],
    *,
    command: Sequence[str],
    note: Note,
    run: Run | None = None,
    batch_size: int | None = None,
) -> tuple[Run, dict[str, Any]]:
    """Compute a result into its folder, or return it when it is finished.

    Args:
        config: names the folder and is kept in it.
        kind: "interpolation", "curve", "plane" or "analysis".
        prepare: opens and checks the input, before a folder is made; what it returns fills the
            folder and returns what the summary says.
        command: the command line, recorded in the folder.
        note: called with each sentence for the user.
        run: the folder; default: that of the config's name and seed.
        batch_size: of training, if there is any; the replicas share it.

    Returns:
        The folder and its summary.

    Raises:
        UserError: input that cannot be used.
        RunFailed: the computation failed.
    """
    run = run or Run(run_path(config.run_dir, config.name, config.seed))

    def work(folder: Run) -> dict[str, Any]:
        return _result(config, kind, prepare, folder, command=command, note=note)

    return run, distributed(work, run, config.distribution, note, batch_size)


def _result(
    config: WalkConfig | AnalysisConfig,
    kind: str,
    prepare: Callable[[], Callable[[Run], dict[str, Any]]],
    run: Run,
    *,
    command: Sequence[str],
    note: Note,
) -> dict[str, Any]:
    """The summary of a result in a given folder."""
    compute = None if run.finished() else prepare()
    with run.writing(config, command):
        if compute is None or run.finished():
            note(f"{run.path} is finished; its results:")
            return run.summary()
        began = time.monotonic()
        with recording_failure(run):
            found = compute(run)
        run.write_summary({
            "kind": kind,
            "name": config.name,
            **found,
            "seconds": time.monotonic() - began,
            "finished_at": now(),
        })  # fmt: skip
        for path in run.checkpoints.rglob("rows_*.npz"):  # needed to resume a walk, and large
            path.unlink()
        return run.summary()
