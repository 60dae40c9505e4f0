"""Door: `tfsparse train ...` is `python -m tfsparse.train ...`, and so for every command."""

import difflib
import importlib
import sys
from collections.abc import Sequence

from tfsparse import __version__, cli
from tfsparse.errors import UserError


def main() -> None:
    """Hand over to the named command."""
    arguments = sys.argv[1:]
    if arguments and arguments[0] in cli.COMMANDS:
        module = importlib.import_module(f"tfsparse.{arguments[0]}")
        cli.run(module.main, arguments[1:])
    cli.run(_overview, arguments)


def _overview(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "--version":
        print(f"tfsparse {__version__}")
    elif arguments and arguments[0] not in ("-h", "--help"):
        near = difflib.get_close_matches(arguments[0], cli.COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"unknown command {arguments[0]!r}; {hint}expected one of {', '.join(cli.COMMANDS)}"
        )
    else:
        width = max(map(len, cli.COMMANDS))
        print("usage: tfsparse COMMAND [options]\n")
        for name, text in cli.COMMANDS.items():
            print(f"  {name:{width}}  {text}")
        print("\ntfsparse COMMAND --help tells more of one command.")
    return 0


if __name__ == "__main__":
    main()
