"""Door: `python -m tfsparse.check model.tflite --against runs/pruned_80/seed_0`."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tfsparse import cli, files
from tfsparse.config import DataConfig
from tfsparse.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Check `.tflite` files, print a table and write deploy.json."""
    parser = cli.parser(
        "check", "Say whether .tflite files are smaller, correct and accepted by LiteRT."
    )
    parser.add_argument("models", nargs="*", metavar="FILE", help=".tflite files or export folders")
    parser.add_argument(
        "--against",
        metavar="PATH",
        help="run, SavedModel or Keras file; default: what was exported",
    )
    parser.add_argument("--out", metavar="FILE", help="default: deploy.json beside the first model")
    parser.add_argument("--max-size", metavar="SIZE", help="120kB, or 0.35x of the dense file")
    parser.add_argument(
        "--max-accuracy-drop", default="0.01", metavar="FRACTION", help="default: 0.01"
    )
    parser.add_argument("--max-latency", metavar="TIME", help="median, such as 2ms or 500us")
    parser.add_argument(
        "--without-delegate", action="store_true", help="let files pass that need it off"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--repeats", type=int, default=200, metavar="N", help="timed calls")
    parser.add_argument(
        "--timeout", type=int, default=300, metavar="SECONDS", help="give a hanging file up after"
    )
    parser.add_argument("--num-examples", type=int, metavar="N", help="test images; default: all")
    parser.add_argument("--examples", metavar="NPZ", help="test inputs: 'images' and 'labels'")
    parser.add_argument("--data", metavar="NAME", help="data set, where --against names none")
    parser.add_argument(
        "--table", metavar="JSON", help="instead: train, export and check all runs of a table"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="for the runs of a table"
    )
    options = parser.parse_args(arguments)
    if bool(options.models) == bool(options.table):
        raise UserError("expected .tflite files or --table FILE, and not both")
    for name in ("threads", "repeats", "num_examples", "timeout"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')}: expected at least 1, received {value}")

    if options.table:
        return _table(options, arguments)

    from tfsparse.charts.deploy import deploy_text
    from tfsparse.deploy.checker import Timing, check_files, exit_code, find_files, write_report
    from tfsparse.deploy.limits import Limits, parse_drop, parse_latency, parse_size
    from tfsparse.deploy.reference import open_reference

    size, ratio = parse_size(options.max_size) if options.max_size else (None, None)
    limits = Limits(
        max_bytes=size,
        max_size_ratio=ratio,
        max_accuracy_drop=parse_drop(options.max_accuracy_drop),
        max_latency_ms=parse_latency(options.max_latency) if options.max_latency else None,
        without_delegate=options.without_delegate,
    )
    models = find_files([Path(model) for model in options.models])
    reference = open_reference(
        Path(options.against) if options.against else _exported_from(models[0]),
        examples=Path(options.examples) if options.examples else None,
        data=DataConfig(name=options.data) if options.data else None,
        count=options.num_examples,
    )
    timing = Timing(threads=options.threads, repeats=options.repeats, timeout=options.timeout)
    report = check_files(models, reference, limits, timing)
    out = Path(options.out) if options.out else models[0].with_name("deploy.json")
    write_report(out, report)
    print(deploy_text(report))
    print(f"report {out}", flush=True)
    for row in report["variants"]:
        if row["status"] == "unusable":
            print(f"error: {row['name']}: {row['reasons'][0]}", file=sys.stderr)
    return exit_code(report)


def _table(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Write the results of a whole table as Markdown."""
    from tfsparse.charts.deploy_results import results_markdown
    from tfsparse.deploy.checker import Timing
    from tfsparse.deploy.results import make_reports, promises

    timing = Timing(threads=options.threads, repeats=options.repeats, timeout=options.timeout)
    reports = make_reports(
        Path(options.table), options.set, timing, note=lambda text: print(text, flush=True)
    )
    held = [promise for found in reports for promise in promises(*found)]
    out = Path(options.out) if options.out else Path(options.table).with_suffix(".md")
    command = shlex.join(["python", "-m", "tfsparse.check", *arguments])
    files.write_text(out, results_markdown(reports, held, command))
    broken = [promise for promise in held if not promise["kept"]]
    for promise in broken:
        print(f"not kept: {promise['run']}: {promise['promise']}, found {promise['found']}")
    print(f"{len(held) - len(broken)} of {len(held)} promises kept; table {out}")
    return 1 if broken else 0


def _exported_from(model: Path) -> Path:
    """The source that the export.json beside a model names."""
    record = model.with_name("export.json")
    if not record.is_file():
        raise UserError(f"{model}: no export.json beside it; say what it is with --against")
    source = files.read_json(record)
    try:
        return Path(source["source"]["path"])
    except (KeyError, TypeError):
        raise UserError(f"{record}: expected an export's record; give --against") from None


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
