"""One process at work on a study: the next piece that is ready, until none is left.

No process commands another. Each takes the first of its pieces whose inputs are finished and
which no process holds; folder locks see to it that a piece is run by one process at a time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from tfsparse.errors import RunFailed
from tfsparse.studies.graph import with_ancestors
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Piece, Plan
from tfsparse.studies.specs import recorded

Outcome = Literal["finished", "failed", "blocked"]
Run = Callable[[Piece], None]
MakeKinds = Callable[[], Mapping[str, Run]]
"""Gives the function of each kind of piece. It stands at a module's top level: another process
imports it by name."""
Report = Callable[[str, Piece, str], None]
"""Called with an event (start, finished, failed, blocked, waiting), the piece and a remark."""

DEATHS_ALLOWED = 1
"""A piece in which a process died is tried once more: perhaps the machine was short of memory."""


def kinds_of(plan: Plan, make_kinds: MakeKinds) -> dict[str, Run]:
    """The functions of `make_kinds`, each of which first records the piece's config."""
    return {name: recorded(plan, run) for name, run in make_kinds().items()}


def work(
    plan: Plan,
    names: Sequence[str],
    kinds: Mapping[str, Run],
    report: Report,
    *,
    session: str,
    stale: frozenset[str] = frozenset(),
    poll: float = 2.0,
) -> dict[str, Outcome]:
    """Bring the pieces in `names`, and what they need, to an end.

    A piece that belongs to another share but is needed here and that nobody works on is run here
    rather than waited for, so a share ends even when the others have not been started; a piece
    that some process holds is waited for.

    Args:
        plan: the study.
        names: this process's pieces, in the order in which they are to be tried.
        kinds: what to do for each kind of piece. The function must leave `summary.json` in the
            piece's folder, or raise.
        report: told about every event.
        session: tells processes started by one command from those of an earlier one.
        stale: marks of failures from before this command; these pieces are tried again.
        poll: seconds between two looks at pieces that others hold.

    Returns:
        How each piece that was looked at ended.
    """
    ledger = Ledger(plan.root)
    wanted = with_ancestors(names, plan.inputs)
    own = set(names)
    order = list(names) + [name for name in plan.pieces if name in wanted and name not in own]
    outcomes: dict[str, Outcome] = {}
    waiting: set[str] = set()
    while True:
        moved = False
        for name in order:
            if name in outcomes:
                continue
            piece = plan.pieces[name]
            outcome = _step(piece, plan, ledger, kinds, report, outcomes, session, stale)
            if outcome == "held":
                if name not in waiting:
                    waiting.add(name)
                    report("waiting", piece, "another process is at work on it")
            elif outcome != "not yet":
                outcomes[name] = outcome
                moved = True
                break  # look again from the first piece: it may have become ready
        if all(name in outcomes for name in own):
            return outcomes
        if not moved:
            time.sleep(poll)


def _step(
    piece: Piece,
    plan: Plan,
    ledger: Ledger,
    kinds: Mapping[str, Run],
    report: Report,
    outcomes: Mapping[str, Outcome],
    session: str,
    stale: frozenset[str],
) -> Outcome | Literal["held", "not yet"]:
    """Look at one piece and run it if that can be done now."""
    if ledger.finished(piece):
        return "finished"
    broken = [name for name in piece.inputs if outcomes.get(name) in ("failed", "blocked")]
    if broken:
        report("blocked", piece, f"needs {broken[0]}, which {_ended(outcomes[broken[0]])}")
        return "blocked"
    failure = ledger.failure(piece)
    if failure is not None and failure.mark not in stale:
        return "failed"
    if not all(ledger.finished(plan.pieces[name]) for name in piece.inputs):
        return "not yet"
    if ledger.held(piece):
        return "held"
    with ledger.hold(piece, session) as mine:
        if not mine:
            return "held"
        if ledger.finished(piece):  # by another process, between the look and the lock
            return "finished"
        return _run(piece, ledger, kinds, report, session)


def _run(
    piece: Piece, ledger: Ledger, kinds: Mapping[str, Run], report: Report, session: str
) -> Outcome:
    ledger.clear_failure(piece)
    report("start", piece, "")
    started = time.monotonic()
    try:
        # This start has its own line in the lock file already.
        if ledger.deaths(piece, session) - 1 > DEATHS_ALLOWED:
            raise RunFailed(f"{DEATHS_ALLOWED + 1} processes were killed while they ran this piece")
        kinds[piece.kind](piece)
        if not ledger.finished(piece):
            raise RunFailed("the command ended without a summary")
    except Exception as error:  # whatever went wrong in one piece, the others go on
        ledger.record_failure(piece, error)
        failure = ledger.failure(piece)
        report("failed", piece, failure.error if failure else str(error))
        return "failed"
    report("finished", piece, f"{time.monotonic() - started:.1f} s")
    return "finished"


def _ended(outcome: Outcome) -> str:
    return "failed" if outcome == "failed" else "was not run"
