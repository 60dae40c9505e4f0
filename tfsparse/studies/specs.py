"""A piece's folder belongs to one config: results of an edited study are never mixed silently."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfsparse import files
from tfsparse.errors import UserError
from tfsparse.studies.plan import Piece, Plan


def check_specs(plan: Plan) -> None:
    """Raise a UserError when a piece was begun with another config than the study has now."""
    for piece in plan.pieces.values():
        path = _path(plan.root, piece)
        if not path.is_file():
            continue
        found = difference(files.read_json(path), _spec(piece))
        if found:
            raise UserError(
                f"piece {piece.name!r} was begun with another config ({found}); choose "
                f"another --out, or remove {piece.folder} and {path}"
            )


def recorded(plan: Plan, run: Callable[[Piece], None]) -> Callable[[Piece], None]:
    """`run`, which keeps the piece's config before it starts."""

    def record_and_run(piece: Piece) -> None:
        files.write_json(_path(plan.root, piece), _spec(piece))
        run(piece)

    return record_and_run


def _spec(piece: Piece) -> Any:
    return json.loads(json.dumps({"kind": piece.kind, "config": files.plain(dict(piece.spec))}))


def _path(root: Path, piece: Piece) -> Path:
    return root / "specs" / f"{piece.name.replace('/', '.')}.json"


def difference(old: Any, new: Any, path: str = "") -> str:
    """The first place at which two JSON values differ, in words; empty when they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            inner = difference(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
            if inner:
                return inner
        return ""
    return "" if old == new else f"{path}: there {json.dumps(old)}, here {json.dumps(new)}"
