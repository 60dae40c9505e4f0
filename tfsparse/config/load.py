"""From a JSON file, its one base and `--set` overrides to a checked config."""

import difflib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tfsparse.config.fields import Strict
from tfsparse.errors import UserError
from tfsparse.files import read_json
from tfsparse.json_text import DEPTH, parse_json

Config = TypeVar("Config", bound=Strict)


def load_config(
    path: str | os.PathLike[str], kind: type[Config], overrides: Sequence[str] = ()
) -> Config:
    """The config in `path`, merged over its `base`, with `overrides` on top.

    Args:
        path: a JSON file. Its key `base` names one other file, relative to it, which has no
            base of its own; sections are merged key by key, lists and values replace.
        kind: the class to check against.
        overrides: `"section.key=value"`; the value is JSON, or text where it is no JSON.

    Raises:
        UserError: any file, syntax, key, type or range error, in one line.
    """
    data = read_object(path)
    if "base" in data:
        data = _over_base(data, path)
    for override in overrides:
        _override(data, override)
    if "name" in kind.model_fields:
        data.setdefault("name", _text(Path(path).stem))
    return check(data, kind, str(path))


def _over_base(data: dict[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
    name = data.pop("base")
    if not isinstance(name, str):
        raise UserError(f"{path}: base: expected a file name, received {_show(name)}")
    base_path = Path(path).parent / name
    try:
        base = read_object(base_path)
    except UserError as error:
        raise UserError(f"{path}: base: {error}") from None
    if "base" in base:
        raise UserError(f"{base_path}: a base has no base of its own; remove its key 'base'")
    return merge({key: base[key] for key in base if key not in ("about", "name")}, data)


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON object in `path`, without an editor's `$schema` key."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected a JSON object {{...}}, received {_show(data)}")
    data.pop("$schema", None)
    return data


def check(data: Any, kind: type[Config], origin: str) -> Config:
    """`data` as a `kind`.

    Raises:
        UserError: the first thing wrong, as `origin: key.path: expected ..., received ...`.
    """
    try:
        return kind.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise UserError(f"{origin}: {describe(error, data)}") from None


def merge(base: Any, over: Any) -> Any:
    """`over` on top of `base`: objects key by key, everything else replaced. A section whose
    `schedule`, `kind` or `name` differs from the base's is replaced as a whole."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    for tag in ("schedule", "kind", "name"):
        if tag in base and tag in over and base[tag] != over[tag]:
            return over
    return {**base, **{key: merge(base.get(key), value) for key, value in over.items()}}


def _override(data: dict[str, Any], text: str) -> None:
    """Apply one `a.b=value` to `data` in place."""
    text = _text(text)
    key, equals, value = text.partition("=")
    parts = key.split(".")
    if not equals or not all(parts) or len(parts) > DEPTH:
        raise UserError(f"--set: expected key=value such as seed=1, received {_show(text)}")
    try:
        parsed = parse_json(value)
    except ValueError:
        parsed = value
    section = data
    for part in parts[:-1]:
        inner = section.get(part)
        if inner is None:
            inner = section[part] = {}
        if not isinstance(inner, dict):
            raise UserError(f"--set {key}: {part!r} holds {_show(inner)}, not a section")
        section = inner
    section[parts[-1]] = parsed


def _text(text: str) -> str:
    """`text` with bytes that are no UTF-8 replaced; arguments and file names may hold some."""
    return text.encode("utf-8", "replace").decode("utf-8")


_WORDS = {
    r"Input should be ": "expected ",
    r"String should match pattern ": "expected text that matches ",
    r"(String|List|Tuple|Dictionary) should have ": "expected ",
    r"expected (?=greater|less)": "expected a number ",
    r"a valid integer.*": "a whole number",
    r"a valid number": "a number",
    r"a valid boolean": "true or false",
    r"a valid string": "text",
    r"a valid (array|list|tuple)": "a list",
    r"an object|a valid dictionary.*": "a section {...}",
    r"Field required": "expected a value, received nothing",
}


def describe(error: ValidationError, data: Any) -> str:
    """A pydantic error as one line: the key's path, what was expected, what was received."""
    errors = error.errors()
    paths = [_keys(item, data) for item in errors]
    chosen = max(range(len(errors)), key=lambda index: len(paths[index]))
    path = paths[chosen]
    same = [item for item, other in zip(errors, paths, strict=True) if other == path]
    messages = [_message(item) for item in same]
    message = " or ".join([messages[0], *(m.removeprefix("expected ") for m in messages[1:])])
    received, kind = same[0]["input"], same[0]["type"]
    inner = re.match(r"(\w+): ", message)  # a section's own check may name one of its keys
    key = same[0]["ctx"]["discriminator"].strip("'") if kind == "union_tag_invalid" else None
    if inner:
        key, message = inner[1], message[inner.end() :]
    if key:
        path = [*path, key]
        received = received.get(key) if isinstance(received, dict) else received
    if "received" not in message and not message.startswith("unknown key"):
        message += f", received {_show(received)}"
    if kind in ("literal_error", "union_tag_invalid"):
        words = re.findall("'([^']*)'", message.partition(", received")[0])
        near = difflib.get_close_matches(str(received), words, n=1, cutoff=0.5)
        message += f"; did you mean {near[0]!r}?" if near else ""
    others = len(errors) - len(same)
    more = f" (and {others} more)" if others else ""
    where = " ".join(".".join(str(key)[:80] for key in path).split())
    return f"{where}: {message}{more}" if where else f"{message}{more}"


def _message(item: Any) -> str:
    """What was expected, in the words of JSON."""
    if item["type"].startswith("union_tag"):
        tags = item["ctx"].get("expected_tags")
        if tags is None:
            return f"expected a key {item['ctx']['discriminator']}"
        return f"expected one of {tags}"
    message = item["msg"].removeprefix("Value error, ")
    for pattern, words in _WORDS.items():
        message = re.sub(pattern, words, message)
    return message


def _keys(item: Any, data: Any) -> list[int | str]:
    """The parts of a pydantic location that are keys of the JSON and no union member's name."""
    keys: list[int | str] = []
    for position, part in enumerate(item["loc"]):
        last = position == len(item["loc"]) - 1
        found = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if found:
            data = data[part]
        if found or (last and item["type"] == "missing"):
            keys.append(part)
    return keys


def _show(value: Any) -> str:
    """A value in a message: JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
