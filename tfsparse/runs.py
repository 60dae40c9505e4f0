"""The run folder: every file name, every read and every write.

`runs/<config name>/seed_<n>/` holds `config.json`, `command.txt`, `environment.json` and
`initial.npz` before the first step; `metrics.jsonl`, `events/` and `checkpoints/` as training
goes; then `final.npz`, `masks.npz`, `saved_model/` and, last, `summary.json`: its presence
means finished. Weights are keyed `<layer>/<weight>`, masks by layer name.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from pydantic import BaseModel, ValidationError

from tfsparse import files
from tfsparse.environment import environment
from tfsparse.errors import UserError, one_line

State = Literal["finished", "running", "failed", "stopped"]

# A run may be moved, described anew or carried on on other devices without being another run.
NOT_COMPARED = ("about", "run_dir", "distribution")

LOCK_TRIES = 25


class Run:
    """One run folder.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def events(self) -> Path:
        """The folder of TensorBoard events."""
        return self.path / "events"

    @property
    def saved_model(self) -> Path:
        """The folder of the SavedModel."""
        return self.path / "saved_model"

    # ---- reading -------------------------------------------------------------------------

    def config_json(self) -> dict[str, Any]:
        """The resolved config as it was written."""
        return self._object("config.json")

    def summary(self) -> dict[str, Any]:
        """The results of a finished run.

        Raises:
            UserError: the run is not finished.
        """
        self.require_finished()
        return self._object("summary.json")

    def failure(self) -> str | None:
        """Why the run failed, or None."""
        if not (self.path / "failure.json").exists():
            return None
        return str(self._object("failure.json").get("error", "unknown"))

    def finished(self) -> bool:
        """Whether the run has a summary."""
        return (self.path / "summary.json").is_file()

    def require_finished(self) -> None:
        """Raise a UserError that says what is missing unless the run is finished."""
        if not self.path.is_dir():
            raise UserError(f"{self.path}: no such run folder; train that run first")
        if not (self.path / "config.json").is_file():
            raise UserError(f"{self.path}: expected a run folder, found no config.json in it")
        if not self.finished():
            raise UserError(f"{self.path}: expected a finished run, this one is {self.state()}")

    def state(self) -> State:
        """finished; running: a process holds the lock; failed: it gave up; else stopped."""
        if self.finished():
            return "finished"
        if self.locked():
            return "running"
        return "failed" if (self.path / "failure.json").is_file() else "stopped"

    def initial_weights(self) -> dict[str, np.ndarray]:
        """The weights before the first step."""
        return self.weights("initial.npz")

    def final_weights(self) -> dict[str, np.ndarray]:
        """The weights after the last step."""
        self.require_finished()
        return self.weights("final.npz")

    def weights_at(self, step: int) -> dict[str, np.ndarray]:
        """The weights kept after `step` steps; step 0 are the initial weights."""
        if step == 0:
            return self.initial_weights()
        name = f"weights_{step:08d}.npz"
        if not (self.path / name).is_file():
            kept = ", ".join(map(str, self.kept_steps()))
            raise UserError(
                f"{self.path}: kept no weights of step {step}, only of {kept}; "
                f"add the step to its train.save_weights_at"
            )
        return self.weights(name)

    def kept_steps(self) -> list[int]:
        """The steps whose weights are kept, with 0."""
        names = (path.stem.removeprefix("weights_") for path in self.path.glob("weights_*.npz"))
        return [0, *sorted(int(name) for name in names if name.isascii() and name.isdigit())]

    def masks(self) -> dict[str, np.ndarray]:
        """The masks by layer name, uint8 of 0 and 1; empty for a dense run."""
        if not (self.path / "masks.npz").is_file():
            return {}
        return files.read_npz(self.path / "masks.npz")

    def weights(self, name: str) -> dict[str, np.ndarray]:
        """The weights in one of the folder's `.npz` files."""
        return files.read_npz(self.path / name)

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`; a half-written last line is left out."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        return list(_complete_lines(files.read_text(path)))

    def locked(self) -> bool:
        """Whether a process holds this folder."""
        try:
            with open(self.path / "lock", "rb") as stream:
                try:
                    fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
                fcntl.flock(stream, fcntl.LOCK_UN)
        except OSError:
            return False
        return False

    def _object(self, name: str) -> dict[str, Any]:
        value = files.read_json(self.path / name)
        if not isinstance(value, dict):
            raise UserError(f"{self.path / name}: expected a JSON object")
        return value

    # ---- writing -------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, config: BaseModel, command: Sequence[str]) -> Iterator[None]:
        """Hold the folder for this process and record what is about to run.

        Args:
            config: the resolved config.
            command: the command line.

        Raises:
            UserError: another process holds the folder, it belongs to another config, or it
                cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            stream: IO[bytes] = open(self.path / "lock", "ab")  # noqa: SIM115 closed below
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None
        with stream:
            if not _locks(stream):
                raise UserError(
                    f"{self.path}: another process is writing this run; wait for it or stop it"
                )
            self._clear_remains()
            self._record(config, command)
            yield

    def _clear_remains(self) -> None:
        """Remove what a killed process left half-written; nobody else writes here now."""
        for pattern in (".*.tmp", ".saved_model.*", "checkpoints/*_temp"):
            for path in self.path.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _record(self, config: BaseModel, command: Sequence[str]) -> None:
        path = self.path / "config.json"
        wanted = config.model_dump(mode="json")
        if path.exists():
            there = _with_defaults(self._object("config.json"), type(config))
            difference = _first_difference(there, wanted)
            if difference:
                raise UserError(
                    f"{self.path}: belongs to another config ({difference}); "
                    "choose another name (--set name=...) or remove the folder"
                )
        else:
            files.write_json(path, wanted)
        (self.path / "failure.json").unlink(missing_ok=True)
        if not self.finished():
            files.write_text(self.path / "command.txt", shlex.join(command) + "\n")
            files.write_json(self.path / "environment.json", environment())

    def write_initial(self, weights: Mapping[str, np.ndarray]) -> None:
        """Store the weights before the first step."""
        files.write_npz(self.path / "initial.npz", weights)

    def write_weights_at(self, step: int, weights: Mapping[str, np.ndarray]) -> None:
        """Keep the weights after `step` steps, for late rewinding."""
        files.write_npz(self.path / f"weights_{step:08d}.npz", weights)

    def write_final(
        self, weights: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]
    ) -> None:
        """Store the last weights and, unless the run is dense, its masks."""
        files.write_npz(self.path / "final.npz", weights)
        if masks:
            arrays = {name: np.asarray(mask, np.uint8) for name, mask in masks.items()}
            files.write_npz(self.path / "masks.npz", arrays)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Declare the run finished."""
        files.write_json(self.path / "summary.json", summary)

    def write_failure(self, error: BaseException) -> None:
        """Say why the run gave up; carrying on removes it."""
        with contextlib.suppress(OSError):
            files.write_json(self.path / "failure.json", {"error": one_line(error)})

    def cut_metrics(self, after_step: int) -> list[dict[str, Any]]:
        """Drop log lines of steps beyond `after_step`, which a resumed run writes again.

        Returns:
            The lines that stay.
        """
        kept = [line for line in self.metrics() if line.get("step", 0) <= after_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        files.write_text(self.path / "metrics.jsonl", text)
        return kept

    def append_metrics(self, line: Mapping[str, Any]) -> None:
        """Add one line to the log, whole or not at all.

        Raises:
            OSError: the disk is full; the log is as it was.
        """
        data = (json.dumps(files.plain(line), allow_nan=False) + "\n").encode("utf-8")
        path = self.path / "metrics.jsonl"
        with open(path, "ab", buffering=0) as stream:
            before = stream.tell()
            try:
                while data:  # a disk that fills up takes a part without complaint
                    data = data[stream.write(data) :]
            except OSError as error:
                stream.truncate(before)
                raise OSError(error.errno, error.strerror, str(path)) from error


def run_path(run_dir: str, name: str, seed: int) -> Path:
    """The folder of a run: `<run_dir>/<name>/seed_<n>`."""
    return Path(run_dir) / name / f"seed_{seed}"


def find_runs(root: str | os.PathLike[str]) -> list[Run]:
    """All run folders below `root`, sorted by path."""
    return [Run(path.parent) for path in sorted(Path(root).rglob("config.json"))]


def _complete_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _with_defaults(config: dict[str, Any], kind: type[BaseModel]) -> dict[str, Any]:
    """A config of an earlier version, with the defaults of the keys that have come since."""
    try:
        return kind.model_validate_json(json.dumps(config)).model_dump(mode="json")
    except ValidationError:  # it belongs to something else, and its first difference is told
        return config


def _first_difference(old: Any, new: Any, path: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if not path and key in NOT_COMPARED:
                continue
            inner = _first_difference(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
            if inner:
                return inner
        return ""
    there, here = json.dumps(old, sort_keys=True), json.dumps(new, sort_keys=True)
    if there == here:  # 1 is not 1.0: one is a step, the other the end of the run
        return ""
    return f"{path}: there {_short(there)}, here {_short(here)}"


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."


def _locks(stream: IO[bytes]) -> bool:
    """Take the lock; wait a moment for those who only look whether it is free (`Run.locked`)."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.02)
    return False


def weights_hash(weights: Mapping[str, np.ndarray]) -> str:
    """The sha256 of weights as 64 hex digits: names, dtypes, shapes and bits, in any order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{len(name.encode())}:{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
