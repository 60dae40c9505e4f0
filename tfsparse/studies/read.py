"""A study file and the name of a preset become a checked config."""

import difflib
import os
from pathlib import Path
from typing import Any

from tfsparse.config.load import check, merge, read_object
from tfsparse.config.study import StudyConfig, StudyOutline
from tfsparse.errors import UserError
from tfsparse.studies.template import fill

_OPEN_PARTS = ("pieces", "measures", "reference", "claims", "figure")


def read_study(path: str | os.PathLike[str], preset: str) -> StudyConfig:
    """The study in `path` at `preset`; only the axes' placeholders are still open.

    Raises:
        UserError: any file, syntax, key, type or range error, an unknown preset or placeholder.
    """
    outline = check(read_object(path), StudyOutline, str(path))
    if preset not in outline.presets:
        near = difflib.get_close_matches(preset, outline.presets, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(outline.presets)
        raise UserError(f"{path}: expected a preset of {known}, received {preset!r}{hint}")
    chosen = outline.presets[preset]
    unknown = sorted(set(chosen.axes) - set(outline.axes))
    if unknown:
        raise UserError(
            f"{path}: presets.{preset}.axes: the study has no axis {unknown[0]!r}, "
            f"only {', '.join(outline.axes)}"
        )
    values = {**outline.values, **chosen.values}
    axes = fill({**outline.axes, **chosen.axes}, values, f"{path}: axes")
    _check_axes(axes, values, str(path))
    raw = outline.model_dump(mode="json", include=set(_OPEN_PARTS))
    raw["claims"] = _chosen_claims(raw["claims"], chosen.claims, f"{path}: presets.{preset}.claims")
    parts: dict[str, Any] = {}
    for part in _OPEN_PARTS:
        # Only pieces are multiplied over axes; elsewhere every placeholder must be a value.
        parts[part] = fill(raw[part], values, f"{path}: {part}", partly=part == "pieces")
    parts["pieces"] = [
        _with_base(piece, Path(path), f"{path}: pieces.{index}")
        for index, piece in enumerate(parts["pieces"])
    ]
    whole = {
        "study": outline.study,
        "family": outline.family,
        "preset": preset,
        "about": chosen.about,
        "title": outline.title,
        "paper": outline.paper,
        "axes": axes,
        **parts,
    }
    return check(whole, StudyConfig, str(path))


def _chosen_claims(
    claims: list[dict[str, Any]], names: list[str] | None, where: str
) -> list[dict[str, Any]]:
    """The claims of these names, in the study's order; all of them when there are no names."""
    if names is None:
        return claims
    known = [claim.get("name") for claim in claims]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UserError(
            f"{where}: expected names of {', '.join(map(str, known))}, received {unknown[0]!r}"
        )
    return [claim for claim in claims if claim.get("name") in names]


def _check_axes(axes: dict[str, list[Any]], values: dict[str, Any], path: str) -> None:
    for axis, entries in axes.items():
        if axis in values:
            raise UserError(f"{path}: {axis!r} is both an axis and a value; rename one")
        if not entries:
            raise UserError(f"{path}: axes.{axis}: expected at least one entry, received none")
        for index, entry in enumerate(entries):
            if entry in entries[:index]:
                raise UserError(f"{path}: axes.{axis}: {entry!r} is given twice")
    for seed in axes.get("seed", []):
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise UserError(f"{path}: axes.seed: expected whole numbers >= 0, received {seed!r}")


def _with_base(piece: dict[str, Any], path: Path, where: str) -> dict[str, Any]:
    """The piece with its config merged over the config's `base`: an object, or a file's name
    relative to the study's file."""
    config = piece.get("config")
    if not isinstance(config, dict) or "base" not in config:
        return piece
    config = dict(config)
    base = config.pop("base")
    if isinstance(base, str):
        base = read_object(path.parent / base)
    if not isinstance(base, dict):
        raise UserError(f"{where}.config.base: expected a file name or an object")
    if "base" in base:
        raise UserError(f"{where}.config.base: a base has no base of its own")
    base = {key: value for key, value in base.items() if key not in ("about", "name")}
    return {**piece, "config": merge(base, config)}
