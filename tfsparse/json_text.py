"""Strict JSON: every text means one value, and that value is safe to walk."""

import json
import math
from typing import Any

DEPTH = 50
"""How many lists and objects may stand inside each other."""

DIGITS = 300
"""How long a whole number may be; longer ones fit no float."""


def parse_json(text: str) -> Any:
    """The value of `text`.

    Raises:
        ValueError: malformed (a `json.JSONDecodeError`, with line and column), a key given
            twice, a number that is not finite, half a character, or nested beyond `DEPTH`.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        too_deep = True
    else:
        too_deep = _depth(value) > DEPTH
    if too_deep:
        raise ValueError(f"nested too deeply; expected at most {DEPTH} levels")
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"{error.object[error.start]!r} is half a character") from None
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {key[:80]!r} is given twice")
        result[key] = value
    return result


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:80]} is too large for a number")
    return number


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"{digits[:20]}... of {len(digits)} digits is too large for a number")
    return int(digits)


def _depth(value: Any) -> int:
    """How many lists and objects stand inside each other; itself not recursive."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return depth
