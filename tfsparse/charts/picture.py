"""A matrix as a small PNG, written with the standard library alone."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def png(indices: np.ndarray, palette: np.ndarray) -> bytes:
    """An indexed PNG, one pixel per matrix entry.

    Args:
        indices: [height, width], integers below the palette's length (at most 256).
        palette: [colours, 3] uint8 RGB.

    Raises:
        ValueError: no matrix, or an index without a colour.
    """
    indices, palette = np.asarray(indices), np.asarray(palette, np.uint8)
    if indices.ndim != 2 or indices.size == 0:
        raise ValueError(f"expected a matrix with entries, received shape {indices.shape}")
    if len(palette) > 256 or indices.min() < 0 or indices.max() >= len(palette):
        raise ValueError(f"expected indices in [0, {len(palette)}), at most 256 colours")
    height, width = indices.shape
    bits = 1 if len(palette) <= 2 else 8
    rows = np.packbits(indices.astype(bool), axis=1) if bits == 1 else indices.astype(np.uint8)
    # Each row of a PNG begins with the number of its filter; 0 is none.
    raw = np.hstack([np.zeros((height, 1), np.uint8), rows]).tobytes()
    header = struct.pack(">IIBBBBB", width, height, bits, 3, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"PLTE", palette.tobytes())
        + _chunk(b"IDAT", zlib.compress(raw, 6))
        + _chunk(b"IEND", b"")
    )


def data_url(data: bytes) -> str:
    """A PNG as a URL that carries it."""
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)
