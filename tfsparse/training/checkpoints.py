"""Everything a run needs to carry on with the same bits, in TensorFlow checkpoints."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfsparse.errors import RunFailed, one_line
from tfsparse.training.strategies import settle
from tfsparse.training.trainer import TOTALS, Trainer


class Checkpoints:
    """The checkpoints of one run.

    Beside the trainer's variables they hold the step, the sums of the current log interval and
    the seconds trained so far. TensorFlow writes a checkpoint under a temporary name and names
    it in the index only when it is whole.

    Args:
        trainer: whose state is kept.
        folder: where.
    """

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._sums = tf.Variable(tf.zeros(Sums().to_array().shape, tf.float64), trainable=False)
        subject = trainer.subject
        self._model = subject.model
        self._checkpoint = tf.train.Checkpoint(
            step=self._step,
            sums=self._sums,
            model=subject.model,
            optimizer=trainer.optimizer,
            masks=dict(subject.masks),
            **subject.tracked,
        )
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=2)

    def restore(self) -> tuple[int, "Sums"] | None:
        """The step and sums of the newest whole checkpoint, or None where there is none.

        Raises:
            RunFailed: the checkpoint cannot be read.
        """
        path = self._manager.latest_checkpoint
        if path is None:
            return None
        try:
            self._checkpoint.restore(path).assert_existing_objects_matched()
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            raise RunFailed(
                f"{path}: cannot be restored ({one_line(error)}); remove the checkpoints folder "
                "to train this run from its start"
            ) from None
        return int(self._step.numpy()), Sums.from_array(self._sums.numpy())

    def save(self, step: int, sums: "Sums") -> None:
        """Write a checkpoint of `step`."""
        settle(self._model.non_trainable_variables)
        self._step.assign(step)
        self._sums.assign(sums.to_array())
        self._manager.save(checkpoint_number=step)


class Sums:
    """Running sums since the last log line, and seconds since the run's beginning.

    Attributes:
        totals: of the steps since the last log line.
        steps: how many these are.
        step_seconds: what they took, without evaluations, checkpoints and mask updates.
        trained_seconds: what all steps took so far.
        seconds: of everything so far, over all processes that worked on the run.
    """

    def __init__(self) -> None:
        self.clear()
        self.trained_seconds = 0.0
        self.seconds = 0.0

    def add(self, totals: dict[str, float], steps: int, seconds: float) -> None:
        """Add the totals of `steps` steps that took `seconds`."""
        for name in TOTALS:
            self.totals[name] += totals[name]
        self.steps += steps
        self.step_seconds += seconds
        self.trained_seconds += seconds

    def clear(self) -> None:
        """Begin a new log interval."""
        self.totals = dict.fromkeys(TOTALS, 0.0)
        self.steps = 0
        self.step_seconds = 0.0

    def to_array(self) -> np.ndarray:
        """float64 [totals, steps, step_seconds, trained_seconds, seconds]."""
        rest = (self.steps, self.step_seconds, self.trained_seconds, self.seconds)
        return np.array([*self.totals.values(), *rest], np.float64)

    @classmethod
    def from_array(cls, array: np.ndarray) -> "Sums":
        """The inverse of `to_array`."""
        sums = cls()
        totals, rest = array[: len(TOTALS)].tolist(), array[len(TOTALS) :].tolist()
        sums.totals = dict(zip(TOTALS, totals, strict=True))
        sums.steps = int(rest[0])
        sums.step_seconds, sums.trained_seconds, sums.seconds = rest[1:]
        return sums
