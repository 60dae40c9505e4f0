"""Preparing `digits` on first use, in the user's TFDS directory or else in a cache of their own."""

import contextlib
import errno
import getpass
import io
import os
import shutil
import tempfile
from pathlib import Path

import tensorflow_datasets as tfds

from tfsparse.data.digits import Digits
from tfsparse.errors import UserError, one_line


def prepare_digits(root: Path) -> Path:
    """The directory of the prepared set: `<root>/digits/<version>`, or the same in a cache.

    The cache is used where `root` cannot be written. The set is written under a private name and
    renamed, so processes that come at the same time all end with one whole set.

    Raises:
        UserError: no directory can be written.
    """
    refused = []
    for candidate in [root, *_caches()]:
        directory = _place(candidate)
        try:
            return directory if _is_whole(directory) else _prepare_in(candidate)
        except OSError as error:
            refused.append(f"{candidate} ({error.strerror or one_line(error)})")
    raise UserError(
        f"digits must be prepared once and no directory can be written: {', '.join(refused)};"
        " set data.data_dir to a writable directory"
    )


def _place(root: Path) -> Path:
    return root / Digits.name / str(Digits.VERSION)


def _is_whole(directory: Path) -> bool:
    return (directory / "features.json").is_file()


def _caches() -> list[Path]:
    """Per-user directories to fall back on; the second is for users without a home."""
    caches = []
    with contextlib.suppress(RuntimeError):  # no home directory is known
        caches.append(Path.home() / ".cache" / "tfsparse" / "tensorflow_datasets")
    shared = Path(tempfile.gettempdir()) / f"tfsparse-{_user()}"
    if not shared.exists() or _is_ours(shared):  # never trust a folder another user has put there
        caches.append(shared)
    return caches


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()


def _is_ours(path: Path) -> bool:
    return not path.is_symlink() and (
        not hasattr(os, "getuid") or path.stat().st_uid == os.getuid()
    )


def _prepare_in(root: Path) -> Path:
    directory = _place(root)
    root.mkdir(parents=True, exist_ok=True)
    if not root.stat().st_mode & 0o222:  # root may write anywhere, but a closed folder is closed
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    workshop = Path(tempfile.mkdtemp(dir=root, prefix=".digits-"))
    try:
        _write(workshop)
        directory.parent.mkdir(exist_ok=True)
        try:
            _place(workshop).rename(directory)
        except OSError:
            if not _is_whole(directory):
                raise
            # Another process was first; its set is the same as ours.
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return directory


def _write(root: Path) -> None:
    tfds.disable_progress_bar()  # half a second of work needs no bar and no announcement
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            Digits(data_dir=str(root)).download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    finally:
        tfds.enable_progress_bar()
