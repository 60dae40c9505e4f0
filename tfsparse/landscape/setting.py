"""What a path is evaluated with: model, data, images, objective."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import tf_keras as keras

from tfsparse.config.landscape import WalkConfig
from tfsparse.data import InMemoryData, StreamedData, load_data
from tfsparse.errors import UserError
from tfsparse.landscape.images import Images, make_images
from tfsparse.landscape.results import perfect_loss
from tfsparse.landscape.solutions import Solution, require_same_architecture
from tfsparse.landscape.walk import Walk
from tfsparse.models import build, maskable_layers
from tfsparse.sizing import sized
from tfsparse.training.progress import Display


@dataclass(frozen=True)
class Setting:
    """Everything but the weights."""

    config: WalkConfig
    model: keras.Model
    data: InMemoryData | StreamedData
    images: Images
    weight_decay: float
    label_smoothing: float

    @property
    def kernels(self) -> list[str]:
        """The weights that enter the L2 term."""
        return [f"{layer.name}/kernel" for layer in maskable_layers(self.model)]

    def walk(self, points: Sequence[Any]) -> Walk:
        """A walk over control points with this setting."""
        return Walk(
            self.model,
            points,
            self.images,
            batch_norm=self.config.batch_norm,
            label_smoothing=self.label_smoothing,
            compiled=self.config.xla,
        )

    def summary(self) -> dict[str, Any]:
        """What a result says of it."""
        return {
            "images": self.images.count,
            "augmented": self.config.augment,
            "batch_norm": self.config.batch_norm,
            "batch_size": self.config.batch_size,
            "weight_decay": self.weight_decay,
            "label_smoothing": self.label_smoothing,
            "perfect_loss": perfect_loss(self.label_smoothing, self.data.num_classes),
            "data": self.data.name,
            "seed": self.config.seed,
        }


def make_setting(config: WalkConfig, solutions: Sequence[Solution]) -> Setting:
    """The setting of a path between solutions; what the config leaves open, the last one says.

    Raises:
        UserError: solutions of different architectures, or images that do not fit.
    """
    require_same_architecture(solutions)
    end = solutions[-1].config
    data = load_data(config.data or end.data, seed=config.seed)
    if config.augment and isinstance(data, InMemoryData) and not data.augments:
        raise UserError(
            f"augment: the run at the end was trained on {data.name!r} without random changes; "
            "leave augment out, or set data with augment true"
        )
    images = make_images(
        data,
        count=config.images,
        batch_size=config.batch_size,
        augment=config.augment,
        seed=config.seed,
    )
    shape, classes = data.input_shape, data.num_classes
    model = build(sized(end, shape, classes), shape, classes, seed=0)
    decay, smoothing = config.weight_decay, config.label_smoothing
    return Setting(
        config,
        model,
        data,
        images,
        weight_decay=end.optimizer.weight_decay if decay is None else decay,
        label_smoothing=end.train.label_smoothing if smoothing is None else smoothing,
    )


def ticking(display: Display) -> Callable[[int], None]:
    """A walk's sign of life as progress."""
    done = 0

    def tick(count: int) -> None:
        nonlocal done
        done += count
        display.update(done, loss=None)

    return tick
