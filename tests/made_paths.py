"""Small made-up models, images and weights for the tests of paths."""

import numpy as np
import tf_keras as keras

from tfsparse.config import ModelConfig
from tfsparse.data import Examples, InMemoryData
from tfsparse.data.preprocessing import Preprocessing, Statistics
from tfsparse.models import build, get_weights


def made_data(count=45, size=28, channels=1, *, augments=False, classes=10) -> InMemoryData:
    """Noise with labels."""
    rng = np.random.default_rng(1)
    shape = (size, size, channels)
    examples = Examples(
        rng.integers(0, 256, (count, *shape), dtype=np.uint8),
        rng.integers(0, classes, count).astype(np.int32),
    )
    statistics = Statistics((0.5,) * channels, (0.25,) * channels, "made")
    preprocessing = Preprocessing(shape, shape, statistics, augments=augments, pad=2, flip=True)
    return InMemoryData("made", "1", examples, examples, examples, classes, preprocessing)


def zoo_model(name, width=0.1):
    """A narrow model of the zoo, and the image size and channels it takes."""
    size, channels = (28, 1) if name.startswith("lenet") else (32, 3)
    model = build(ModelConfig(name=name, width=width), (size, size, channels), 10, seed=0)
    return model, size, channels


def two_points(model, *, spread=0.1):
    """Two weight sets of a model: its own, and one nearby whose every weight differs."""
    rng = np.random.default_rng(2)
    first = get_weights(model)
    second = {}
    for name, value in first.items():
        scale = spread * max(float(np.abs(value).mean()), 0.5)
        noise = rng.normal(size=value.shape) * scale
        noise = np.abs(noise) if "variance" in name else noise
        second[name] = (value + noise).astype(np.float32)
    return first, second


def normed_model(classes=10, size=8):
    """Two small convolutions and a dense layer, each with batch norm; pooling and a skip."""
    layers = keras.layers
    inputs = keras.Input((size, size, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv1")(inputs)
    x = skip = layers.ReLU(name="relu1")(layers.BatchNormalization(name="bn1")(x))
    x = layers.Conv2D(4, 3, padding="same", name="conv2")(x)
    x = layers.BatchNormalization(scale=False, name="bn2")(x)
    x = layers.Activation("relu", name="relu2")(layers.Add(name="add")([x, skip]))
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.BatchNormalization(center=False, name="bn3")(layers.Dense(6, name="dense")(x))
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="normed")
