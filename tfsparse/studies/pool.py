"""Several processes at work on one study, and what to do when one of them is killed."""

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.context import SpawnProcess
from pathlib import Path

from tfsparse.environment import cores, prepare_tensorflow
from tfsparse.studies.graph import share
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Piece, Plan
from tfsparse.studies.worker import MakeKinds, Outcome, Report, kinds_of, work


def run_pool(
    plan: Plan,
    names: Sequence[str],
    make_kinds: MakeKinds,
    report: Report,
    *,
    jobs: int,
    session: str,
    stale: frozenset[str],
    poll: float = 1.0,
) -> dict[str, Outcome]:
    """Work on `names` with `jobs` processes; what they print goes to `logs/worker_<i>.log`.

    Each process starts with its own share of the pieces and then helps with the rest, so the
    pieces of a process that dies are taken over by the others.

    Returns:
        How each piece ended; a piece that no process was left for is missing.
    """
    context = multiprocessing.get_context("spawn")
    processes: list[SpawnProcess] = []
    # Small networks gain little from a second thread: N single-threaded runs beat N that compete.
    threads = max(1, cores() // jobs)
    for index in range(1, jobs + 1):
        first = share(names, index, jobs)
        rest = [name for name in names if name not in set(first)]
        log = plan.out / "logs" / f"worker_{index}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        process = context.Process(
            target=_worker,
            args=(plan, [*first, *rest], make_kinds, session, stale, log, poll, threads),
            name=f"worker {index}",
        )
        process.start()
        processes.append(process)
    watch = _Watch(plan, names, report, stale)
    try:
        told: set[str] = set()
        while True:
            alive = [process for process in processes if process.is_alive()]
            watch.look()
            for process in processes:
                if process.exitcode not in (None, 0) and process.name not in told:
                    told.add(process.name)
                    print(f"{process.name} {_death(process.exitcode)}; see logs/", file=sys.stderr)
            if not alive:
                watch.look()
                return watch.outcomes()
            time.sleep(poll)
    except BaseException:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        raise


class _Watch:
    """Tells about pieces that ended since the last look, from what is on disk."""

    def __init__(
        self, plan: Plan, names: Sequence[str], report: Report, stale: frozenset[str]
    ) -> None:
        self.plan = plan
        self.names = list(names)
        self.report = report
        self.stale = stale
        self.ledger = Ledger(plan.root)
        self.ended: dict[str, Outcome] = {
            name: "finished" for name in names if self.ledger.finished(plan.pieces[name])
        }
        self.seen_running: set[str] = set()

    def look(self) -> None:
        for name in self.names:
            if name in self.ended:
                continue
            piece = self.plan.pieces[name]
            failure = self.ledger.failure(piece)
            if self.ledger.finished(piece):
                self.ended[name] = "finished"
                self.report("finished", piece, "")
            elif failure is not None and failure.mark not in self.stale:
                self.ended[name] = "failed"
                self.report("failed", piece, failure.error)
            elif name not in self.seen_running and self.ledger.held(piece):
                self.seen_running.add(name)
                self.report("start", piece, "")

    def outcomes(self) -> dict[str, Outcome]:
        """Adds the pieces that could not be run because an input failed."""
        result = dict(self.ended)
        for name, piece in self.plan.pieces.items():
            if name in result:
                continue
            broken = [other for other in piece.inputs if result.get(other) in _BROKEN]
            failed_elsewhere = [
                other
                for other in piece.inputs
                if other not in self.names and self._failed(self.plan.pieces[other])
            ]
            if broken or failed_elsewhere:
                result[name] = "blocked"
                if name in self.names:
                    self.report("blocked", piece, f"needs {(broken or failed_elsewhere)[0]}")
        return {name: result[name] for name in self.names if name in result}

    def _failed(self, piece: Piece) -> bool:
        failure = self.ledger.failure(piece)
        return failure is not None and failure.mark not in self.stale


_BROKEN = ("failed", "blocked")


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was killed (signal {-code}); the others take its work over"
    return f"ended with code {code}"


def _worker(
    plan: Plan,
    names: list[str],
    make_kinds: MakeKinds,
    session: str,
    stale: frozenset[str],
    log: Path,
    poll: float,
    threads: int,
) -> None:
    """What one process does; everything it and its libraries print goes to the log."""
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    os.close(stream)
    prepare_tensorflow(threads=threads)

    def report(event: str, piece: Piece, remark: str) -> None:
        print(f"{event}: {piece.name} {remark}".rstrip(), flush=True)

    work(plan, names, kinds_of(plan, make_kinds), report, session=session, stale=stale, poll=poll)
