"""One seed per run, one named seed per purpose.

A purpose is a word such as `"init"`, `"data_order"`, `"augmentation"`, `"mask_growth"` or
`"curve_points"`. The numbers depend on nothing but the arguments: not on the process, the
machine or Python's hash seed.
"""

import hashlib


def _digest(seed: int, purpose: str, more: tuple[int | str, ...]) -> bytes:
    text = "\x1f".join([str(int(seed)), purpose, *map(str, more)])
    return hashlib.sha256(text.encode("utf-8")).digest()


def named_seed(seed: int, purpose: str, *more: int | str) -> int:
    """A seed in [0, 2**31) for one purpose of a run.

    >>> named_seed(0, "init")
    215462055
    """
    return int.from_bytes(_digest(seed, purpose, more)[:4], "big") >> 1


def stateless_seed(seed: int, purpose: str, *more: int | str) -> tuple[int, int]:
    """A pair of seeds in [0, 2**31), as TensorFlow's `tf.random.stateless_*` take them."""
    digest = _digest(seed, purpose, more)
    return int.from_bytes(digest[4:8], "big") >> 1, int.from_bytes(digest[8:12], "big") >> 1
