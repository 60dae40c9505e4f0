"""Finished runs made by hand, and one export of them for all tests of a session."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from tfsparse.config import DataConfig, ModelConfig, RunConfig, TrainConfig
from tfsparse.deploy.exporter import ExportOptions, export
from tfsparse.models import build, get_weights, maskable_layers, set_weights
from tfsparse.runs import Run
from tfsparse.training.saving import save_model

SHAPE = (28, 28, 1)


def sparse_model(name="lenet_5", shape=SHAPE, sparsity=0.8, only=None, **more):
    """A network whose smallest weights are zero; returns it with its masks."""
    model = build(ModelConfig(name=name, **more), shape, 10, seed=3)
    rng = np.random.default_rng(0)
    weights, masks = get_weights(model), {}
    for key, value in weights.items():
        if key.endswith("moving_variance"):
            weights[key] = rng.uniform(0.5, 1.5, value.shape)
        elif value.ndim == 1:
            weights[key] = rng.normal(0.0, 0.1, value.shape)
    for layer in maskable_layers(model):
        if only and only not in layer.name:
            continue
        kernel = weights[f"{layer.name}/kernel"]
        order = np.argsort(np.abs(kernel), axis=None)
        mask = np.ones(kernel.size, np.uint8)
        mask[order[: round(sparsity * kernel.size)]] = 0
        masks[layer.name] = mask.reshape(kernel.shape)
        weights[f"{layer.name}/kernel"] = kernel * masks[layer.name]
    set_weights(model, weights)
    return model, masks


def finished_run(path: Path) -> Run:
    """A run folder as training leaves it, of an untrained LeNet-5 at 80% on the digits."""
    model, masks = sparse_model()
    config = RunConfig(
        name="made",
        method="pruned",
        model=ModelConfig(name="lenet_5"),
        data=DataConfig(name="digits"),
        train=TrainConfig(steps=1),
    )
    run = Run(path)
    with run.writing(config, ["made", "by", "hand"]):
        run.write_initial(get_weights(model))
        run.write_final(get_weights(model), masks)
        save_model(model, run.saved_model)
        run.write_summary({"kind": "training", "name": "made", "sparsity": 0.8, "seed": 0})
    return run


@functools.cache
def exported_run() -> tuple[Run, Path, tuple[str, ...]]:
    """A finished run, its export with every variant, and what the export said."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    run = finished_run(folder / "made" / "seed_0")
    said: list[str] = []
    options = ExportOptions(num_examples=20)
    export(run.path, run.path / "export", options, said.append)
    return run, run.path / "export", tuple(said)
