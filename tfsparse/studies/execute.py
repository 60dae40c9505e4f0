"""A study from plan to report, in one process or several."""

import os
import secrets
import time
from collections.abc import Mapping, Sequence

from tfsparse import files
from tfsparse.charts.words import duration
from tfsparse.environment import environment
from tfsparse.studies.estimate import expected_seconds
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Piece, Plan
from tfsparse.studies.pool import run_pool
from tfsparse.studies.specs import check_specs
from tfsparse.studies.worker import MakeKinds, Outcome, Report, kinds_of, work


def execute(
    plan: Plan,
    names: Sequence[str],
    make_kinds: MakeKinds,
    report: Report,
    *,
    command: str,
    jobs: int = 1,
    poll: float = 2.0,
) -> Mapping[str, Outcome]:
    """Run what is not finished of `names`; a finished piece is skipped, a killed one resumes.

    Args:
        plan: the study.
        names: the pieces of this share, in order.
        make_kinds: a top-level function that gives what to do for each kind of piece.
        report: told about every event.
        command: the command line, kept in the folder.
        jobs: processes; with one, everything happens in this process.
        poll: seconds between two looks at pieces that others hold.

    Returns:
        How each piece of the share ended.

    Raises:
        UserError: the folder holds pieces of another config.
    """
    check_specs(plan)
    plan.out.mkdir(parents=True, exist_ok=True)
    files.write_json(plan.out / "study.json", plan.config.model_dump(mode="json"))
    files.write_text(plan.out / "command.txt", command + "\n")
    files.write_json(plan.out / "environment.json", environment())
    session = f"{os.getpid()}.{secrets.token_hex(4)}"
    ledger = Ledger(plan.root)
    failures = (ledger.failure(piece) for piece in plan.pieces.values())
    stale = frozenset(failure.mark for failure in failures if failure is not None)
    todo = [name for name in names if not ledger.finished(plan.pieces[name])]
    if jobs == 1 or len(todo) <= 1:
        outcomes = work(
            plan, names, kinds_of(plan, make_kinds), report, session=session, stale=stale, poll=poll
        )
        return {name: outcomes[name] for name in names}
    return run_pool(
        plan, names, make_kinds, report, jobs=min(jobs, len(todo)), session=session, stale=stale,
        poll=poll,
    )  # fmt: skip


class Progress:
    """Prints one line per event, with how many pieces are done and the time that is left."""

    def __init__(self, plan: Plan, names: Sequence[str], jobs: int) -> None:
        self.plan, self.names, self.jobs = plan, list(names), jobs
        self.ledger = Ledger(plan.root)
        self.done = sum(self.ledger.finished(plan.pieces[name]) for name in names)
        self.started = time.monotonic()
        if self.done:
            print(f"{self.done} of {len(names)} pieces are finished already.", flush=True)

    def __call__(self, event: str, piece: Piece, remark: str) -> None:
        text = f"{event}: {piece.name}"
        if event == "finished" and piece.name in self.names:
            self.done += 1
        if event in ("finished", "failed", "blocked"):
            text = f"[{self.done}/{len(self.names)}] {text}"
        if remark:
            text += f" ({remark})"
        if event == "finished" and self.done < len(self.names):
            text += f"; {duration(self._left())} left"
        print(text, flush=True)

    def _left(self) -> float | None:
        """Seconds until the share is done, from the expected work of its unfinished pieces."""
        seconds = expected_seconds(self.plan, self.ledger)
        todo = [n for n in self.names if not self.ledger.finished(self.plan.pieces[n])]
        known = [seconds[name] for name in todo if seconds[name] is not None]
        return sum(known) / self.jobs if known else None  # type: ignore[arg-type]
