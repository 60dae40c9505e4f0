"""tfsparse: why sparse neural networks are hard to train, with pictures and error bars."""

__version__ = "0.1.0"
