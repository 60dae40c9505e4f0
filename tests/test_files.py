"""Files are written whole or not at all, and no file that is read can do harm."""

import errno
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ml_dtypes import bfloat16

from tfsparse import files, json_text
from tfsparse.errors import UserError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


def refusal(read, path) -> str:
    """The one line with which `read(path)` refuses the file."""
    with pytest.raises(UserError) as caught:
        read(path)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


# ---- writing -----------------------------------------------------------------------------


def test_parents_are_made_and_the_umask_counts(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    before = os.umask(0o027)
    try:
        files.write_text(path, "grün\n")
    finally:
        assert os.umask(before) == 0o027
    assert path.read_bytes() == "grün\n".encode()
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", ["fdopen", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, old):
    path = tmp_path / "result.bin"
    if old is not None:
        path.write_bytes(old)

    def full(*args, **kwargs):
        if call == "fdopen":
            os.close(args[0])
        raise FULL

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError) as caught:
        files.write_bytes(path, b"new")
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == (
        [] if old is None else [("result.bin", old)]
    )


def test_an_interrupted_write_leaves_no_temporary(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(tmp_path / "result.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_cannot_be_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert files.read_json(path) == {"a": 1}


def test_json_keeps_values_and_makes_non_finite_numbers_null(tmp_path):
    value = {
        "a": np.float32(0.5), "b": np.arange(3), "c": (1, None, True), "d": tmp_path, "e": "ü",
        "f": float("nan"), "g": [float("inf"), -np.inf], "h": np.float64("nan"), 7: np.int64(3),
    }  # fmt: skip
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == {
        "a": 0.5, "b": [0, 1, 2], "c": [1, None, True], "d": str(tmp_path), "e": "ü",
        "f": None, "g": [None, None], "7": 3, "h": None,
    }  # fmt: skip
    assert (tmp_path / "a.json").read_text().endswith("}\n")


# ---- JSON --------------------------------------------------------------------------------


MALFORMED = {
    '{"a": 1,\n "b": }': "malformed JSON at line 2 column 7: Expecting value",
    '{"a": 1,}': "malformed JSON at line 1 column ",
    "": "malformed JSON at line 1 column 1: Expecting value",
    '{"a": 1} x': "malformed JSON at line 1 column 10: Extra data",
    '{"a": 1, "b": 2, "a": 3}': "malformed JSON: key 'a' is given twice",
    '[{"x": {"a": 1, "a": 1}}]': "malformed JSON: key 'a' is given twice",
    '{"a": NaN}': "malformed JSON: NaN is not a JSON number",
    '{"a": -Infinity}': "malformed JSON: -Infinity is not a JSON number",
    '{"a": 1e999}': "malformed JSON: 1e999 is too large for a number",
    '{"a": ' + "9" * 5000 + "}": "of 5000 digits is too large for a number",
    '{"a": "\\ud800"}': "malformed JSON: '\\ud800' is half a character",
    '{"\\udfff": 1}': "malformed JSON: '\\udfff' is half a character",
    "[" * 100_000: "malformed JSON: nested too deeply; expected at most 50 levels",
    '{"a":' * 100_000: "malformed JSON: nested too deeply; expected at most 50 levels",
    "[" * 900 + "]" * 900: "malformed JSON: nested too deeply; expected at most 50 levels",
    "[" * 51 + "]" * 51: "malformed JSON: nested too deeply; expected at most 50 levels",
    '{"a":' * 51 + "1" + "}" * 51: "malformed JSON: nested too deeply",
    '{"' + "k" * 5000 + '": 1, "' + "k" * 5000 + '": 1}': "kkk' is given twice",
}


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: repr(text[:20]))
def test_malformed_json_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    message = refusal(files.read_json, path)
    assert message.startswith(f"{path}: ")
    assert MALFORMED[text] in message


def test_what_is_just_allowed_is_read(tmp_path):
    path = tmp_path / "a.json"
    for text in ("[" * 50 + "]" * 50, '{"a":' * 50 + "1" + "}" * 50, "9" * 300, '"\\ud83d\\ude00"'):
        path.write_text(text)
        assert files.read_json(path) == json.loads(text)
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')  # the mark some editors write
    assert files.read_json(path) == {"a": 1}


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from('[]{}",:0123456789.eE+-truefalsn \\ud8\n'), max_size=40))
def test_any_text_is_a_value_that_can_be_written_or_a_value_error(text):
    try:
        value = json_text.parse_json(text)
    except ValueError:
        return
    assert json_text.parse_json(json.dumps(value, allow_nan=False)) == value


