"""What every command shares: arguments, error lines, exit codes, a quiet TensorFlow."""

import argparse
import faulthandler
import logging
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from tfsparse.environment import prepare_tensorflow
from tfsparse.errors import RunFailed, UserError, one_line

COMMANDS = {
    "train": "one run: a config in, a run folder out",
    "interpolate": "walk the line between two solutions",
    "curve": "train and walk a Bezier curve between two solutions",
    "analyze": "gradient flow, Hessian, similarity of solutions",
    "export": "a finished run as SavedModel and TFLite files",
    "check": "does a TFLite file keep its promises",
    "report": "charts of runs as one HTML file",
    "reproduce": "a paper's figure: many runs, charts, claims",
}


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """The argument parser of one command, with `--verbose`."""
    result = Parser(
        prog=f"python -m tfsparse.{command}", description=description, allow_abbrev=False
    )
    result.add_argument(
        "--verbose", action="store_true", help="show TensorFlow's messages and full tracebacks"
    )
    return result


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{message}; see {self.prog} --help")


def add_config(result: argparse.ArgumentParser) -> None:
    """Add `--config`, `--set` and `--print-config`."""
    result.add_argument("--config", required=True, metavar="FILE", help="a JSON config")
    result.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="override one key, such as model.name=lenet_300_100; may be repeated",
    )
    result.add_argument(
        "--print-config", action="store_true", help="show the resolved config and stop"
    )


def run(action: Callable[[Sequence[str]], int], arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 unusable input, 130 interrupted.

    A user's mistake is one line on stderr; only `--verbose` shows a traceback.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    verbose = "--verbose" in arguments
    prepare_tensorflow()
    if not verbose:
        _silence_tensorflow()
    sys.exit(_exit_code(action, arguments, verbose))


def _exit_code(
    action: Callable[[Sequence[str]], int], arguments: Sequence[str], verbose: bool
) -> int:
    try:
        try:
            return action(arguments)
        except SystemExit as stop:  # --help
            return stop.code if isinstance(stop.code, int) else 0
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except UserError as error:
        return _complain(error, 2, verbose)
    except RunFailed as error:
        return _complain(error, 1, verbose)
    except KeyboardInterrupt:
        print("interrupted; the same command carries on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        return _complain(error, 1, verbose)
    except Exception as error:
        if verbose:
            raise
        kind = type(error).__name__
        text = f"{kind}: {one_line(error)} (a defect of tfsparse; --verbose shows where)"
        return _complain(RunFailed(text), 1, verbose)


def _drop_output() -> None:
    """Let what stdout still holds go nowhere, so that leaving does not fail at it again."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: Exception, code: int, verbose: bool) -> int:
    if verbose:
        import traceback

        traceback.print_exception(error)
    print(f"error: {one_line(error)}", file=sys.stderr)
    return code


def _silence_tensorflow() -> None:
    """Keep the messages of TensorFlow's native libraries off the terminal.

    They write to file descriptor 2 whatever the log level says, so Python's stderr moves to a
    descriptor of its own and the old one leads nowhere. Native crashes are still reported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    logging.getLogger("absl").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    if sys.stderr is None:  # closed by whoever started us
        return
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    faulthandler.enable(sys.stderr)
