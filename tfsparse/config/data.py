"""The data section: which set, from where, and how it is fed."""

from pydantic import Field

from tfsparse.config.fields import Strict


class DataConfig(Strict):
    """A TFDS image-classification set."""

    name: str = Field("digits", min_length=1)
    """A TFDS name such as mnist, cifar10, imagenet2012; `digits` is embedded."""
    data_dir: str | None = None
    """Where prepared sets lie; default: TFDS_DATA_DIR, else TFDS's own default."""
    download: bool = False
    """Allow downloading and preparing a set that is not there."""
    augment: bool | None = None
    """Random augmentation in training; default: what is usual for the set."""
    validation_fraction: float = Field(0.1, ge=0, lt=1)
    """The part of the training split set aside for validation; 0 for none."""
    image_size: int | None = Field(None, ge=1, le=4096)
    """Height and width fed to the model; default: what is usual for the set."""
    standardise: bool = True
    """Subtract each channel's mean and divide by its deviation; false: pixels in [0, 1]."""
    shuffle: bool = True
    """Draw a new order each epoch; false feeds the stored order every time."""
    train_examples: int | None = Field(None, ge=1)
    """Use only this many training images."""
    stream: bool | None = None
    """Read the images from disk in every epoch; default: only sets too large for memory."""