def test_unreadable_files_are_named_in_one_line(tmp_path):
    binary = tmp_path / "binary.json"
    binary.write_bytes(b'{"a": "\xff"}')
    assert refusal(files.read_json, binary) == f"{binary}: expected UTF-8 text, byte 7 is not"
    missing = tmp_path / "missing.json"
    assert refusal(files.read_json, missing).startswith(f"{missing}: no such file; expected")
    assert "expected a file, received a folder" in refusal(files.read_json, tmp_path)
    assert "not a file name" in refusal(files.read_json, tmp_path / "a\0b")
    assert "cannot be read" in refusal(files.read_json, binary / "inside")
    assert "cannot be read" in refusal(files.read_json, tmp_path / ("n" * 300))


def test_a_file_without_permission_is_named_in_one_line(tmp_path, monkeypatch):
    def denied(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    text = refusal(files.read_json, tmp_path / "a.json")
    assert text == f"{tmp_path / 'a.json'}: cannot be read (Permission denied)"


# ---- .npz --------------------------------------------------------------------------------


DTYPES = st.one_of(
    hnp.floating_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(),
    hnp.boolean_dtypes(), hnp.complex_number_dtypes(), hnp.unicode_string_dtypes(max_len=3),
)  # fmt: skip
ARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, ARRAYS, max_size=4))
def test_arrays_come_back_with_name_type_shape_and_bits(tmp_path_factory, arrays):
    path = tmp_path_factory.getbasetemp() / "round.npz"
    files.write_npz(path, arrays)
    found = files.read_npz(path)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_orders_and_names_that_confuse_numpy_come_back(tmp_path):
    big = np.arange(6.0).reshape(2, 3)
    arrays = {"x": big.T, "x.npy": big[:, ::-1], "": np.float32(1.5), "a/b.npz": big.astype(">f4")}
    files.write_npz(tmp_path / "a.npz", arrays)
    found = files.read_npz(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:  # NumPy reads it as well
        assert np.array_equal(archive["a/b.npz"], big)


@pytest.mark.parametrize(
    "array",
    [np.array([None]), np.array([{}], dtype=object), np.ones(2, bfloat16)],
    ids=["none", "dict", "bfloat16"],
)
def test_types_that_would_not_come_back_are_not_written(tmp_path, array):
    path = tmp_path / "a.npz"
    files.write_npz(path, {"a": np.ones(2)})
    with pytest.raises(ValueError, match=r"[Oo]bject|bfloat16"):
        files.write_npz(path, {"a": array})
    assert list(tmp_path.iterdir()) == [path]
    assert list(files.read_npz(path)) == ["a"]


@pytest.fixture
def whole(tmp_path):
    """An archive of three arrays; its bytes."""
    path = tmp_path / "whole.npz"
    arrays = {"a/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
              "a/bias": np.zeros(4, np.float32), "mask": np.eye(3, dtype=np.uint8)}  # fmt: skip
    files.write_npz(path, arrays)
    return path.read_bytes()


def test_a_file_truncated_anywhere_is_refused(tmp_path, whole):
    path = tmp_path / "cut.npz"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert refusal(files.read_npz, path).startswith(f"{path}: expected a NumPy .npz file")


def test_a_flipped_bit_is_refused_or_harmless(tmp_path, whole):
    path = tmp_path / "flipped.npz"
    path.write_bytes(whole)
    known = [(a.dtype, a.shape, a.tobytes()) for a in files.read_npz(path).values()]
    refused = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            found = files.read_npz(path)
        except UserError:
            refused += 1
            continue
        # Names, dates and the list of members stand outside the checksums.
        assert all((a.dtype, a.shape, a.tobytes()) in known for a in found.values())
    assert refused > len(whole) / 2


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    path.write_bytes(data)
    refusal(files.read_npz, path)


def archive(path, members, compression=zipfile.ZIP_STORED):
    """A zip file of the given names and bytes."""
    with zipfile.ZipFile(path, "w", compression) as stream:
        for name, data in members:
            stream.writestr(name, data)
    return path


def npy(array, *, allow_pickle=False) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), allow_pickle=allow_pickle)
    return buffer.getvalue()


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_nothing_is_unpickled(tmp_path):
    proof = tmp_path / "unpickled"
    objects = np.array([Bomb(proof)], dtype=object)
    inside = archive(tmp_path / "inside.npz", [("a.npy", npy(objects, allow_pickle=True))])
    bare = tmp_path / "bare.npz"
    bare.write_bytes(pickle.dumps(Bomb(proof)))
    for path in (inside, bare):
        refusal(files.read_npz, path)
    assert not proof.exists()


