"""One attempt to run a `.tflite` file, in a child process."""

import importlib.util
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse.deploy.worker import Worker
from tfsparse.errors import UserError

CHILD = "tfsparse.deploy.interpreter"


def interpreter_worker(timeout: float = 300.0) -> Worker:
    """The child that inspects and runs `.tflite` files.

    Raises:
        UserError: ai-edge-litert is not installed.
    """
    if not litert_installed():
        raise UserError(
            "running .tflite files needs ai-edge-litert, which is not installed; "
            "pip install 'tfsparse[deploy]'"
        )
    return Worker(CHILD, timeout=timeout)


def litert_installed() -> bool:
    """Whether the LiteRT interpreter can be imported."""
    return importlib.util.find_spec("ai_edge_litert") is not None


@dataclass(frozen=True)
class Attempt:
    """What happened; `error` is None when the file loaded and ran."""

    error: str | None
    crashed: bool = False
    outputs: np.ndarray | None = None
    """float32 [n, ...]"""
    arena_bytes: int | None = None
    delegated: int | None = None
    latency: dict[str, float] | None = None

    @property
    def accepted(self) -> bool:
        return self.error is None

    def description(self) -> dict[str, Any]:
        """The attempt as JSON values, without its outputs."""
        return {
            "accepted": self.accepted,
            "error": self.error,
            "crashed": self.crashed,
            "delegated": self.delegated,
            "arena_bytes": self.arena_bytes,
            "latency": self.latency,
        }


def attempt(
    worker: Worker,
    model: Path,
    inputs: np.ndarray,
    *,
    delegate: bool,
    constants: list[int] | None = None,
    threads: int = 1,
    warm_up: int = 10,
    repeats: int = 0,
) -> Attempt:
    """Load and run `model` on `inputs` (float32 [n, ...]), with the default delegate or without."""
    with tempfile.TemporaryDirectory() as folder:
        images, outputs = Path(folder) / "images.npy", Path(folder) / "outputs.npy"
        np.save(images, inputs)
        answer = worker.ask(
            {
                "do": "run",
                "model": str(model),
                "images": str(images),
                "outputs": str(outputs),
                "delegate": delegate,
                "constants": constants,
                "threads": threads,
                "warm_up": warm_up,
                "repeats": repeats,
            }
        )
        if "error" in answer:
            # LiteRT joins its messages without a space: "node #4Node number 13".
            text = re.sub(r"(?<=[0-9.])(?=Node number|failed to)", "; ", answer["error"])
            return Attempt(text, bool(answer.get("crashed")))
        return Attempt(
            None,
            outputs=np.load(outputs, allow_pickle=False),
            arena_bytes=answer["arena_bytes"],
            delegated=answer["delegated"],
            latency=answer["latency"],
        )
