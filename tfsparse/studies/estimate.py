"""How long pieces take: what finished ones took, else what the study states."""

import heapq
import statistics
from collections.abc import Mapping, Sequence

from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Piece, Plan


def expected_seconds(plan: Plan, ledger: Ledger) -> dict[str, float | None]:
    """The expected duration of each piece in seconds.

    The mean of finished pieces of the same template; else what the template states, corrected
    by how far off its kind's statements were; else the kind's mean; else None.
    """
    by_template: dict[int, list[float]] = {}
    by_kind: dict[str, list[float]] = {}
    factors: dict[str, list[float]] = {}
    for piece in plan.pieces.values():
        took = recorded_seconds(piece, ledger)
        if took is None:
            continue
        by_template.setdefault(piece.template, []).append(took)
        by_kind.setdefault(piece.kind, []).append(took)
        if piece.seconds:
            factors.setdefault(piece.kind, []).append(took / piece.seconds)
    result: dict[str, float | None] = {}
    for name, piece in plan.pieces.items():
        if piece.template in by_template:
            result[name] = statistics.fmean(by_template[piece.template])
        elif piece.seconds is not None:
            result[name] = piece.seconds * statistics.median(factors.get(piece.kind, [1.0]))
        else:
            known = by_kind.get(piece.kind)
            result[name] = statistics.fmean(known) if known else None
    return result


def recorded_seconds(piece: Piece, ledger: Ledger) -> float | None:
    """What a finished piece took, from its summary."""
    if not ledger.finished(piece):
        return None
    seconds = ledger.summary(piece).get("seconds")
    return float(seconds) if isinstance(seconds, int | float) and seconds > 0 else None


def makespan(
    names: Sequence[str],
    inputs: Mapping[str, Sequence[str]],
    seconds: Mapping[str, float | None],
    jobs: int,
) -> float:
    """Seconds until `jobs` processes have run the pieces `names`, each taking the first one
    whose inputs are done; inputs outside `names` count as done, unknown durations as 0.

    >>> makespan(["a", "b", "c"], {"a": [], "b": [], "c": ["a"]}, {"a": 2, "b": 1, "c": 3}, 2)
    5.0
    """
    todo = list(names)
    done: set[str] = {name for name in inputs if name not in set(names)}
    running: list[tuple[float, str]] = []
    now = 0.0
    while todo or running:
        ready = [name for name in todo if all(other in done for other in inputs[name])]
        for name in ready[: max(0, jobs - len(running))]:
            todo.remove(name)
            heapq.heappush(running, (now + float(seconds[name] or 0.0), name))
        now, name = heapq.heappop(running)
        done.add(name)
    return now
