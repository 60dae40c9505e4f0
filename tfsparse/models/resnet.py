"""Residual networks: ResNet-20/32/56 for small images, ResNet-50 v1.5 for ImageNet."""

from functools import partial

import tf_keras as keras

from tfsparse.models.sizes import units

layers = keras.layers
_conv = partial(layers.Conv2D, use_bias=False, kernel_initializer="he_normal")


def _norm(name: str, *, gamma: str = "ones") -> keras.layers.Layer:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=name)


def _pad_conv(x: object, filters: int, size: int, stride: int, name: str) -> object:
    """A convolution whose padding depends on the kernel only, not on the input's parity."""
    if stride == 1:
        return _conv(filters, size, padding="same", name=name)(x)
    x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x) if size > 1 else x
    return _conv(filters, size, strides=stride, name=name)(x)


def resnet_cifar(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: int,
    width: float = 1.0,
    relu_logits: bool = False,
) -> keras.Model:
    """The CIFAR ResNet of He et al. 2015, section 4.2, with projection shortcuts.

    Args:
        input_shape: (height, width, channels).
        num_classes: number of logits.
        depth: 6n + 2 for n blocks a stage: 20, 32, 56.
        width: multiplies 16, 32 and 64 channels.
        relu_logits: ReLU on the logits.
    """
    inputs = keras.Input(input_shape, name="image")
    x = _conv(units(16, width), 3, padding="same", name="conv1")(inputs)
    x = layers.ReLU(name="relu1")(_norm("bn1")(x))
    for stage in range(3):
        filters = units(16 * 2**stage, width)
        for block in range((depth - 2) // 6):
            name = f"stage{stage + 1}_block{block + 1}"
            stride = 2 if stage and not block else 1
            shortcut = x
            x = _pad_conv(x, filters, 3, stride, f"{name}_conv1")
            x = layers.ReLU(name=f"{name}_relu1")(_norm(f"{name}_bn1")(x))
            x = _pad_conv(x, filters, 3, 1, f"{name}_conv2")
            x = _norm(f"{name}_bn2")(x)
            if stride == 2:
                shortcut = _pad_conv(shortcut, filters, 1, 2, f"{name}_shortcut")
                shortcut = _norm(f"{name}_shortcut_bn")(shortcut)
            x = layers.ReLU(name=f"{name}_relu2")(layers.Add(name=f"{name}_add")([x, shortcut]))
    return _head(inputs, x, num_classes, relu_logits, f"resnet_{depth}")


def resnet_50(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    relu_logits: bool = False,
) -> keras.Model:
    """ResNet-50 v1.5 (stride in the 3x3 convolution), 25,502,912 kernel weights at 1000 classes.

    The last batch norm of each block starts with gamma 0 (Goyal et al. 2017, section 5.1).
    """
    inputs = keras.Input(input_shape, name="image")
    x = _pad_conv(inputs, units(64, width), 7, 2, "conv1")
    x = layers.ReLU(name="relu1")(_norm("bn1")(x))
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        filters = units(64 * 2**stage, width)
        for block in range(blocks):
            name = f"stage{stage + 1}_block{block + 1}"
            stride = 2 if stage and not block else 1
            shortcut = x
            x = _pad_conv(x, filters, 1, 1, f"{name}_conv1")
            x = layers.ReLU(name=f"{name}_relu1")(_norm(f"{name}_bn1")(x))
            x = _pad_conv(x, filters, 3, stride, f"{name}_conv2")
            x = layers.ReLU(name=f"{name}_relu2")(_norm(f"{name}_bn2")(x))
            x = _pad_conv(x, 4 * filters, 1, 1, f"{name}_conv3")
            x = _norm(f"{name}_bn3", gamma="zeros")(x)
            if not block:
                shortcut = _pad_conv(shortcut, 4 * filters, 1, stride, f"{name}_shortcut")
                shortcut = _norm(f"{name}_shortcut_bn")(shortcut)
            x = layers.ReLU(name=f"{name}_relu3")(layers.Add(name=f"{name}_add")([x, shortcut]))
    return _head(inputs, x, num_classes, relu_logits, "resnet_50")


def _head(inputs: object, x: object, num_classes: int, relu_logits: bool, name: str) -> keras.Model:
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    activation = "relu" if relu_logits else None
    logits = layers.Dense(num_classes, activation=activation, name="logits")(x)
    return keras.Model(inputs, logits, name=name)
