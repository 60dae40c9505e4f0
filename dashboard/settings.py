"""What the command line said."""

import argparse
import functools
import sys
from pathlib import Path

RECORDED = Path(__file__).resolve().parent.parent / "docs" / "results"


def runs_folder() -> Path:
    """The folder after `-- --runs`; `runs` when nothing was said."""
    return Path(_arguments(tuple(sys.argv[1:])).runs)


def results_folder() -> Path:
    """The folder of recorded studies after `-- --results`; this project's own by default."""
    return Path(_arguments(tuple(sys.argv[1:])).results)


@functools.lru_cache(maxsize=4)
def _arguments(said: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--results", default=str(RECORDED))
    return parser.parse_known_args(said)[0]
