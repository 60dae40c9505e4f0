"""Names that come from outside (a URL, a log) lead to folders inside the runs folder only."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from tfsparse.errors import UserError


def inside(root: str | os.PathLike[str], name: str) -> Path:
    """The folder called `name` below `root`.

    Args:
        root: the runs folder; it may itself be reached through a link.
        name: a relative path with "/" such as "pruned_80/seed_0".

    Raises:
        UserError: an absolute path, "..", a symbolic link on the way, or no such folder.
    """
    shown = repr(name if len(name) <= 100 else name[:100] + "...")
    parts = PurePosixPath(name).parts
    unsafe = not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name
    if unsafe or PurePosixPath(name).is_absolute():
        raise UserError(f"run {shown}: expected the name of a folder inside the runs folder")
    path = Path(root)
    for part in parts:
        path /= part
        try:
            linked = path.is_symlink()
        except (OSError, ValueError):
            linked = True
        if linked:
            raise UserError(f"run {shown}: is or passes a symbolic link, which is not followed")
    try:
        found = path.is_dir()
    except (OSError, ValueError):
        found = False
    if not found:
        raise UserError(f"run {shown}: no such folder inside the runs folder")
    return path


def own_file(folder: Path, name: str) -> Path:
    """The file `name` of a run folder.

    Raises:
        UserError: it is a symbolic link, which could show a file from anywhere.
    """
    path = folder / name
    if path.is_symlink():
        raise UserError(f"{name}: is a symbolic link, which is not followed")
    return path
