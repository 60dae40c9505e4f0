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
    parser.add_argument(
        "--dry-run", action="store_true", help="show steps, memory, FLOPs and hours, and stop"
    )
    parser.add_argument(
        "--devices", type=int, metavar="N", help="for --dry-run: how many devices share a batch"
    )
    parser.add_argument(
        "--tflops", type=float, metavar="RATE",
        help="for --dry-run: what one device computes, in 10^12 FLOPs a second (default: 10)",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    config = load_config(options.config, RunConfig, options.set)
    if options.print_config:
        print(json.dumps(config.model_dump(mode="json"), indent=2))
        return 0

    if options.dry_run:
        from tfsparse.training.estimate import estimate

        named = max(1, len(config.distribution.devices))
        devices = named if options.devices is None else options.devices
        rate = 10.0 if options.tflops is None else options.tflops
        if devices < 1 or not 0 < rate < float("inf"):
            parser.error("--devices and --tflops: expected numbers above 0")
        print(estimate(config, devices).text(rate * 1e12))
        return 0
    if options.devices is not None or options.tflops is not None:
        parser.error("--devices and --tflops: expected together with --dry-run")

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
