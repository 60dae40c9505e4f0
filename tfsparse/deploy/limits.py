"""The limits a variant must keep."""

import math
import re
from dataclasses import dataclass
from typing import Any

from tfsparse.errors import UserError

_SIZES = {"": 1, "b": 1, "kb": 1000, "kib": 1024, "mb": 10**6, "mib": 1 << 20}
_TIMES = {"": 1.0, "ms": 1.0, "us": 1e-3, "s": 1e3}


@dataclass(frozen=True)
class Limits:
    """None where there is no limit."""

    max_bytes: float | None = None
    max_size_ratio: float | None = None
    """Of the dense float32 file's size."""
    max_accuracy_drop: float | None = 0.01
    """Fraction of the test images."""
    max_latency_ms: float | None = None
    without_delegate: bool = False
    """A file passes that only loads with the default delegate off."""

    def description(self) -> dict[str, Any]:
        """The limits as JSON values."""
        return dict(self.__dict__)

    def violations(self, row: dict[str, Any]) -> list[str]:
        """What a checked variant fails, one phrase each."""
        found = []
        default, plain = row["default_delegate"], row["without_delegate"]
        if not default["accepted"] and not plain["accepted"]:
            found.append(f"LiteRT refuses it: {default['error']}")
        elif not default["accepted"] and not self.without_delegate:
            found.append(f"LiteRT's default delegate refuses it: {default['error']}")
        if row["finite"] is False:
            found.append("its outputs are not finite")
        found += self._above("size", row["bytes"], self.max_bytes, "bytes")
        found += self._above("size", row["size_ratio"], self.max_size_ratio, "x of dense")
        found += self._above("accuracy drop", row["accuracy_drop"], self.max_accuracy_drop, "")
        latency = (row["latency"] or {}).get("median_ms")
        found += self._above("median latency", latency, self.max_latency_ms, "ms")
        return found

    def _above(self, what: str, value: float | None, limit: float | None, unit: str) -> list[str]:
        if limit is None or value is None or value <= limit:
            return []
        return [f"{what} {value:.6g} {unit}".rstrip() + f" is above the limit {limit:.6g}"]


def parse_size(text: str) -> tuple[float | None, float | None]:
    """`--max-size`: bytes and ratio, one of them None.

    >>> parse_size("120kB"), parse_size("0.35x")
    ((120000.0, None), (None, 0.35))
    """
    ratio = re.fullmatch(r"([0-9.]+)x", text.strip())
    if ratio:
        return None, _number("--max-size", ratio[1], text)
    return _with_unit("--max-size", text, _SIZES, "120kB, 1.5MB or 0.35x of the dense file"), None


def parse_latency(text: str) -> float:
    """`--max-latency` in milliseconds.

    >>> parse_latency("500us")
    0.5
    """
    return _with_unit("--max-latency", text, _TIMES, "2ms, 500us or 0.1s")


def parse_drop(text: str) -> float:
    """`--max-accuracy-drop` as a fraction; a negative one demands a gain.

    >>> parse_drop("0.01")
    0.01
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -1 <= value <= 1:
        raise UserError(f"--max-accuracy-drop: expected a fraction such as 0.01, received {text!r}")
    return value


def _with_unit(option: str, text: str, units: dict[str, Any], example: str) -> float:
    match = re.fullmatch(r"([0-9.]+)\s*([a-zA-Z]*)", text.strip())
    if not match or match[2].lower() not in units:
        raise UserError(f"{option}: expected {example}, received {text!r}")
    return _number(option, match[1], text) * units[match[2].lower()]


def _number(option: str, digits: str, text: str) -> float:
    try:
        return float(digits)
    except ValueError:
        raise UserError(f"{option}: expected a number, received {text!r}") from None
