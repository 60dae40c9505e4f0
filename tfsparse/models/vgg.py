"""VGG-16 as the papers use it: convolutions only, no batch norm, global pooling."""

import tf_keras as keras

from tfsparse.models.sizes import units

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def vgg_16(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    width: float = 1.0,
    relu_logits: bool = False,
) -> keras.Model:
    """The 13 convolutions of VGG-16, then global average pooling and one dense layer."""
    layers = keras.layers
    inputs = x = keras.Input(input_shape, name="image")
    for stage, (filters, convolutions) in enumerate(STAGES, 1):
        for index in range(1, convolutions + 1):
            x = layers.Conv2D(
                units(filters, width),
                3,
                padding="same",
                activation="relu",
                kernel_initializer="he_normal",
                name=f"conv{stage}_{index}",
            )(x)
        x = layers.MaxPooling2D(padding="same", name=f"pool{stage}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    logits = layers.Dense(num_classes, activation="relu" if relu_logits else None, name="logits")
    return keras.Model(inputs, logits(x), name="vgg_16")
