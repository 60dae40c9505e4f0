"""Door: `python -m tfsparse.train --config configs/pruned_80.json`."""

import json
import sys
from collections.abc import Sequence

from tfsparse import cli
from tfsparse.config import RunConfig, load_config


def main(arguments: Sequence[str]) -> int:
    """Train one run and print its results."""
    parser = cli.parser("train", "Train one network; the same command resumes a stopped run.")
    cli.add_config(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    options = parser.parse_args(arguments)
    config = load_config(options.config, RunConfig, options.set)
    if options.print_config:
        print(json.dumps(config.model_dump(mode="json"), indent=2))
        return 0

    from tfsparse.training.run import train
    from tfsparse.training.tables import summary_table

    run, summary = train(
        config,
        command=["python", "-m", "tfsparse.train", *arguments],
        note=lambda text: print(text, file=sys.stderr),
        quiet=options.quiet,
    )
    print(summary_table(summary, str(run.path)))
    return 0


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
