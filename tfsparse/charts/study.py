"""A study's results as they lie in its folder: figure, table, claims with their verdicts."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tfsparse import files
from tfsparse.charts.inside import own_file
from tfsparse.charts.logs import number
from tfsparse.charts.tables import dig
from tfsparse.errors import UserError, one_line

CLAIM_COLUMNS = ["claim", "sentence", "paper", "ours", "n", "verdict", "detail"]
VERDICTS = ("holds", "does not hold", "not decided")

_FIGURE, _TABLE, _CLAIMS = "figure.vl.json", "table.csv", "claims.json"
COMPARISONS = ("greater", "not_worse", "equal", "spread")
"""Checks whose `ours` is a difference of two means."""

_NOT_STUDIES = {"checkpoints", "events", "saved_model", "pieces"}


@dataclass(frozen=True)
class Study:
    """What a study's folder holds.

    Attributes:
        name: path below the root it was found in.
        folder: where it lies.
        title: heading, from the figure when it has one.
        subtitle: what the figure says below its heading.
        figure: Vega-Lite specification, or None.
        table: the numbers; empty when missing.
        measures: name -> label, and whether it is a fraction; what `study.json` says of them.
        claims: one row per claim, the columns of CLAIM_COLUMNS; empty when missing.
        complete: every piece is finished.
        problems: what could not be read, in words.
    """

    name: str
    folder: Path
    title: str
    subtitle: str
    figure: dict[str, Any] | None
    table: pd.DataFrame
    measures: dict[str, Any]
    claims: pd.DataFrame
    complete: bool
    problems: list[str]


def find_studies(root: str | os.PathLike[str]) -> list[Path]:
    """Folders below `root` with a claims file or a figure, sorted; links are not followed."""
    found = []
    for folder, inner, names in os.walk(root, followlinks=False):
        if _CLAIMS in names or _FIGURE in names:
            found.append(Path(folder))
        # A run folder holds no study below it, and there may be thousands of them.
        inner[:] = [
            name
            for name in inner
            if name not in _NOT_STUDIES and not name.startswith((".", "seed_"))
        ]
    return sorted(found)


def read_study(folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> Study:
    """All that can be read of a study; never raises for what its files hold."""
    folder = Path(folder)
    problems: list[str] = []
    figure = _figure(folder, problems)
    summary = _json(folder / "summary.json", problems, dict, needed=False) or {}
    described = _json(folder / "study.json", problems, dict, needed=False) or {}
    measures = described.get("measures")
    measures = measures if isinstance(measures, dict) else {}
    claims = _json(folder / _CLAIMS, problems, list) or []
    name = folder.relative_to(root).as_posix()
    title = (figure or {}).get("title")
    heading = title.get("text") if isinstance(title, dict) else title
    below = title.get("subtitle") if isinstance(title, dict) else None
    lines = below if isinstance(below, list) else [below] if below else []
    return Study(
        name=name,
        folder=folder,
        title=heading if isinstance(heading, str) and heading else folder.name,
        subtitle=" · ".join(str(line) for line in lines),
        figure=figure,
        table=_table(folder / _TABLE, problems),
        measures=measures,
        claims=claims_table(claims, measures),
        complete=summary.get("kind") == "study",
        problems=problems,
    )


def numbers_table(study: Study) -> pd.DataFrame:
    """The numbers as people read them: labels, fractions of a measure in percent, no empty columns.

    Sparsities stay fractions. Commit and command, the same in most rows, are left to the CSV.
    """
    table = study.table.drop(columns=["commit", "command"], errors="ignore")
    table = table.dropna(axis=1, how="all")
    for name in ("dead", "failed", "open"):
        if name in table.columns and (table[name] == 0).all():
            table = table.drop(columns=name)
    if "measure" not in table.columns:
        return table
    percent = table["measure"].map(lambda name: dig(study.measures, name, "percent") is True)
    for name in ("mean", "std", "min", "max", "paper"):
        if name in table.columns and pd.api.types.is_float_dtype(table[name]):
            table[name] = table[name].where(~percent, 100 * table[name])
    labels = [str(dig(study.measures, name, "label") or name) for name in table["measure"]]
    units = [" (%)" if fraction else "" for fraction in percent]
    return table.assign(measure=[label + unit for label, unit in zip(labels, units, strict=True)])


def claims_table(claims: list[Any], measures: dict[str, Any]) -> pd.DataFrame:
    """The claims as rows of text and numbers; `ours` is mean and std as one text.

    Means of `measures` that are fractions are written in percent, differences in its points.
    """
    rows = []
    for claim in claims:
        if not isinstance(claim, dict):
            continue
        verdict = claim.get("verdict")
        fraction = dig(measures, str(claim.get("measure")), "percent") is True
        unit = ("pp" if claim.get("check") in COMPARISONS else "%") if fraction else ""
        rows.append(
            {
                "claim": str(claim.get("name", "")),
                "sentence": str(claim.get("sentence", "")),
                "paper": _plain(claim.get("paper")),
                "ours": _ours(claim.get("ours"), unit),
                "n": number(dig(claim, "ours", "n")),
                "verdict": verdict if verdict in VERDICTS else "not decided",
                "detail": str(claim.get("detail") or ""),
            }
        )
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS).astype({"n": "Int64"})


def fetches(value: Any) -> bool:
    """Whether a Vega-Lite specification would load anything from elsewhere."""
    if isinstance(value, dict):
        for key, inner in value.items():
            wanted = key in ("url", "href", "baseURL") and isinstance(inner, str)
            if wanted and not inner.startswith("data:"):
                return True
            if fetches(inner):
                return True
        return False
    return isinstance(value, list) and any(fetches(item) for item in value)


def _figure(folder: Path, problems: list[str]) -> dict[str, Any] | None:
    spec = _json(folder / _FIGURE, problems, dict)
    if spec is not None and fetches(spec):
        problems.append(f"{_FIGURE}: refers to data outside itself and is not drawn")
        return None
    return spec


def _table(path: Path, problems: list[str]) -> pd.DataFrame:
    try:
        return pd.read_csv(io.StringIO(files.read_text(own_file(path.parent, path.name))))
    except UserError as error:
        problems.append(one_line(error).replace(str(path), path.name))
    except (ValueError, pd.errors.ParserError) as error:
        problems.append(f"{path.name}: {one_line(error)}")
    return pd.DataFrame()


def _json(path: Path, problems: list[str], kind: type, *, needed: bool = True) -> Any:
    if not path.exists():
        if needed:
            problems.append(f"{path.name} is missing")
        return None
    try:
        value = files.read_json(own_file(path.parent, path.name))
    except UserError as error:
        problems.append(one_line(error).replace(str(path), path.name))
        return None
    if not isinstance(value, kind):
        problems.append(f"{path.name}: expected a JSON {'list' if kind is list else 'object'}")
        return None
    return value


def _ours(value: Any, unit: str) -> str:
    mean, std = number(dig(value, "mean")), number(dig(value, "std"))
    if mean is None:
        return ""
    factor = 100 if unit else 1
    words = f"{factor * mean:.4g}" + ("" if std is None else f" ± {factor * std:.2g}")
    return f"{words} {unit}" if unit else words


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
