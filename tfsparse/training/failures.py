"""What goes wrong while a folder is filled."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from tfsparse.errors import RunFailed, UserError, one_line
from tfsparse.runs import Run
from tfsparse.training.workers import GONE


@contextlib.contextmanager
def recording_failure(run: Run) -> Iterator[None]:
    """Write into the folder why the work inside gave up.

    Raises:
        RunFailed: a full disk or an error of TensorFlow; everything else goes on as it came.
    """
    try:
        yield
    except (UserError, RunFailed, *GONE) as error:
        run.write_failure(error)
        raise
    except (OSError, tf.errors.OpError) as error:
        run.write_failure(error)
        raise RunFailed(f"{run.path}: {one_line(error)}") from error
