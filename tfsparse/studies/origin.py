"""Where the numbers of a study come from: the command and the commits its pieces ran at."""

from collections import Counter
from dataclasses import dataclass

from tfsparse import files
from tfsparse.errors import UserError
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Piece, Plan

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Origin:
    """What makes the numbers again."""

    command: str
    commit: str
    """For people: one commit, or several with the number of pieces that ran at each."""


def origin_of(plan: Plan, command: str) -> Origin:
    """The origin of what is finished; the commit of a piece is that of its environment.json,
    whichever commit the report is written at."""
    ledger = Ledger(plan.root)
    commits = Counter(
        _commit(piece) for piece in plan.pieces.values() if ledger.state(piece, plan) == "finished"
    )
    if len(commits) == 1:
        return Origin(command, next(iter(commits)))
    words = ", ".join(
        f"{name} ({count} {'piece' if count == 1 else 'pieces'})"
        for name, count in commits.most_common()
    )
    return Origin(command, words or UNKNOWN)


def _commit(piece: Piece) -> str:
    """The commit; outside a git tree the version."""
    try:
        environment = files.read_json(piece.folder / "environment.json")
        found = environment["commit"] or f"tfsparse {environment['packages']['tfsparse']}"
    except (UserError, KeyError, TypeError):
        return UNKNOWN
    return str(found)
