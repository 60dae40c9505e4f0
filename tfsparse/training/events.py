"""TensorBoard events, derived from the lines of metrics.jsonl."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf


class Events:
    """Writes each log line's numbers as TensorBoard scalars.

    Args:
        folder: the event folder; it is written anew from `lines`, so that a resumed run shows no
            step twice.
        lines: the log lines that are there already.
    """

    def __init__(self, folder: Path, lines: Iterable[Mapping[str, Any]]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = tf.summary.create_file_writer(str(folder))
        for line in lines:
            self.write(line)

    def write(self, line: Mapping[str, Any]) -> None:
        """Add one line; nested tables such as per-layer sparsities become `name/layer`."""
        group = line.get("split") or line["kind"]
        with self._writer.as_default():
            for name, value in _scalars(line):
                tf.summary.scalar(f"{group}/{name}", value, step=line["step"])

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


def _scalars(line: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    for name, value in line.items():
        if name in ("step", "kind", "split"):
            continue
        if isinstance(value, Mapping):
            yield from ((f"{name}/{inner}", float(number)) for inner, number in value.items())
        elif isinstance(value, int | float):
            yield name, float(value)
