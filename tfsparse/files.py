"""Reading and writing files so that a reader never meets a half-written one.

Every writer fills a temporary file in the destination's own folder and renames it, which is
atomic on one file system. No reader unpickles anything.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfsparse.errors import UserError, one_line
from tfsparse.json_text import parse_json

EXPANDED_BYTES = 2 * 2**30
"""What the arrays of a compressed `.npz` may expand to."""


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` in one rename; parents are made. The old file stays on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):  # name the file, not the temporary
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _umask() -> int:
    """The process's file mode mask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8 in one rename."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinities become null, numpy scalars numbers."""
    write_text(path, json.dumps(plain(value), indent=2, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """`value` with only the types of JSON: numpy scalars and arrays, paths, non-finite floats."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of `path`.

    Raises:
        UserError: the file is missing, a folder, unreadable or not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a readable file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: expected a file, received a folder") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text, byte {error.start} is not") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{os.fspath(path)!r}: not a file name ({one_line(error)})") from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """The JSON value in `path`; keys given twice and NaN are refused.

    Raises:
        UserError: missing or unreadable file, or malformed JSON (with line and column).
    """
    text = read_text(path).removeprefix("\ufeff")  # with which some editors begin a file
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise UserError(f"{path}: malformed JSON at {where}: {error.msg}") from None
    except ValueError as error:
        raise UserError(f"{path}: malformed JSON: {one_line(error)}") from None


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as an uncompressed `.npz` in one rename.

    Raises:
        ValueError: an array whose type the format cannot keep (objects, bfloat16).
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            array = np.asanyarray(array)
            described = np.lib.format.dtype_to_descr(array.dtype)
            if np.lib.format.descr_to_dtype(described) != array.dtype or "\0" in name:
                raise ValueError(f"array {name!r} of type {array.dtype} cannot be kept in an .npz")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def read_npz(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The named arrays of an `.npz` file, read without pickle.

    Raises:
        UserError: missing, unreadable, truncated or pickled file, no `.npz` at all, or one that
            expands to more than `EXPANDED_BYTES`.
    """
    expected = "expected a NumPy .npz file of plain arrays"
    try:
        with open(path, "rb") as stream:
            if stream.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                raise UserError(f"{path}: {expected}, received a single array")
            with zipfile.ZipFile(stream) as archive:
                _refuse_bomb(archive, os.fstat(stream.fileno()).st_size)
                members = archive.infolist()
                return {member.filename[:-4]: _array(archive, member) for member in members}
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; {expected}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or one_line(error)})") from None
    except Exception as error:  # zip and NumPy raise many kinds where bytes are wrong
        text = f"{path}: {expected}, received an unreadable one: {one_line(error)}"
        raise UserError(text) from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if not member.filename.endswith(".npy"):
        raise ValueError(f"{member.filename[:80]!r} in it is no .npy")
    with archive.open(member) as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError(f"{member.filename[:80]!r} in it is longer than its array")
    return array


def _refuse_bomb(archive: zipfile.ZipFile, size: int) -> None:
    """Raise a ValueError where a small file would fill the memory."""
    expanded = sum(member.file_size for member in archive.infolist())
    if expanded > max(size, EXPANDED_BYTES):
        raise ValueError(f"{size} bytes that expand to {expanded}")
