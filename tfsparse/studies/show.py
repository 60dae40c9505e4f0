"""Plans and states as text for people."""

from collections.abc import Sequence

from tfsparse.charts.words import duration
from tfsparse.studies.estimate import expected_seconds, makespan, recorded_seconds
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Plan


def plan_text(plan: Plan, names: Sequence[str], jobs: int) -> str:
    """What would run, in order, with expected times; finished pieces are only counted.

    Args:
        plan: the study.
        names: the pieces of this share.
        jobs: how many processes would work on them.
    """
    ledger = Ledger(plan.root)
    seconds = expected_seconds(plan, ledger)
    todo = [name for name in names if not ledger.finished(plan.pieces[name])]
    lines = [f"{plan.config.title} ({plan.config.study}, preset {plan.config.preset})"]
    lines.append(f"results: {plan.out}")
    if plan.root != plan.out:
        lines.append(f"pieces, shared with studies of the family: {plan.root}")
    width = max((len(name) for name in todo), default=0)
    for name in todo:
        piece = plan.pieces[name]
        needs = f"  needs {', '.join(piece.inputs)}" if piece.inputs else ""
        lines.append(f"  {name:{width}}  {piece.kind:8} {duration(seconds[name]):>12}{needs}")
    done = len(names) - len(todo)
    lines.append(f"{len(todo)} pieces to run, {done} finished.")
    if todo:
        total = sum(seconds[name] or 0.0 for name in todo)
        unknown = sum(seconds[name] is None for name in todo)
        more = f", {unknown} of unknown duration" if unknown else ""
        lines.append(f"Expected work: {duration(total)}{more}.")
        if jobs > 1:
            span = makespan(todo, plan.inputs, seconds, jobs)
            lines.append(
                f"With --jobs {jobs}: {duration(span)} if each process has cores of its own."
            )
    return "\n".join(lines)


def status_text(plan: Plan, names: Sequence[str]) -> str:
    """The state of each piece, and how many are in which."""
    ledger = Ledger(plan.root)
    seconds = expected_seconds(plan, ledger)
    lines: list[str] = []
    counts: dict[str, int] = {}
    left = 0.0
    width = max(len(name) for name in names)
    for name in names:
        piece = plan.pieces[name]
        state = ledger.state(piece, plan)
        counts[state] = counts.get(state, 0) + 1
        remark = ""
        if state == "finished":
            took = recorded_seconds(piece, ledger)
            remark = duration(took) if took is not None else ""
        elif state == "failed":
            failure = ledger.failure(piece)
            remark = failure.error if failure else ""
        elif state in ("waiting", "blocked"):
            missing = [n for n in piece.inputs if not ledger.finished(plan.pieces[n])]
            remark = f"needs {', '.join(missing)}"
        if state in ("ready", "stopped", "waiting", "running"):
            left += seconds[name] or 0.0
        lines.append(f"  {name:{width}}  {state:9} {remark}".rstrip())
    counted = ", ".join(f"{count} {state}" for state, count in counts.items())
    lines.append(f"{len(names)} pieces: {counted}.")
    if left:
        lines.append(f"Expected work left: {duration(left)}.")
    return "\n".join(lines)


def claims_text(claims: Sequence[dict]) -> str:
    """One line per claim: verdict, name, what was found."""
    width = max((len(claim["name"]) for claim in claims), default=0)
    return "\n".join(
        f"  {claim['verdict']:14} {claim['name']:{width}}  {claim['detail']}" for claim in claims
    )
