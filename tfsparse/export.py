"""Door: `python -m tfsparse.export --run runs/pruned_80/seed_0`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tfsparse import cli
from tfsparse.deploy.variants import VARIANTS, chosen


def main(arguments: Sequence[str]) -> int:
    """Export one model and print what was written."""
    parser = cli.parser(
        "export", "Write a trained network as SavedModel, TFLite files and compact checkpoint."
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", metavar="FOLDER", help="a finished run")
    source.add_argument("--model", metavar="PATH", help="a SavedModel, .keras or .h5 with zeros")
    parser.add_argument("--out", metavar="FOLDER", help="default: export/ in the run's folder")
    parser.add_argument(
        "--variants", metavar="NAMES", help=f"comma-separated, of {', '.join(VARIANTS)}"
    )
    parser.add_argument(
        "--examples", metavar="NPZ", help="representative set: array 'images', preprocessed"
    )
    parser.add_argument(
        "--num-examples", type=int, default=500, metavar="N", help="of the representative set"
    )
    parser.add_argument(
        "--shrink", action="store_true", help="remove neurons and channels without effect"
    )
    parser.add_argument(
        "--without-delegate",
        action="store_true",
        help="also write sparse forms that run only with LiteRT's default delegate off",
    )
    options = parser.parse_args(arguments)
    variants = chosen(options.variants)

    from tfsparse.deploy.exporter import ExportOptions, export

    path = Path(options.run or options.model)
    out = Path(options.out) if options.out else default_out(path, is_run=options.run is not None)
    record = export(
        path,
        out,
        ExportOptions(
            variants=variants,
            examples=Path(options.examples) if options.examples else None,
            num_examples=options.num_examples,
            shrink=options.shrink,
            without_delegate=options.without_delegate,
            required=options.variants is not None,
        ),
        note=lambda text: print(text, flush=True),
    )
    print(f"export folder {out}", flush=True)
    failed = [name for name, entry in record["variants"].items() if entry["status"] == "failed"]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def default_out(path: Path, *, is_run: bool) -> Path:
    """`<run>/export`, or `<name>_export` beside a model file or folder."""
    return path / "export" if is_run else path.with_name(f"{path.stem}_export")


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
