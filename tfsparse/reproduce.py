"""Door: `python -m tfsparse.reproduce --config configs/reproduce/topologies_fig7.json`."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from tfsparse import cli
from tfsparse.config.study import StudyConfig
from tfsparse.errors import UserError
from tfsparse.studies.execute import Progress, execute
from tfsparse.studies.graph import share
from tfsparse.studies.plan import Plan, make_plan
from tfsparse.studies.read import read_study
from tfsparse.studies.runners import check_piece, default_out, make_kinds
from tfsparse.studies.show import claims_text, plan_text, status_text
from tfsparse.studies.specs import check_specs


def main(arguments: Sequence[str]) -> int:
    """Bring a study to its end, or show its plan or state."""
    options = _parser().parse_args(arguments)
    config = read_study(options.config, options.preset)
    plan = _plan(options.config, config, options.out)
    names = _share(plan, options.shard)
    if options.jobs < 1:
        raise UserError(f"--jobs: expected at least 1, received {options.jobs}")
    check_specs(plan)
    if options.dry_run:
        print(plan_text(plan, names, options.jobs))
        return 0
    if options.status:
        print(status_text(plan, names))
        return 0
    from tfsparse.charts.study_figures import check_figure

    check_figure(config.figure.chart, config.figure.args)
    command = _command(options)
    failed = 0
    if not options.report:
        progress = Progress(plan, names, options.jobs)
        outcomes = execute(plan, names, make_kinds, progress, command=command, jobs=options.jobs)
        failed = sum(outcomes.get(name) != "finished" for name in names)
        if failed:
            print(f"{failed} of {len(names)} pieces have no result; see --status")
    _report(plan, command, options)
    return 1 if failed else 0


def _report(plan: Plan, command: str, options: argparse.Namespace) -> None:
    from tfsparse.studies.report import record, write_report

    report = write_report(plan, command)
    if not report.complete:
        counted = ", ".join(f"{count} {state}" for state, count in report.states.items())
        print(f"The study is not complete ({counted}); the report shows what is finished.")
    print(f"{plan.config.title}: {plan.out / 'report.md'}, {plan.out / 'figure.html'}")
    if report.claims:
        print(claims_text(report.claims))
    if options.record:
        copied = record(plan, Path(options.record))
        print(f"Copied {len(copied)} files to {options.record}.")


def _plan(path: str, config: StudyConfig, chosen: str | None) -> Plan:
    out = Path(chosen) if chosen else default_out(config.study, config.preset)
    root = out if chosen else default_out(config.family or config.study, config.preset)
    try:
        return make_plan(config, out, check_piece, root=root)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _share(plan: Plan, shard: str | None) -> list[str]:
    names = list(plan.pieces)
    if shard is None:
        return names
    index, slash, count = shard.partition("/")
    if not slash or not all(part.isascii() and part.isdigit() for part in (index, count)):
        raise UserError(f"--shard: expected i/n such as 1/4, received {shard!r}")
    return share(names, int(index), int(count))


def _command(options: argparse.Namespace) -> str:
    """The command that makes these results, without how the work was shared."""
    parts = ["python", "-m", "tfsparse.reproduce", "--config", options.config]
    parts += ["--preset", options.preset]
    parts += ["--out", options.out] if options.out else []
    return shlex.join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "reproduce",
        "Run what a paper's figure needs, then write its table, figure and claims. The same "
        "command skips what is finished and resumes what was stopped.",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="a study")
    parser.add_argument("--preset", default="smoke", help="the study's size (default: smoke)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder of results and pieces (default: runs/studies/STUDY_PRESET, and "
        "runs/studies/FAMILY_PRESET for the pieces of a study of a family)",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="N processes")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="only every N-th piece from the I-th (1-based) and what these need; the shares of "
        "a job array meet in one folder",
    )
    parser.add_argument("--record", metavar="DIR", help="copy the report's files to DIR")
    show = parser.add_mutually_exclusive_group()
    show.add_argument("--dry-run", action="store_true", help="show the plan and expected time")
    show.add_argument("--status", action="store_true", help="show the state of each piece")
    show.add_argument("--report", action="store_true", help="run nothing, write the report")
    return parser


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
