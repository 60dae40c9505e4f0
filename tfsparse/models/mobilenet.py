"""MobileNet-v1 laid out for XNNPACK's sparse kernels."""

import tf_keras as keras

from tfsparse.models.sizes import units

layers = keras.layers

# Output channels and stride of the 13 separable blocks (Howard et al. 2017, table 1).
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


def mobilenet_v1(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    relu_logits: bool = False,
) -> keras.Model:
    """MobileNet-v1 (Howard et al. 2017, table 1), 3,150,688 kernel weights at 10 classes.

    3,139,584 of these are the 13 pointwise convolutions', which alone the latency policy prunes;
    depthwise kernels (44,640 more) are never masked. XNNPACK runs a sparse network only if it
    starts with a 3x3 convolution of stride 2 over 3 channels, if all strided convolutions are
    VALID after an explicit padding of 1, and if it ends in a global average.

    Args:
        input_shape: (height, width, channels); XNNPACK wants 3 channels.
        num_classes: number of logits.
        width: multiplies all channel counts.
        relu_logits: ReLU on the logits.
    """
    inputs = keras.Input(input_shape, name="image")
    x = layers.ZeroPadding2D(1, name="conv1_pad")(inputs)
    x = layers.Conv2D(
        units(32, width), 3, strides=2, use_bias=False, kernel_initializer="he_normal", name="conv1"
    )(x)
    x = _norm_relu(x, "conv1")
    for number, (filters, stride) in enumerate(_BLOCKS, 1):
        x = _depthwise(x, stride, f"block{number}_depthwise")
        x = layers.Conv2D(
            units(filters, width),
            1,
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"block{number}_pointwise",
        )(x)
        x = _norm_relu(x, f"block{number}_pointwise")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    activation = "relu" if relu_logits else None
    logits = layers.Dense(num_classes, activation=activation, name="logits")(x)
    return keras.Model(inputs, logits, name="mobilenet_v1")


def _depthwise(x: object, stride: int, name: str) -> object:
    """A 3x3 depthwise convolution, one filter a channel, with batch norm and ReLU6."""
    padding = "same"
    if stride == 2:
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding=padding,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)
    return _norm_relu(x, name)


def _norm_relu(x: object, name: str) -> object:
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(6.0, name=f"{name}_relu")(x)
