"""The loop that trains a curve: log lines, checkpoints, resuming with the same bits."""

import math
import time
from pathlib import Path

import numpy as np

from tfsparse import files
from tfsparse.errors import RunFailed, UserError, one_line
from tfsparse.landscape.optimise import TOTALS, CurveTrainer
from tfsparse.plan import Plan
from tfsparse.runs import Run
from tfsparse.training.progress import Display

KEPT = 2


def descend(trainer: CurveTrainer, plan: Plan, run: Run, *, title: str, quiet: bool) -> float:
    """Train from the newest checkpoint to the last step.

    Args:
        trainer: takes the steps.
        plan: how many, and when to log and to keep a checkpoint.
        run: the folder, held by this process.
        title: what the progress line says.
        quiet: show no progress.

    Returns:
        The seconds trained, over all processes that worked on this curve.

    Raises:
        RunFailed: the loss is not finite, or a checkpoint cannot be read.
    """
    step, sums = _restore(trainer, run.checkpoints)
    run.cut_metrics(after_step=step if step is not None else -1)
    step = step or 0
    began = time.monotonic() - sums[-1]
    with Display(
        title, plan.total_steps, start=step, batch_size=plan.batch_size, quiet=quiet
    ) as display:
        while step < plan.total_steps:
            end = plan.next_boundary(step, frozenset())
            totals = trainer.run(step, end - step)
            if not all(math.isfinite(total) for total in totals.values()):
                raise RunFailed(
                    f"{run.path}: the loss on the curve is not finite between steps {step} and "
                    f"{end}; lower train.learning_rate"
                )
            sums[:-2] += [totals[name] for name in TOTALS]
            sums[-2] += end - step
            sums[-1] = time.monotonic() - began
            step = end
            last = step == plan.total_steps
            if step % plan.log_every == 0 or last:
                _log(trainer, plan, run, step, sums, display)
            if step % plan.checkpoint_every == 0 or last:
                _save(trainer, run.checkpoints, step, sums)
    return float(sums[-1])


def _log(
    trainer: CurveTrainer, plan: Plan, run: Run, step: int, sums: np.ndarray, display: Display
) -> None:
    entropy, l2, correct = sums[: len(TOTALS)] / max(1.0, sums[-2])
    line = {
        "kind": "train",
        "step": step,
        "epoch": step / plan.steps_per_epoch,
        "loss": entropy + l2,
        "cross_entropy": entropy,
        "l2": l2,
        "accuracy": correct / plan.batch_size,
        "learning_rate": float(trainer.descent.rate(step)),
        "images_per_second": step * plan.batch_size / max(1e-9, sums[-1]),
        "seconds": sums[-1],
    }
    run.append_metrics(line)
    display.update(step, loss=float(entropy + l2))
    sums[:-1] = 0.0


def _name(step: int) -> str:
    return f"step_{step:08d}.npz"


def _save(trainer: CurveTrainer, folder: Path, step: int, sums: np.ndarray) -> None:
    files.write_npz(
        folder / _name(step),
        {
            **{f"bends/{name}": value.numpy() for name, value in trainer.bends.items()},
            **{f"velocity/{name}": value.numpy() for name, value in trainer.velocity.items()},
            "step": np.array(step),
            "sums": sums,
        },
    )
    for old in sorted(folder.glob("step_*.npz"))[:-KEPT]:
        old.unlink()


def _restore(trainer: CurveTrainer, folder: Path) -> tuple[int | None, np.ndarray]:
    """The newest checkpoint's step and sums [totals, steps, seconds]; (None, zeros) without one."""
    found = sorted(folder.glob("step_*.npz"))
    if not found:
        return None, np.zeros(len(TOTALS) + 2)
    path = found[-1]
    try:
        arrays = files.read_npz(path)
        for word, variables in (("bends", trainer.bends), ("velocity", trainer.velocity)):
            for name, variable in variables.items():
                variable.assign(arrays[f"{word}/{name}"])
        return int(arrays["step"]), arrays["sums"]
    except (UserError, KeyError, ValueError) as error:
        raise RunFailed(
            f"{path}: cannot be restored ({one_line(error)}); remove the checkpoints folder to "
            "train this curve from its start"
        ) from None
