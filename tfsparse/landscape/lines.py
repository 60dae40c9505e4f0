"""Walking the straight line between two solutions."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tfsparse.config.landscape import InterpolationConfig
from tfsparse.landscape.curves import line
from tfsparse.landscape.folder import Note, result
from tfsparse.landscape.results import walk_path, write_points
from tfsparse.landscape.setting import Setting, make_setting, ticking
from tfsparse.landscape.solutions import Solution, open_solution
from tfsparse.runs import Run
from tfsparse.training.progress import Display


def interpolate(
    config: InterpolationConfig,
    *,
    command: Sequence[str],
    note: Note,
    run: Run | None = None,
    quiet: bool = False,
) -> tuple[Run, dict[str, Any]]:
    """The losses on theta(t) = t * end + (1 - t) * start.

    Args:
        config: which line, where and on what.
        command: the command line, recorded in the folder.
        note: called with each sentence for the user.
        run: the folder; default: that of the config's name and seed.
        quiet: show no progress.

    Returns:
        The folder and its summary.

    Raises:
        UserError: input that cannot be used.
        RunFailed: the computation failed.
    """

    def prepare() -> Callable[[Run], dict[str, Any]]:
        start = open_solution(config.start, config.seed)
        end = open_solution(config.end, config.seed)
        return partial(_walk, config, start, end, make_setting(config, [start, end]), quiet)

    return result(config, "interpolation", prepare, command=command, note=note, run=run)


def _walk(
    config: InterpolationConfig,
    start: Solution,
    end: Solution,
    setting: Setting,
    quiet: bool,
    folder: Run,
) -> dict[str, Any]:
    points = [start.weights, end.weights]
    t = config.values()
    walk = setting.walk(points)
    size = setting.images.batch_size
    with Display(config.name, walk.passes(len(t)), batch_size=size, quiet=quiet) as display:
        path = walk_path(
            walk, t, line(t), points, setting.kernels, setting.weight_decay,
            tick=ticking(display), keep=folder.checkpoints,
        )  # fmt: skip
    write_points(folder, {"line": path})
    verdict = path.verdicts(towards=1.0)
    return {
        "start": start.summary,
        "end": end.summary,
        "t0_is": "start",
        "t1_is": "end",
        "points": len(t),
        **setting.summary(),
        "verdict": verdict,
        "judged": verdict,
    }
