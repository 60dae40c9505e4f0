"""One template of a study, multiplied over its axes."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tfsparse.config.load import check
from tfsparse.config.study import PieceTemplate, StudyConfig
from tfsparse.errors import UserError
from tfsparse.studies.template import fill, label, look_up


@dataclass(frozen=True)
class Draft:
    """A template at one combination of its axes; references are still names."""

    index: int
    name: str
    seed: int | None
    parts: PieceTemplate


def unfold(index: int, template: dict[str, Any], study: StudyConfig) -> Iterator[Draft]:
    """The pieces of template `index`, once per combination of the axes in its `over`.

    Raises:
        UserError: unknown axes, placeholders or measures, a bad name or section, or a `where`
            that leaves nothing.
    """
    where = f"pieces.{index}"
    over = template.get("over", [])
    if not isinstance(over, list) or not all(isinstance(axis, str) for axis in over):
        raise UserError(f"{where}.over: expected a list of names of axes")
    for axis in over:
        if axis not in study.axes:
            raise UserError(
                f"{where}.over: expected axes of {', '.join(study.axes)}, received {axis!r}"
            )
    wanted = template.get("where", {})
    if not isinstance(wanted, dict) or not all(isinstance(v, list) for v in wanted.values()):
        raise UserError(f"{where}.where: expected an object of lists")
    count = 0
    for combination in itertools.product(*(study.axes[axis] for axis in over)):
        names = dict(zip(over, combination, strict=True))
        if any(
            _plain(look_up(key, names, f"{where}.where.{key}"), f"{where}.where.{key}")
            not in allowed
            for key, allowed in wanted.items()
        ):
            continue
        filled = fill(template, names, where)
        filled["at"] = {
            key: _plain(value, f"{where}.at.{key}") for key, value in filled.get("at", {}).items()
        }
        parts = check(filled, PieceTemplate, where)
        seed = names.get("seed")
        name = parts.name if seed is None else f"{parts.name}/seed_{seed}"
        _check_name(parts.name, where)
        for measure in parts.measures:
            if measure not in study.measures:
                raise UserError(
                    f"{where}.measures: expected measures of {', '.join(study.measures)}, "
                    f"received {measure!r}"
                )
        count += 1
        yield Draft(index, name, seed, parts)
    if count == 0:
        raise UserError(f"{where}.where: no combination of the axes is left")


def _plain(value: Any, where: str) -> Any:
    return label(value, where) if isinstance(value, dict) else value


def _check_name(name: str, where: str) -> None:
    allowed = set("._+-")
    if not name or name[0] in ".-" or any(not (c.isalnum() or c in allowed) for c in name):
        raise UserError(
            f"{where}.name: expected a folder name of letters, digits and . _ + -, "
            f"received {name!r}"
        )
