"""Door: `python -m tfsparse.curve --config configs/curve_sparse.json`."""

import json
import sys
from collections.abc import Sequence

from tfsparse import cli
from tfsparse.config import load_config
from tfsparse.config.landscape import CurveConfig


def main(arguments: Sequence[str]) -> int:
    """Train a curve between two solutions, walk it and the line, and print the verdicts."""
    parser = cli.parser(
        "curve",
        "Train a Bezier curve or chain between two solutions; the same command resumes.",
    )
    cli.add_config(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    options = parser.parse_args(arguments)
    config = load_config(options.config, CurveConfig, options.set)
    if options.print_config:
        print(json.dumps(config.model_dump(mode="json"), indent=2))
        return 0

    from tfsparse.landscape.bezier import curve, settings
    from tfsparse.landscape.tables import result_table, sweep_table

    results = []
    for setting in settings(config):
        run, summary = curve(
            setting,
            command=["python", "-m", "tfsparse.curve", *arguments],
            note=lambda text: print(text, file=sys.stderr),
            quiet=options.quiet,
        )
        results.append((run, summary))
    if len(results) == 1:
        print(result_table(results[0][1], str(results[0][0].path)))
    else:
        print(sweep_table([(str(run.path), summary) for run, summary in results]))
    return 0


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
