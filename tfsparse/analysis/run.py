"""One analysis from config to summary, in a folder like a run's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfsparse.analysis.kinds import analyze_flow, analyze_signal, analyze_similarity
from tfsparse.analysis.solutions import open_solution
from tfsparse.analysis.spectrum import analyze_hessian
from tfsparse.config.analysis import AnalysisConfig
from tfsparse.landscape.folder import Note, result
from tfsparse.runs import Run

KINDS: Mapping[str, Callable[[AnalysisConfig, Run, Note], dict[str, Any]]] = {
    "signal": analyze_signal,
    "gradient_flow": analyze_flow,
    "hessian": analyze_hessian,
    "similarity": analyze_similarity,
}


def analyze(
    config: AnalysisConfig,
    *,
    command: Sequence[str],
    note: Note,
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

    def prepare() -> Callable[[Run], dict[str, Any]]:
        for path in _sources(config):  # a missing run leaves no folder behind
            open_solution(path)

        def compute(folder: Run) -> dict[str, Any]:
            found = KINDS[config.kind](config, folder, note)
            return {"analysis": config.kind, "seed": config.seed, **found}

        return compute

    return result(config, "analysis", prepare, command=command, note=note, run=run)


def _sources(config: AnalysisConfig) -> list[str]:
    """The runs that are looked at."""
    if config.similarity is not None:
        return [config.similarity.solution, *config.similarity.runs]
    section = config.gradient_flow or config.hessian
    return [] if section is None else [section.run]
