"""What a run will take, before it starts: steps, images, memory, FLOPs and hours."""

import math
from dataclasses import dataclass

import tf_keras as keras

from tfsparse.config import RunConfig
from tfsparse.data import load_data
from tfsparse.errors import UserError
from tfsparse.methods import METHODS, check_sections
from tfsparse.models import build, maskable_layers
from tfsparse.plan import Plan, check_rates, make_plan, pruning_steps
from tfsparse.sizing import sized
from tfsparse.training.summary import positions

KNOWN_SETS = {"imagenet2012": (1_281_167, 1000, (224, 224, 3))}
"""Training images, classes and input shape of sets whose estimate needs no prepared copy."""

BACKWARD = 3
"""A training step takes three times the forward pass: once forward, twice backward."""


@dataclass(frozen=True)
class Estimate:
    """Numbers of one run; memory in bytes for each device."""

    plan: Plan
    devices: int
    parameters: int
    forward_flops: int
    """Of one image; a product and a sum are two. Masks are products, so none is saved by them."""
    weights: int
    gradients: int
    optimizer: int
    masks: int
    activations: int

    @property
    def images(self) -> int:
        """How many images all steps see."""
        return self.plan.total_steps * self.plan.batch_size

    @property
    def flops(self) -> int:
        """Of the whole training."""
        return BACKWARD * self.forward_flops * self.images

    @property
    def memory(self) -> int:
        """Bytes a device needs, apart from what its libraries take."""
        return self.weights + self.gradients + self.optimizer + self.masks + self.activations

    def hours(self, flops_per_second: float) -> float:
        """Of training, when every device computes so fast and evaluation takes no time."""
        return self.flops / (self.devices * flops_per_second) / 3600

    def text(self, flops_per_second: float) -> str:
        """Everything as lines for people."""
        plan = self.plan
        parts = [
            f"{name} {_gigabytes(getattr(self, name))}"
            for name in ("weights", "gradients", "optimizer", "masks", "activations")
        ]
        share = plan.batch_size // self.devices
        return "\n".join(
            [
                f"steps             {plan.total_steps:,}",
                f"epochs            {plan.epochs:.1f} of {plan.steps_per_epoch:,} steps",
                f"images            {self.images:,}, {plan.batch_size:,} a step, "
                f"{share:,} on each of {self.devices} devices",
                f"parameters        {self.parameters:,}",
                f"memory per device at most {_gigabytes(self.memory)} GB ({', '.join(parts)})",
                f"FLOPs             {self.flops:.3g}, {BACKWARD} x {self.forward_flops:,} an image",
                f"estimated hours   {self.hours(flops_per_second):.3g} at "
                f"{flops_per_second / 1e12:g} TFLOP/s a device, without evaluation",
            ]
        )


def estimate(config: RunConfig, devices: int) -> Estimate:
    """What a run will take; nothing is trained or written, and no source run is needed.

    Args:
        config: of the run.
        devices: how many share a batch.

    Raises:
        UserError: a config that could not be trained, or a batch the devices cannot share.
    """
    check_sections(config)
    if config.train.batch_size % devices:
        raise UserError(
            f"train.batch_size: expected a multiple of the {devices} devices, "
            f"received {config.train.batch_size}"
        )
    count, classes, shape = _facts(config)
    plan = make_plan(config.train, count)
    check_rates(config, plan)
    if config.pruning is not None:
        pruning_steps(config.pruning, plan)
    model = build(
        sized(config, shape, classes), shape, classes, seed=0, precision=config.train.precision
    )
    weights = 4 * model.count_params()
    trained = 4 * sum(math.prod(v.shape) for v in model.trainable_variables)
    kernels = 4 * sum(math.prod(layer.kernel.shape) for layer in maskable_layers(model))
    slots = {"adam": 2, "sgd": 1 if config.optimizer.momentum else 0}[config.optimizer.name]
    number = 4 if config.train.precision == "float32" else 2
    return Estimate(
        plan,
        devices,
        parameters=trained // 4,
        forward_flops=forward_flops(model),
        weights=weights,
        gradients=trained,
        optimizer=slots * trained,
        masks=0 if METHODS[config.method].training == "dense" else kernels,
        activations=number * _outputs(model) * config.train.batch_size // devices,
    )


def forward_flops(model: keras.Model) -> int:
    """FLOPs of convolutions and dense layers for one image.

    >>> layers = [keras.layers.Conv2D(2, 3, input_shape=(5, 5, 1)), keras.layers.Flatten()]
    >>> forward_flops(keras.Sequential([*layers, keras.layers.Dense(10)]))  # 2 (9 18 + 18 10)
    684
    """
    total = 0
    for layer in maskable_layers(model):
        total += 2 * math.prod(layer.kernel.shape) * (positions(layer) or 1)
    return total


def _outputs(model: keras.Model) -> int:
    """Numbers in all layers' outputs for one image: the most that the backward pass reads again."""
    layers = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    return sum(math.prod(layer.output.shape[1:]) for layer in layers)


def _facts(config: RunConfig) -> tuple[int, int, tuple[int, int, int]]:
    """Training images, classes and input shape."""
    section = config.data
    if section.name not in KNOWN_SETS:
        data = load_data(section, seed=config.seed)
        return data.num_train, data.num_classes, data.input_shape
    count, classes, (height, width, channels) = KNOWN_SETS[section.name]
    count -= round(section.validation_fraction * count)
    if section.train_examples is not None:
        count = min(count, section.train_examples)
    size = section.image_size
    return count, classes, (size or height, size or width, channels)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g}"
