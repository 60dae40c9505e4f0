"""How a width multiplier changes a layer."""


def units(count: int, width: float) -> int:
    """`count` hidden units or channels times `width`, at least 1."""
    return max(1, round(count * width))
