"""The table of a study: one row per measure, series and place, with the paper's number beside."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from tfsparse.charts.words import MISSING, markdown_table, place_words
from tfsparse.studies.observations import Group
from tfsparse.studies.origin import Origin
from tfsparse.studies.plan import Plan
from tfsparse.studies.statistics import describe

Row = dict[str, Any]


def rows(plan: Plan, groups: Sequence[Group]) -> list[Row]:
    """The groups as rows of plain values, in the units of the summaries (fractions).

    `n` counts replicates with a number, dead ones among them; `failed` and `open` ones have
    none. `std` has n - 1 in its denominator and is None for n < 2.
    """
    return [
        {
            "measure": group.measure,
            "series": group.series,
            "at": dict(group.at),
            **describe(group.values),
            "min": min(group.values, default=None),
            "max": max(group.values, default=None),
            "values": list(group.values),
            "dead": group.dead,
            "failed": group.failed,
            "open": group.open,
            **_reference(plan, group),
        }
        for group in groups
    ]


def reference_rows(plan: Plan) -> list[Row]:
    """The paper's numbers as rows: measure, series, at, value, source."""
    result = []
    for item in plan.config.reference:
        points = item.points if item.along is not None else [(None, item.value)]
        for place, value in points:
            at = {**item.at, **({item.along: place} if item.along is not None else {})}
            result.append(
                {
                    "measure": item.measure,
                    "series": item.series,
                    "at": at,
                    "value": value,
                    "source": item.source,
                }
            )
    return result


def _reference(plan: Plan, group: Group) -> Row:
    for row in reference_rows(plan):
        same = row["measure"] == group.measure and row["series"] == group.series
        if same and all(group.at.get(key) == value for key, value in row["at"].items()):
            return {"paper": row["value"], "paper_source": row["source"]}
    return {"paper": None, "paper_source": None}


def place_keys(table: Sequence[Row]) -> list[str]:
    """The keys of `at` over all rows, in the order of their first appearance."""
    return list(dict.fromkeys(key for row in table for key in row["at"]))


def as_csv(table: Sequence[Row], origin: Origin) -> str:
    """The table as CSV, one line per row; commit and command stand in the last columns."""
    keys = place_keys(table)
    numbers = ["n", "mean", "std", "min", "max", "dead", "failed", "open", "paper", "paper_source"]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["measure", "series", *keys, *numbers, "commit", "command"])
    for row in table:
        cells = [row["measure"], row["series"], *(row["at"].get(key) for key in keys)]
        writer.writerow([*cells, *(row[key] for key in numbers), origin.commit, origin.command])
    return stream.getvalue()


def as_markdown(plan: Plan, table: Sequence[Row], origin: Origin) -> str:
    """The table for people: one section per measure, percent where the measure says so."""
    parts = []
    for name, measure in plan.config.measures.items():
        mine = [row for row in table if row["measure"] == name]
        if mine:
            unit = " (%)" if measure.percent else ""
            parts.append(f"### {measure.label}{unit}\n\n{_section(mine, measure.percent)}")
    sources = sorted({row["paper_source"] for row in table if row["paper_source"]})
    if sources:
        parts.append("Paper: " + "; ".join(sources) + ".")
    parts.append(
        "n counts the replicates behind mean and std (with n - 1), dead ones among them; failed "
        "ones gave no number."
    )
    parts.append(f"Made by `{origin.command}` at commit {origin.commit}.")
    return "\n\n".join(parts) + "\n"


def _section(table: Sequence[Row], percent: bool) -> str:
    keys = place_keys(table)
    columns = [*keys, "series", "n", "mean", "std", "min", "max"]
    columns += [word for word in ("dead", "failed", "open") if any(row[word] for row in table)]
    if any(row["paper"] is not None for row in table):
        columns.append("paper")

    def cell(row: Row, column: str) -> str:
        if column in keys:
            return place_words(column, row["at"].get(column))
        if column == "series":
            return row["series"].replace("_", " ")
        if column in ("mean", "std", "min", "max", "paper"):
            return number(row[column], percent)
        return str(row[column])

    cells = [[cell(row, column) for column in columns] for row in table]
    return markdown_table(columns, cells).rstrip()


def number(value: float | None, percent: bool) -> str:
    """A number for people.

    >>> number(0.98765, True), number(1234.5, False), number(None, True)
    ('98.77', '1234', '-')
    """
    if value is None:
        return MISSING
    return f"{100 * value:.2f}" if percent else f"{value:.4g}"


def claims_markdown(claims: Sequence[Mapping[str, Any]]) -> str:
    """The claims for people: verdict, sentence, and what was found."""
    cells = [
        [
            f"**{claim['verdict']}**",
            claim["sentence"],
            MISSING if claim["paper"] is None else claim["paper"],
            claim["detail"],
        ]
        for claim in claims
    ]
    return markdown_table(["verdict", "the paper says", "paper", "here"], cells)