def header(text: str) -> bytes:
    """The head of a .npy file that says `text` of its array."""
    padded = text.encode() + b"\n"
    return np.lib.format.MAGIC_PREFIX + b"\1\0" + struct.pack("<H", len(padded)) + padded


HEADERS = {
    "too many": "{'descr': '<f4', 'fortran_order': False, 'shape': (10**9,)}",
    "enormous": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,)}",
    "overflow": "{'descr': '<f8', 'fortran_order': False, 'shape': (9223372036854775807, 9)}",
    "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
    "wide": "{'descr': '|S2000000000', 'fortran_order': False, 'shape': (3,)}",
    "code": "__import__('os').system('true')",
    "unclosed": "{'descr': '<f4', 'shape': (",
    "nested": "(" * 5000,
    "long": "{'descr': '<f4', 'fortran_order': False, 'shape': (), " + " " * 60000 + "}",
    "type": "{'descr': 'no', 'fortran_order': False, 'shape': (1,)}",
    "list": "[1, 2]",
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS)
def test_a_hostile_header_is_refused(tmp_path, text):
    path = archive(tmp_path / "a.npz", [("a.npy", header(text) + b"\0" * 8)])
    assert "expected a NumPy .npz file" in refusal(files.read_npz, path)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    zeros = npy(np.zeros(3_000_000, np.uint8))
    path = archive(tmp_path / "bomb.npz", [("a.npy", zeros)], zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10_000
    assert files.read_npz(path)["a"].size == 3_000_000  # compression alone is no fault
    monkeypatch.setattr(files, "EXPANDED_BYTES", 1_000_000)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("was read"))
    assert "bytes that expand to 3000" in refusal(files.read_npz, path)


@pytest.mark.parametrize(
    "members",
    [
        [("readme.txt", b"hello")],
        [("a.npy", npy(np.ones(3))), ("evil.pkl", pickle.dumps({}))],
        [("a.npy", b"")],
        [("a.npy", npy(np.ones(3)) + b"more")],
        [("a.npy", npy(np.ones(3))[:-1])],
        [("../../a", b"x")],
        [("a.npy/", b"")],
    ],
    ids=["text", "pickle beside", "empty", "longer", "shorter", "upwards", "folder"],
)
def test_members_that_are_no_arrays_are_refused(tmp_path, members):
    path = archive(tmp_path / "a.npz", members)
    assert "received an unreadable one" in refusal(files.read_npz, path)


def test_names_are_keys_and_never_paths(tmp_path):
    names = ["../../outside", "/tmp/absolute", "C:\\x", "a" * 3000, "--", "\x1b[2J"]
    path = archive(tmp_path / "a.npz", [(f"{name}.npy", npy(np.ones(1))) for name in names])
    assert list(files.read_npz(path)) == names
    assert list(tmp_path.iterdir()) == [path]


def test_an_encrypted_archive_is_refused(tmp_path, whole):
    damaged = bytearray(whole)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = damaged.find(signature)
        while place >= 0:
            damaged[place + offset] |= 1
            place = damaged.find(signature, place + 1)
    path = tmp_path / "secret.npz"
    path.write_bytes(damaged)
    assert "encrypted" in refusal(files.read_npz, path)


def test_a_single_array_a_folder_and_a_missing_file_are_named(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    assert "received a single array" in refusal(files.read_npz, tmp_path / "a.npy")
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    assert "received a single array" in refusal(files.read_npz, tmp_path / "a.npz")
    assert "Is a directory" in refusal(files.read_npz, tmp_path)
    assert "no such file" in refusal(files.read_npz, tmp_path / "b.npz")
    assert "null" in refusal(files.read_npz, tmp_path / "b\0.npz")
