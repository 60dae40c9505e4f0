"""Finding a prepared TFDS set on this machine, without touching the network."""

import difflib
import re
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder
from tensorflow_datasets.core.utils import file_utils

from tfsparse.data import embedded
from tfsparse.data.digits import Digits
from tfsparse.errors import UserError, one_line

LONGEST = 300
"""Characters of a foreign error message worth showing."""

_NAME = re.compile(r"[A-Za-z]\w*(/[\w.-]+)?(:(\d+|\*)(\.(\d+|\*)){2})?")


def open_prepared(
    name: str, *, data_dir: str | None = None, download: bool = False
) -> tfds.core.DatasetBuilder:
    """The reader of a prepared set, found in `<dir>/<name>[/<config>]/<version>` as TFDS does.

    `name` may carry a configuration and a version as in TFDS ("emnist/letters",
    "mnist:3.0.1"). `digits` is prepared on the spot. A set that is not there is downloaded
    only when `download` is true.

    Raises:
        UserError: unknown name, set not prepared, or its description cannot be read.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"data.name: expected a TFDS name such as 'mnist', 'emnist/letters' or 'mnist:3.0.1',"
            f" received {name!r}"
        )
    roots = [Path(root).expanduser() for root in file_utils.list_data_dirs(data_dir)]
    if name == Digits.name:
        return _read(name, embedded.prepare_digits(roots[0]).parent.parent)
    for root in roots:
        builder = _read(name, root)
        if builder is not None:
            return builder
    if not _is_known(name):
        raise UserError(_unknown(name, roots))
    if download:
        return _download(name, roots[0])
    raise UserError(
        f"data set {name!r} is not prepared: looked in {_listed(roots)}{_present(name, roots)};"
        " set data.data_dir to a TFDS directory that holds it, or allow downloading with"
        " --set data.download=true"
    )


def _read(name: str, root: Path) -> Any:
    """The reader of `name` under `root`, or None when it is not there."""
    try:
        return read_only_builder.builder_from_files(name, data_dir=str(root))
    except tfds.core.DatasetNotFoundError:
        return None
    except Exception as error:  # TFDS raises anything at all on a damaged description
        raise UserError(
            f"data set {name!r} in {root} cannot be read: {_short(error)}; prepare it again"
        ) from None


def _is_known(name: str) -> bool:
    return re.split("[/:]", name)[0] in tfds.list_builders(with_community_datasets=False)


def _unknown(name: str, roots: list[Path]) -> str:
    known = tfds.list_builders(with_community_datasets=False)
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "see tfds.list_builders()"
    return f"unknown data set {name!r}, and none of that name in {_listed(roots)}; {hint}"


def _download(name: str, root: Path) -> tfds.core.DatasetBuilder:
    try:
        tfds.builder(name, data_dir=str(root)).download_and_prepare()
    except Exception as error:  # networks, archives, manual downloads: anything can go wrong
        raise UserError(
            f"data set {name!r} could not be downloaded and prepared in {root}: {_short(error)}"
        ) from None
    builder = _read(name, root)
    if builder is None:
        raise UserError(f"data set {name!r} was prepared and still is not in {root}")
    return builder


def _present(name: str, roots: list[Path]) -> str:
    """What lies there under the same name: the reader may have asked for another version."""
    base = re.split("[/:]", name)[0]
    folders = sorted(folder.name for root in roots for folder in root.glob(f"{base}/*/"))
    return f" (which holds {base} {', '.join(folders)})" if folders else ""


def _listed(roots: list[Path]) -> str:
    return ", ".join(map(str, roots))


def _short(error: BaseException) -> str:
    text = one_line(error)
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."
