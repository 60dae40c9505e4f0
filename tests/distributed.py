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

TRAIN = {"steps": 50, "log_every": 1, "checkpoint_every": 25, "evaluate_every": 25}


def runs(out: Path) -> dict[str, dict[str, Any]]:
    """What may be trained, by name."""
    from small import PRUNED

    growth = {"frequency": 10, "end_step": 1.0}
    short = {"steps": 12, "evaluate_every": None}
    return {
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
        "imp": {"method": "imp", "imp": {"rounds": 1, "rules": []}, "train": short},
        "normed": {
            "model": {"name": "distributed:normed", "width": 1.0},
            "method": "rigl",
            "mask": {"sparsity": 0.5, "rules": []},
            "growth": growth,
        },
    }


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

    for name in names:
        changes = dict(runs(out)[name])
        train = {**TRAIN, **changes.pop("train", {})}
        trained(out, name, train=train, data={"augment": True}, distribution=strategy, **changes)


if __name__ == "__main__":
    main()
