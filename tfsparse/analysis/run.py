"""One analysis from config to summary, in a folder like a run's."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfsparse.analysis.kinds import analyze_flow, analyze_signal, analyze_similarity
from tfsparse.analysis.spectrum import analyze_hessian
from tfsparse.config.analysis import AnalysisConfig
from tfsparse.environment import now
from tfsparse.errors import RunFailed, UserError, one_line
from tfsparse.runs import Run, run_path
from tfsparse.training.distributed import distributed
from tfsparse.training.workers import GONE

KINDS: Mapping[str, Callable[[AnalysisConfig, Run, Callable[[str], None]], dict[str, Any]]] = {
    "signal": analyze_signal,
    "gradient_flow": analyze_flow,
    "hessian": analyze_hessian,
    "similarity": analyze_similarity,
}


def analyze(
    config: AnalysisConfig,
    *,
    command: Sequence[str],
    note: Callable[[str], None],
    run: Run | None = None,
) -> tuple[Run, dict[str, Any]]:
    """Compute what `config` asks for, or return it when it is there.

    Args:
        config: the analysis.
        command: the command line, recorded in the folder.
        note: called with each sentence for the user.
        run: the folder; default: that of the config's name and seed.

    Returns:
        The folder and its summary.

    Raises:
        UserError: input that cannot be used.
        RunFailed: the computation failed.
    """
    run = run or Run(run_path(config.run_dir, config.name, config.seed))

    def work(folder: Run) -> dict[str, Any]:
        return _analyze_in(config, folder, command=command, note=note)

    return run, distributed(work, run, config.distribution, note)


def _analyze_in(
    config: AnalysisConfig, run: Run, *, command: Sequence[str], note: Callable[[str], None]
) -> dict[str, Any]:
    """The summary of an analysis in a given folder."""
    with run.writing(config, command):
        if run.finished():
            note(f"{run.path} is finished; its results:")
            return run.summary()
        began = time.monotonic()
        try:
            found = KINDS[config.kind](config, run, note)
        except (UserError, RunFailed, *GONE) as error:
            run.write_failure(error)
            raise
        except (OSError, tf.errors.OpError) as error:
            run.write_failure(error)
            raise RunFailed(f"{run.path}: {one_line(error)}") from error
        run.write_summary({
            "kind": "analysis",
            "analysis": config.kind,
            "name": config.name,
            "seed": config.seed,
            **found,
            "seconds": time.monotonic() - began,
            "finished_at": now(),
        })  # fmt: skip
        return run.summary()
