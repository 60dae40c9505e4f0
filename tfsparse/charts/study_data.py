"""What the charts of a study are drawn from: its table and the folders of its pieces."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfsparse import files
from tfsparse.errors import UserError


@dataclass(frozen=True)
class StudyData:
    """The results of a study, as `results.json` holds them.

    Attributes:
        title: heading of the figure.
        subtitle: preset, replicates and commit.
        measures: by name: label, percent, dead_below.
        table: rows with measure, series, at, n, mean, std, min, max, values, dead, failed, open,
            paper.
        reference: the paper's numbers: rows with measure, series, at, value, source.
        pieces: name, kind, folder (relative to `root`), series, at, seed, state.
        root: the study's folder.
    """

    title: str
    subtitle: str
    measures: Mapping[str, Mapping[str, Any]]
    table: list[dict[str, Any]]
    reference: list[dict[str, Any]]
    pieces: list[dict[str, Any]]
    root: Path

    def folder(self, piece: Mapping[str, Any]) -> Path:
        """The folder of one of the pieces."""
        return self.root / str(piece["folder"])


def read_results(folder: str | os.PathLike[str]) -> StudyData:
    """The results a study left in `folder`.

    Raises:
        UserError: no results there, or unreadable ones.
    """
    path = Path(folder) / "results.json"
    value = files.read_json(path)
    try:
        return StudyData(
            title=str(value["title"]),
            subtitle=str(value["subtitle"]),
            measures=dict(value["measures"]),
            table=list(value["table"]),
            reference=list(value["reference"]),
            pieces=list(value["pieces"]),
            root=Path(folder),
        )
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: expected the results of a study") from None
