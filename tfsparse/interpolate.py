"""Door: `python -m tfsparse.interpolate --config configs/interpolate_scratch.json`."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from tfsparse import cli
from tfsparse.config import load_config, read_object
from tfsparse.config.landscape import InterpolationConfig, PlaneConfig


def main(arguments: Sequence[str]) -> int:
    """Walk the line between two solutions, or the plane through three, and print the verdict."""
    parser = cli.parser(
        "interpolate",
        "Walk the line between two solutions (start, end) or the plane through three (corners).",
    )
    cli.add_config(parser)
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    options = parser.parse_args(arguments)
    config: PlaneConfig | InterpolationConfig
    if "corners" in read_object(options.config):
        config = load_config(options.config, PlaneConfig, options.set)
    else:
        config = load_config(options.config, InterpolationConfig, options.set)
    if options.print_config:
        print(json.dumps(config.model_dump(mode="json"), indent=2))
        return 0

    from tfsparse.landscape.lines import interpolate
    from tfsparse.landscape.planes import walk_plane
    from tfsparse.landscape.tables import result_table

    common: Any = {
        "command": ["python", "-m", "tfsparse.interpolate", *arguments],
        "note": lambda text: print(text, file=sys.stderr),
        "quiet": options.quiet,
    }
    if isinstance(config, PlaneConfig):
        run, summary = walk_plane(config, **common)
    else:
        run, summary = interpolate(config, **common)
    print(result_table(summary, str(run.path)))
    return 0


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
