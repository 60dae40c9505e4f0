"""The two ways a command can end badly."""

import re


class UserError(Exception):
    """The input cannot be used: one line that says what was expected, what was received
    and what to do. A command prints it on stderr and exits with code 2."""


class RunFailed(Exception):
    """A run started from good input but did not reach its goal (a loss that is not finite,
    a sparsity that was missed, a full disk). A command prints it and exits with code 1."""


def one_line(error: BaseException) -> str:
    """`error` as a single printable line; the type's name where it carries no text."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{error.filename}: "
        text = f"{place}{error.strerror}"
    text = re.sub(r"\{\{function_node [^}]*\}\}|\[Op:\w+\]", "", text)  # TensorFlow's own affairs
    text = " ".join(text.split())
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text if text else type(error).__name__
