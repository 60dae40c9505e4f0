"""What is on disk about each piece: finished, failed, held by a process. Nothing is kept in memory
that another process, or the same command tomorrow, would need."""

import contextlib
import errno
import fcntl
import os
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tfsparse import files
from tfsparse.errors import RunFailed, UserError, one_line
from tfsparse.runs import Run
from tfsparse.studies.plan import Piece, Plan

State = Literal["finished", "running", "failed", "stopped", "ready", "waiting", "blocked"]


@dataclass(frozen=True)
class Failure:
    """Why a piece did not finish."""

    error: str
    mark: str
    """Tells this failure from an earlier one of the same piece."""


class Ledger:
    """The states of a study's pieces.

    Args:
        root: the folder of the study's pieces, `Plan.root`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._finished: set[str] = set()

    # ---- reading -------------------------------------------------------------------------

    def finished(self, piece: Piece) -> bool:
        """Whether the piece's summary is there; once true it stays true."""
        if piece.name not in self._finished and (piece.folder / "summary.json").is_file():
            self._finished.add(piece.name)
        return piece.name in self._finished

    def summary(self, piece: Piece) -> dict[str, Any]:
        """The summary of a finished piece."""
        path = piece.folder / "summary.json"
        value = files.read_json(path)
        if not isinstance(value, dict):
            raise UserError(f"{path}: expected a JSON object")
        return value

    def failure(self, piece: Piece) -> Failure | None:
        """Why the piece's last attempt failed, or None."""
        path = self._failure_path(piece)
        try:
            value = files.read_json(path)
        except UserError:
            return None
        if not isinstance(value, dict):
            return None
        return Failure(str(value.get("error", "unknown")), str(value.get("mark", "")))

    def held(self, piece: Piece) -> bool:
        """Whether a process is at work on the piece, started here or by hand."""
        return _locked(self._lock_path(piece)) or Run(piece.folder).locked()

    def state(self, piece: Piece, plan: Plan) -> State:
        """finished; running: held by a process; failed; stopped: begun and left, will resume;
        ready: could start now; waiting for inputs; blocked by an input that failed."""
        if self.finished(piece):
            return "finished"
        if self.held(piece):
            return "running"
        if self.failure(piece):
            return "failed"
        missing = [plan.pieces[name] for name in piece.inputs]
        missing = [other for other in missing if not self.finished(other)]
        if any(self.state(other, plan) in ("failed", "blocked") for other in missing):
            return "blocked"
        if missing:
            return "waiting"
        return "stopped" if (piece.folder / "config.json").is_file() else "ready"

    # ---- writing -------------------------------------------------------------------------

    @contextlib.contextmanager
    def hold(self, piece: Piece, session: str) -> Iterator[bool]:
        """Try to hold the piece for this process; gives whether that worked.

        The kernel lets go of the lock when the process dies, however it dies. A start that did
        not end leaves its line in the lock file, see `deaths`.
        """
        path = self._lock_path(piece)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise UserError(
                        f"{path}: this file system refuses locks ({error.strerror})"
                    ) from None
                yield False
                return
            stream.write(f"{session} {socket.gethostname()} {os.getpid()}\n")
            stream.flush()
            yield True
            # Reached on success and on an ordinary failure, not when the process is killed.
            stream.truncate(0)

    def deaths(self, piece: Piece, session: str) -> int:
        """How many processes of this session died while they worked on the piece."""
        try:
            text = self._lock_path(piece).read_text(encoding="utf-8")
        except OSError:
            return 0
        return sum(line.startswith(f"{session} ") for line in text.splitlines())

    def record_failure(self, piece: Piece, error: BaseException) -> None:
        """Keep why the piece failed; an unexpected error keeps its traceback."""
        value = {
            "piece": piece.name,
            "error": one_line(error),
            "mark": f"{time.time_ns()}-{os.getpid()}",
        }
        if not isinstance(error, UserError | RunFailed):
            value["error"] = f"{type(error).__name__}: {value['error']}"
            value["traceback"] = "".join(traceback.format_exception(error))
        with contextlib.suppress(OSError):
            files.write_json(self._failure_path(piece), value)

    def clear_failure(self, piece: Piece) -> None:
        """Forget an earlier failure."""
        self._failure_path(piece).unlink(missing_ok=True)

    def _failure_path(self, piece: Piece) -> Path:
        return self.root / "failures" / f"{piece.name.replace('/', '.')}.json"

    def _lock_path(self, piece: Piece) -> Path:
        return self.root / "locks" / f"{piece.name.replace('/', '.')}.lock"


def _locked(path: Path) -> bool:
    try:
        with open(path, "rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(stream, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
