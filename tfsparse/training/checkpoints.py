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
        self._sums = tf.Variable(tf.zeros([len(TOTALS) + 2], tf.float64), trainable=False)
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
    """Running sums since the last log line, and the seconds trained."""

    def __init__(self) -> None:
        self.totals = dict.fromkeys(TOTALS, 0.0)
        self.steps = 0
        self.seconds = 0.0

    def add(self, totals: dict[str, float], steps: int) -> None:
        """Add the totals of `steps` steps."""
        for name in TOTALS:
            self.totals[name] += totals[name]
        self.steps += steps

    def clear(self) -> None:
        """Begin a new log interval; the seconds go on."""
        self.totals = dict.fromkeys(TOTALS, 0.0)
        self.steps = 0

    def to_array(self) -> np.ndarray:
        """float64 [totals, steps, seconds]."""
        return np.array([*self.totals.values(), self.steps, self.seconds], np.float64)

    @classmethod
    def from_array(cls, array: np.ndarray) -> "Sums":
        """The inverse of `to_array`."""
        sums = cls()
        sums.totals = dict(zip(TOTALS, map(float, array[: len(TOTALS)]), strict=True))
        sums.steps, sums.seconds = int(array[-2]), float(array[-1])
        return sums
