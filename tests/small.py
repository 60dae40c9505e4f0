"""Small runs on the embedded digits: a config, and the call that trains it."""

from pathlib import Path
from typing import Any

from tfsparse.config import RunConfig, check, merge
from tfsparse.runs import Run
from tfsparse.training.run import train

BASE: dict[str, Any] = {
    "model": {"name": "lenet_300_100", "width": 0.1},
    "data": {"name": "digits"},
    "optimizer": {"learning_rate": 0.05, "weight_decay": 0.0005},
    "train": {
        "steps": 60,
        "batch_size": 32,
        "log_every": 20,
        "evaluate_every": None,
        "checkpoint_every": 30,
        "xla": False,
    },
}

PRUNED: dict[str, Any] = {
    "method": "pruned",
    "pruning": {
        "final_sparsity": 0.8,
        "begin_step": 10,
        "end_step": 40,
        "frequency": 10,
        "rules": [],
    },
}


def small_config(run_dir: Path, name: str = "run", **changes: Any) -> RunConfig:
    """A run of a few seconds; `changes` are merged over BASE."""
    data = merge(BASE, {"name": name, "run_dir": str(run_dir), **changes})
    return check(data, RunConfig, name)


def trained(run_dir: Path, name: str = "run", **changes: Any) -> tuple[Run, dict[str, Any]]:
    """Train a small run without a word."""
    config = small_config(run_dir, name, **changes)
    return train(config, command=["test"], note=lambda text: None, quiet=True)
