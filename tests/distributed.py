"""Small runs under a strategy, in a process of their own: a processor can be split, and a cluster
joined, only before TensorFlow computes.

    python distributed.py OUT STRATEGY_JSON NAME...
"""

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

TWO_CPUS = {"strategy": "mirrored", "devices": ["CPU:0", "CPU:1"]}
TWO_WORKERS = {"strategy": "multi_worker"}

PATHS = ("line", "recomputed", "curve", "hessian", "similarity")
TRAIN = {"steps": 50, "log_every": 1, "checkpoint_every": 25, "evaluate_every": 25}


def runs(out: Path) -> dict[str, dict[str, Any]]:
    """What may be trained, by name."""
    from small import PRUNED

    growth = {"frequency": 10, "end_step": 1.0}
    short = {"steps": 12, "evaluate_every": None}
    found = {
        "pruned": PRUNED,
        "lottery": {"method": "lottery", "source": {"run": str(out / "pruned" / "seed_0")}},
        "rigl": {"method": "rigl", "mask": {"sparsity": 0.8, "rules": []}, "growth": growth},
        "snfs": {
            "method": "snfs",
            "mask": {"sparsity": 0.8, "rules": []},
            "growth": {"frequency": 4, "end_step": 1.0},
            "train": short,
        },
        "revival": {
            **PRUNED,
            "pruning": {**PRUNED["pruning"], "begin_step": 4, "end_step": 12, "revival": True},
            "train": {**short, "xla": True},
        },
        "streamed": {"data": {"stream": True}, "train": short},
        "imp": {"method": "imp", "imp": {"rounds": 1, "rules": []}, "train": short},
        "normed": {
            "model": {"name": "distributed:normed", "width": 1.0},
            "method": "rigl",
            "mask": {"sparsity": 0.5, "rules": []},
            "growth": growth,
        },
    }
    return {**found, "resumed": found["normed"]}


def normed(input_shape: tuple[int, int, int], num_classes: int) -> Any:
    """A network with batch norm."""
    import tf_keras as keras

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(4, 5, strides=4, use_bias=False, name="conv"),
            layers.BatchNormalization(momentum=0.9, name="bn"),
            layers.ReLU(name="relu"),
            layers.Flatten(name="flat"),
            layers.Dense(num_classes, name="logits"),
        ]
    )


def start(
    out: Path, strategy: dict[str, Any], *names: str, cluster: dict[str, Any] | None = None
) -> subprocess.Popen[str]:
    """A process that trains the runs of these names."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_CONFIG", None)
    if cluster is not None:
        environment["TF_CONFIG"] = json.dumps(cluster)
    return subprocess.Popen(
        [sys.executable, __file__, str(out), json.dumps(strategy), *names],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def clusters(count: int) -> list[dict[str, Any]]:
    """The TF_CONFIG of each of so many workers on free ports of this machine."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    return [
        {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        for index in range(count)
    ]


def finish(*processes: subprocess.Popen[str], seconds: float = 300) -> None:
    """Wait for processes that must end well."""
    texts = [process.communicate(timeout=seconds)[0] for process in processes]
    for process, text in zip(processes, texts, strict=True):
        assert process.returncode == 0, text[-3000:]


def main() -> None:
    out, strategy, names = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    sys.path.insert(0, str(Path(__file__).parent))
    from tfsparse.environment import prepare_tensorflow

    prepare_tensorflow()
    from small import trained

    from tfsparse.training import run

    save = run.save_model
    for name in names:
        run.save_model = save if name == "pruned" else lambda model, path: None  # once is enough
        if name in PATHS:
            computed(out, name, strategy)
            continue
        changes = {"data": {}, "train": {}, **runs(out)[name], "distribution": strategy}
        changes["train"] = {**TRAIN, **changes["train"]}
        changes["data"] = {"augment": True, **changes["data"]}
        if name == "resumed":
            stopped_at(30, out, name, changes)
        trained(out, name, **changes)


def computed(out: Path, name: str, strategy: dict[str, Any]) -> None:
    """A line, a curve or an analysis of the runs above."""
    from tfsparse.analysis.run import analyze
    from tfsparse.config import check
    from tfsparse.config.analysis import AnalysisConfig
    from tfsparse.config.landscape import CurveConfig, InterpolationConfig
    from tfsparse.landscape.bezier import curve
    from tfsparse.landscape.lines import interpolate

    run = {key: str(out / key / "seed_0") for key in ("pruned", "lottery", "normed")}
    start, end = ("pruned", "lottery") if name == "curve" else ("normed", "normed")
    walk = {
        "start": {"run": run[start], "at": "end" if name == "curve" else "start"},
        "end": {"run": run[end]},
        "images": 500,
        "batch_size": 100,
        "t": [0.0, 0.5, 1.0],
    }
    train = {"steps": 12, "batch_size": 32, "log_every": 1}
    work, kind, section = {
        "line": (interpolate, InterpolationConfig, walk),
        "recomputed": (interpolate, InterpolationConfig, {**walk, "batch_norm": "recomputed"}),
        "curve": (curve, CurveConfig, {**walk, "train": train}),
        "hessian": (
            analyze,
            AnalysisConfig,
            {
                "kind": "hessian",
                "hessian": {
                    "run": run["lottery"],
                    "method": "lanczos",
                    "examples": 1200,
                    "lanczos_steps": 6,
                    "lanczos_vectors": 1,
                },
            },
        ),
        "similarity": (
            analyze,
            AnalysisConfig,
            {
                "kind": "similarity",
                "similarity": {"solution": run["pruned"], "runs": [run["lottery"]]},
            },
        ),
    }[name]
    data = {**section, "name": name, "run_dir": str(out), "distribution": strategy}
    config = check(data, kind, name)
    more = {} if kind is AnalysisConfig else {"quiet": True}
    work(config, command=["test"], note=lambda text: None, **more)


def stopped_at(step: int, out: Path, name: str, changes: dict[str, Any]) -> None:
    """Train until a step is to be taken, and leave the run there."""
    from small import trained

    from tfsparse.training.trainer import Trainer

    take = Trainer.run

    def stop(self: Trainer, start: int, count: int) -> dict[str, float]:
        if start == step:
            raise KeyboardInterrupt
        return take(self, start, count)

    Trainer.run = stop  # type: ignore[method-assign]
    try:
        trained(out, name, **changes)
    except KeyboardInterrupt:
        Trainer.run = take  # type: ignore[method-assign]
    else:
        raise AssertionError("never stopped")


if __name__ == "__main__":
    main()
