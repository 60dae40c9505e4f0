"""Door: `python -m tfsparse.analyze --config configs/analyze_signal.json`."""

import json
import sys
from collections.abc import Sequence

from tfsparse import cli
from tfsparse.config import load_config
from tfsparse.config.analysis import AnalysisConfig


def main(arguments: Sequence[str]) -> int:
    """Analyze finished runs and print the results."""
    parser = cli.parser(
        "analyze", "Gradient flow, Hessian spectrum, signal at initialisation, similarity of runs."
    )
    cli.add_config(parser)
    options = parser.parse_args(arguments)
    config = load_config(options.config, AnalysisConfig, options.set)
    if options.print_config:
        print(json.dumps(config.model_dump(mode="json"), indent=2))
        return 0

    from tfsparse.analysis.run import analyze
    from tfsparse.analysis.tables import analysis_table

    run, summary = analyze(
        config,
        command=["python", "-m", "tfsparse.analyze", *arguments],
        note=lambda text: print(text, file=sys.stderr),
    )
    print(analysis_table(summary, str(run.path)))
    return 0


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
