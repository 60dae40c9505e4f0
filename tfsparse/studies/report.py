"""The end of a study: table, figure, claims, written from whatever is finished."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfsparse import files
from tfsparse.charts.export import save
from tfsparse.charts.study_data import StudyData
from tfsparse.charts.study_figures import draw
from tfsparse.environment import environment, now
from tfsparse.studies.claims import check_claims
from tfsparse.studies.estimate import recorded_seconds
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.observations import Observation, group, observe
from tfsparse.studies.origin import Origin, origin_of
from tfsparse.studies.plan import Plan
from tfsparse.studies.table import (
    Row,
    as_csv,
    as_markdown,
    claims_markdown,
    reference_rows,
    rows,
)

REPORT_FILES = (
    "study.json",
    "command.txt",
    "environment.json",
    "table.csv",
    "table.md",
    "claims.json",
    "results.json",
    "report.md",
    "summary.json",
    "figure.html",
    "figure.png",
    "figure.svg",
    "figure.vl.json",
)


@dataclass(frozen=True)
class Report:
    """What was written."""

    table: list[Row]
    claims: list[dict[str, Any]]
    states: Mapping[str, int]
    """How many pieces are in which state."""

    @property
    def complete(self) -> bool:
        """Whether every piece is finished."""
        return set(self.states) == {"finished"}


def write_report(plan: Plan, command: str) -> Report:
    """Write the table, the figure and the claims into the study's folder.

    `summary.json` is written last, and only when every piece is finished.

    Args:
        plan: the study.
        command: the command line that makes these results.

    Raises:
        UserError: a summary without the numbers the study reads.
    """
    out, config = plan.out, plan.config
    observations = observe(plan)
    table = rows(plan, group(plan, observations))
    claims = check_claims(plan, observations)
    origin = origin_of(plan, command)
    states = count_states(plan)
    data = _study_data(plan, table, origin, states)

    files.write_text(out / "table.csv", as_csv(table, origin))
    files.write_text(out / "table.md", as_markdown(plan, table, origin))
    files.write_json(out / "claims.json", claims)
    files.write_json(out / "results.json", _results(data))
    files.write_json(out / "environment.json", environment())
    files.write_text(out / "report.md", _report(plan, table, claims, observations, origin, states))
    chart = draw(config.figure.chart, data, config.figure.args)
    for ending in ("html", "png", "svg", "vl.json"):
        save(chart, out / f"figure.{ending}")
    report = Report(table, claims, states)
    if report.complete:
        files.write_json(out / "summary.json", _summary(plan, claims, states))
    return report


def record(plan: Plan, destination: Path) -> list[str]:
    """Copy the report's files, without the runs, to a folder that is kept.

    Returns:
        The names that were copied.
    """
    destination.mkdir(parents=True, exist_ok=True)
    copied = [name for name in REPORT_FILES if (plan.out / name).is_file()]
    for name in copied:
        shutil.copyfile(plan.out / name, destination / name)
    return copied


def count_states(plan: Plan) -> dict[str, int]:
    """How many pieces are in which state."""
    ledger = Ledger(plan.root)
    counts: dict[str, int] = {}
    for piece in plan.pieces.values():
        state = ledger.state(piece, plan)
        counts[state] = counts.get(state, 0) + 1
    return counts


def _study_data(
    plan: Plan, table: list[Row], origin: Origin, states: Mapping[str, int]
) -> StudyData:
    config, ledger = plan.config, Ledger(plan.root)
    done = states.get("finished", 0)
    total = sum(states.values())
    counted = f"{total} pieces" if done == total else f"{done} of {total} pieces finished"
    return StudyData(
        title=config.title,
        subtitle=f"{config.study}, preset {config.preset}, {counted}, commit {origin.commit}",
        measures={name: item.model_dump(mode="json") for name, item in config.measures.items()},
        table=table,
        reference=reference_rows(plan),
        pieces=[
            {
                "name": piece.name,
                "kind": piece.kind,
                "folder": os.path.relpath(piece.folder, plan.out),
                "series": piece.series,
                "at": dict(piece.at),
                "seed": piece.seed,
                "state": ledger.state(piece, plan),
            }
            for piece in plan.pieces.values()
        ],
        root=plan.out,
    )


def _results(data: StudyData) -> dict[str, Any]:
    return {
        "title": data.title,
        "subtitle": data.subtitle,
        "measures": data.measures,
        "table": data.table,
        "reference": data.reference,
        "pieces": data.pieces,
    }


def _summary(
    plan: Plan, claims: Sequence[Mapping[str, Any]], states: Mapping[str, int]
) -> dict[str, Any]:
    ledger = Ledger(plan.root)
    times = [recorded_seconds(piece, ledger) or 0.0 for piece in plan.pieces.values()]
    return {
        "kind": "study",
        "study": plan.config.study,
        "preset": plan.config.preset,
        "pieces": dict(states),
        "seconds": sum(times),
        "verdicts": {claim["name"]: claim["verdict"] for claim in claims},
        "finished_at": now(),
    }


def _report(
    plan: Plan,
    table: Sequence[Row],
    claims: Sequence[Mapping[str, Any]],
    observations: Sequence[Observation],
    origin: Origin,
    states: Mapping[str, int],
) -> str:
    config = plan.config
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    parts = [
        f"# {config.title}",
        f"{config.paper}. Preset `{config.preset}`: {config.about}",
        f"Pieces: {counted}.",
        "![figure](figure.svg)",
    ]
    if claims:
        parts += ["## Claims", claims_markdown(claims).rstrip()]
    parts += ["## Numbers", as_markdown(plan, table, origin).rstrip()]
    missing = _missing(plan, observations)
    if missing:
        parts += ["## Without a number", missing]
    return "\n\n".join(parts) + "\n"


def _missing(plan: Plan, observations: Sequence[Observation]) -> str:
    """A line for every piece that failed or was not run, with the reason."""
    ledger = Ledger(plan.root)
    lines = []
    for item in observations:
        if item.state != "finished":
            failure = ledger.failure(plan.pieces[item.piece])
            reason = f": {failure.error}" if failure and item.state == "failed" else ""
            lines.append(f"- `{item.piece}` ({item.state}){reason}")
    return "\n".join(lines)
