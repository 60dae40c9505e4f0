"""`{placeholders}` in a JSON value: replaced by name, nothing computed."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from tfsparse.errors import UserError

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)\}")


def fill(value: Any, names: Mapping[str, Any], where: str, *, partly: bool = False) -> Any:
    """`value` with every `{name}` or `{name.field}` replaced from `names`.

    A text that is one placeholder becomes the named value with its type; within a longer text it
    becomes that value's text (an object's is its `label`).

    Args:
        value: any JSON value; keys of objects are left alone.
        names: what the placeholders stand for.
        where: the path of `value` in its file, for messages.
        partly: leave placeholders alone whose first part is no name.

    Raises:
        UserError: an unknown name or field, with the path of the text that holds it.

    >>> fill({"a": "{s}", "b": "x_{s}"}, {"s": 0.8}, "")
    {'a': 0.8, 'b': 'x_0.8'}
    """
    if isinstance(value, Mapping):
        return {
            key: fill(item, names, _join(where, key), partly=partly) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            fill(item, names, _join(where, index), partly=partly)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole:
        found = _look_up(whole.group(1), names, where, partly)
        return value if found is _MISSING else found

    def text(match: re.Match[str]) -> str:
        found = _look_up(match.group(1), names, where, partly)
        return match.group(0) if found is _MISSING else label(found, f"{where}: {match.group(0)}")

    return _PLACEHOLDER.sub(text, value)


def label(value: Any, where: str) -> str:
    """The text that stands for a value in a name: a number's or text's own, an object's label."""
    if isinstance(value, Mapping):
        value = value.get("label")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{where}: expected a number, a text or an object with a label")
    return str(value)


def look_up(path: str, names: Mapping[str, Any], where: str) -> Any:
    """The value of `name` or `name.field`.

    Raises:
        UserError: there is no such name or field.
    """
    return _look_up(path, names, where, partly=False)


_MISSING = object()


def _look_up(path: str, names: Mapping[str, Any], where: str, partly: bool) -> Any:
    value: Any = names
    for depth, part in enumerate(path.split(".")):
        if not isinstance(value, Mapping) or part not in value:
            if partly and depth == 0:
                return _MISSING
            known = list(value) if isinstance(value, Mapping) else []
            near = difflib.get_close_matches(part, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of: {_list(known)}"
            raise UserError(f"{where}: nothing is named {{{path}}}; {hint}")
        value = value[part]
    return value


def _list(names: list[str]) -> str:
    return ", ".join(sorted(names)) or "(no names)"


def _join(where: str, key: str | int) -> str:
    return f"{where}.{key}" if where else str(key)
