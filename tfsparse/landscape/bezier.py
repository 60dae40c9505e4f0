"""Training and walking a curve between two solutions."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from tfsparse import files
from tfsparse.config import TrainConfig
from tfsparse.config.landscape import CurveConfig, SweepConfig
from tfsparse.errors import UserError
from tfsparse.landscape.curves import bernstein, coefficients, on_the_line
from tfsparse.landscape.descend import descend
from tfsparse.landscape.folder import Note, result
from tfsparse.landscape.optimise import CurveTrainer, Descent
from tfsparse.landscape.planes import plane_files
from tfsparse.landscape.results import Profile, walk_path, write_points
from tfsparse.landscape.setting import Setting, make_setting, ticking
from tfsparse.landscape.solutions import (
    CONTROL_POINTS,
    END_RUN,
    Solution,
    masked,
    open_masks,
    open_solution,
    require_inside,
    write_control_points,
)
from tfsparse.plan import make_plan
from tfsparse.runs import Run
from tfsparse.sparsity.mask_facts import mask_hash
from tfsparse.training.feeds import make_feed
from tfsparse.training.progress import Display
from tfsparse.training.trainer import xla_by_default

Weights = Mapping[str, np.ndarray]


def curve(
    config: CurveConfig,
    *,
    command: Sequence[str],
    note: Note,
    run: Run | None = None,
    quiet: bool = False,
) -> tuple[Run, dict[str, Any]]:
    """Train a curve from the end (t = 0) to the start (t = 1), then walk it and perhaps the line.

    Args, Returns, Raises: as for `tfsparse.landscape.lines.interpolate`.
    """
    if config.sweep is not None:
        raise UserError("sweep: expected one setting here; the command takes a sweep apart")

    def prepare() -> Callable[[Run], dict[str, Any]]:
        start = open_solution(config.start, config.seed)
        end = open_solution(config.end, config.seed)
        masks = _masks(config, start, end)
        setting = make_setting(config, [start, end])
        if config.batch_norm == "running" and any("/moving_mean" in n for n in end.weights):
            raise UserError(
                "batch_norm: expected 'batch' or 'recomputed' on a curve, received 'running'; "
                "inner control points have no running averages of their own"
            )
        _plan(config, setting)
        return partial(_compute, config, start, end, masks, setting, quiet)

    return result(
        config, "curve", prepare, command=command, note=note, run=run,
        batch_size=config.train.batch_size,
    )  # fmt: skip


def _compute(
    config: CurveConfig,
    start: Solution,
    end: Solution,
    masks: Weights,
    setting: Setting,
    quiet: bool,
    folder: Run,
) -> dict[str, Any]:
    files.write_json(folder.path / END_RUN, end.config.model_dump(mode="json"))
    points, seconds = _trained(config, folder, setting, start, end, masks, quiet)
    write_control_points(folder.path / CONTROL_POINTS, points)
    paths = _walked(config, folder, setting, points, quiet)
    write_points(folder, paths)
    plane = None
    if config.plane is not None:
        middle = config.order // 2
        plane = plane_files(
            folder, setting, [points[0], points[-1], points[middle]],
            [end.label, start.label, f"control point {middle}"], config.plane,
            {config.name: (config.shape, points)}, quiet=quiet,
        )  # fmt: skip
    verdicts = {name: path.verdicts(towards=0.0) for name, path in paths.items()}
    return {
        "start": start.summary,
        "end": end.summary,
        "t0_is": "end",
        "t1_is": "start",
        "shape": config.shape,
        "order": config.order,
        "subspace": config.subspace,
        "mask_hash": mask_hash(masks) if masks else None,
        "steps": _plan(config, setting).total_steps,
        "points": len(config.values()),
        **setting.summary(),
        "verdict": verdicts,
        "judged": verdicts["curve"],
        "plane": plane,
        "training_seconds": seconds,
    }


def settings(config: CurveConfig) -> list[CurveConfig]:
    """The curves of a sweep, each under a name of its own; a config without one alone."""
    sweep: SweepConfig | None = config.sweep
    if sweep is None:
        return [config]
    found = []
    for rate in sweep.learning_rate:
        for momentum in sweep.momentum:
            train = config.train.model_copy(update={"learning_rate": rate, "momentum": momentum})
            name = f"{config.name}_lr{rate:g}_m{momentum:g}"
            found.append(config.model_copy(update={"name": name, "train": train, "sweep": None}))
    return found


def _masks(config: CurveConfig, start: Solution, end: Solution) -> dict[str, np.ndarray]:
    """The masks of the sparse subspace; empty for the dense one."""
    if config.subspace == "dense":
        return {}
    path = config.mask or config.end.mask or config.end.run
    masks = open_masks(path.replace("{seed}", str(config.seed)))
    for solution in (start, end):
        masked(solution.weights, masks, str(solution.path))
        require_inside(
            solution.weights, masks, f"{solution.path} ({solution.label})",
            "a sparse curve needs a mask that covers both ends; give mask, or use subspace 'dense'",
        )  # fmt: skip
    return masks


def _plan(config: CurveConfig, setting: Setting) -> Any:
    train = config.train
    return make_plan(
        TrainConfig(
            steps=train.steps,
            epochs=train.epochs,
            batch_size=train.batch_size,
            log_every=train.log_every,
            evaluate_every=None,
            checkpoint_every=train.checkpoint_every,
        ),
        setting.data.num_train,
    )


def _trained(
    config: CurveConfig,
    folder: Run,
    setting: Setting,
    start: Solution,
    end: Solution,
    masks: Weights,
    quiet: bool,
) -> tuple[list[dict[str, np.ndarray]], float]:
    """The control points after training, and the seconds it took."""
    plan = _plan(config, setting)
    inner = on_the_line(end.weights, start.weights, config.order)
    shuffle = (config.data or end.config.data).shuffle
    xla = xla_by_default(setting.model) if config.xla is None else config.xla
    trainer = CurveTrainer(
        setting.model,
        [end.weights, *inner, start.weights],
        chain=config.shape == "chain",
        masks=masks,
        feed=make_feed(setting.data, plan, seed=config.seed, shuffle=shuffle),
        batch_size=plan.batch_size,
        descent=Descent(
            learning_rate=config.train.learning_rate,
            momentum=config.train.momentum,
            weight_decay=setting.weight_decay,
            label_smoothing=setting.label_smoothing,
            flat_then_linear=config.train.schedule == "flat_then_linear",
            total_steps=plan.total_steps,
        ),
        seed=config.seed,
        xla=xla and tf.config.list_physical_devices("TPU") == [],
    )
    seconds = descend(trainer, plan, folder, title=config.name, quiet=quiet)
    return trainer.points(), seconds


def _walked(
    config: CurveConfig, folder: Run, setting: Setting, points: Sequence[Weights], quiet: bool
) -> dict[str, Profile]:
    """The curve and, where it is wanted, the line between its ends, from the end to the start."""
    t = config.values()
    rows = {"line": (bernstein(1, t), [points[0], points[-1]])} if config.line else {}
    rows["curve"] = (coefficients(config.shape, config.order, t), list(points))
    paths = {}
    for name, (matrix, controls) in rows.items():
        walk = setting.walk(controls)
        with Display(
            f"{config.name} {name}", walk.passes(len(t)),
            batch_size=setting.images.batch_size, quiet=quiet,
        ) as display:  # fmt: skip
            paths[name] = walk_path(
                walk, t, matrix, controls, setting.kernels, setting.weight_decay,
                tick=ticking(display), keep=folder.checkpoints / name,
            )  # fmt: skip
    return paths
