"""The training loop: steps in the graph, everything else at the boundaries between them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tfsparse.errors import RunFailed
from tfsparse.models import get_weights
from tfsparse.plan import Plan
from tfsparse.runs import Run
from tfsparse.sparsity.mask_facts import sparsity_of
from tfsparse.training.checkpoints import Checkpoints, Sums
from tfsparse.training.events import Events
from tfsparse.training.gradient_flow import flow_change
from tfsparse.training.progress import Display
from tfsparse.training.trainer import Trainer


@dataclass(frozen=True)
class Observers:
    """What is measured while training: each returns the fields of a log line, or None."""

    evaluate: Callable[[], dict[str, Any] | None]
    gradient_flow: Callable[[], dict[str, Any]] | None = None
    gradient_flow_at_updates: Callable[[], dict[str, Any]] | None = None
    """Called before and after every mask update."""


class Loop:
    """Trains one run from its newest checkpoint to its last step.

    What happens after s steps, in this order: the log line, the mask update due at s, the
    gradient flow, the evaluation, kept weights, the checkpoint.

    Args:
        trainer: takes the steps.
        plan: when what happens.
        run: the folder, held by this process.
        observers: what is measured.
        split: the name of the set evaluated during training.
        quiet: show no progress.
    """

    def __init__(
        self,
        trainer: Trainer,
        plan: Plan,
        run: Run,
        observers: Observers,
        *,
        split: str,
        quiet: bool = False,
    ) -> None:
        self._trainer, self._plan, self._run = trainer, plan, run
        self._observers, self._split, self._quiet = observers, split, quiet
        updates = trainer.subject.updates
        self._update_steps = updates.steps() if updates else frozenset()
        self._checkpoints = Checkpoints(trainer, run.checkpoints)
        self._sums = Sums()

    def run(self) -> Sums:
        """Train to the end.

        Returns:
            The seconds of the whole run and of its steps.

        Raises:
            RunFailed: the loss is not finite, or a checkpoint cannot be used.
        """
        restored = self._checkpoints.restore()
        step = 0
        if restored:
            step, self._sums = restored
        lines = self._run.cut_metrics(after_step=step if restored else -1)
        self._events = Events(self._run.events, lines)
        self._began = time.monotonic() - self._sums.seconds
        title = self._run.path.parent.name
        total = self._plan.total_steps
        with Display(
            title, total, start=step, batch_size=self._plan.batch_size, quiet=self._quiet
        ) as self._display:
            if not restored:
                self._boundary(0)
            while step < total:
                step = self._advance(step)
                self._boundary(step)
        self._events.close()
        return self._sums

    def _advance(self, step: int) -> int:
        """Train up to the next boundary."""
        end = self._plan.next_boundary(step, self._update_steps)
        updates = self._trainer.subject.updates
        if updates and updates.replace_step and step in self._update_steps:
            self._trainer.skip_step(step)
            step += 1
        if step < end:
            began = time.monotonic()
            totals = self._trainer.run(step, end - step)
            took = time.monotonic() - began
            if not all(math.isfinite(total) for total in totals.values()):
                raise RunFailed(
                    f"{self._run.path}: the loss is not finite between steps {step} and {end}; "
                    "lower optimizer.learning_rate"
                )
            self._sums.add(totals, end - step, took)
        self._sums.seconds = time.monotonic() - self._began
        return end

    def _boundary(self, step: int) -> None:
        plan = self._plan
        last = step == plan.total_steps
        if step and (step % plan.log_every == 0 or last):
            self._log_training(step)
        if step in self._update_steps:
            self._update_masks(step)
        flow = self._observers.gradient_flow
        if flow and plan.gradient_flow_every and (step % plan.gradient_flow_every == 0 or last):
            self._write("gradient_flow", step, **flow())
        if plan.evaluate_every and (step % plan.evaluate_every == 0 or last):
            result = self._observers.evaluate()
            if result:
                self._write("evaluation", step, split=self._split, **result)
        if step in plan.save_weights_at:
            self._run.write_weights_at(step, get_weights(self._trainer.subject.model))
        if step % plan.checkpoint_every == 0 or last:
            self._checkpoints.save(step, self._sums)

    def _update_masks(self, step: int) -> None:
        flow = self._observers.gradient_flow_at_updates
        before = flow() if flow else None
        fields: dict[str, Any] = dict(self._trainer.update_masks(step))
        if flow and before:
            fields |= flow_change(before, flow())
        report = sparsity_of(self._trainer.subject.mask_arrays())
        self._write("mask_update", step, sparsity=report.overall, layers=report.layers, **fields)

    def _log_training(self, step: int) -> None:
        sums, plan = self._sums, self._plan
        if not sums.steps:
            return
        means = {name: total / sums.steps for name, total in sums.totals.items()}
        sparsity = sparsity_of(self._trainer.subject.mask_arrays()).overall
        loss = means["cross_entropy"] + means["l2"]
        self._write(
            "train",
            step,
            epoch=step / plan.steps_per_epoch,
            loss=loss,
            cross_entropy=means["cross_entropy"],
            l2=means["l2"],
            accuracy=means["correct"] / plan.batch_size,
            learning_rate=self._trainer.learning_rate(step),
            sparsity=sparsity,
            images_per_second=sums.steps * plan.batch_size / max(1e-9, sums.step_seconds),
            seconds=sums.seconds,
        )
        masked = sparsity if self._trainer.subject.masks else None
        self._display.update(step, loss=loss, sparsity=masked)
        sums.clear()

    def _write(self, kind: str, step: int, **fields: Any) -> None:
        line = {"kind": kind, "step": step, **fields}
        self._run.append_metrics(line)
        self._events.write(line)
