"""The deployment check: rows, limits, exit codes, hostile files."""

import json

import made_deploy
import numpy as np
import pytest

from tfsparse import check as door
from tfsparse import files
from tfsparse.deploy import trial
from tfsparse.deploy.checker import (
    Timing,
    check_files,
    exit_code,
    find_files,
    statement,
    zipped_size,
)
from tfsparse.deploy.examples import TestSet as Examples
from tfsparse.deploy.limits import Limits
from tfsparse.deploy.reference import Reference, accuracy
from tfsparse.deploy.serving import Signature
from tfsparse.deploy.source import Source
from tfsparse.deploy.trial import interpreter_worker, litert_installed
from tfsparse.errors import UserError

pytestmark = pytest.mark.skipif(not litert_installed(), reason="ai-edge-litert is not installed")

QUICK = Timing(warm_up=1, repeats=5)


def reference(inputs=None, outputs=None, labels=None):
    """A reference without TensorFlow behind it, of LeNet-5's shapes."""
    inputs = np.zeros((2, 28, 28, 1), np.float32) if inputs is None else inputs
    outputs = np.zeros((len(inputs), 10), np.float32) if outputs is None else outputs
    signature = Signature("image", (28, 28, 1), "logits", (10,))
    source = Source(made_deploy.Path("nowhere"), "run", None, signature, {}, None)
    return Reference(source, Examples(inputs, labels, "made up"), outputs)


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """The report of one check of all exported files, with its exit code and text."""
    run, out, _ = made_deploy.exported_run()
    target = tmp_path_factory.mktemp("checked") / "deploy.json"
    code = door.main(
        [str(out), "--against", str(run.path), "--out", str(target), "--repeats", "20",
         "--num-examples", "40", "--max-accuracy-drop", "0.2"]
    )  # fmt: skip
    return code, json.loads(target.read_text())


def rows(report):
    return {row["name"]: row for row in report["variants"]}


def test_every_file_is_a_row_and_passes(checked):
    code, report = checked
    _, out, _ = made_deploy.exported_run()
    assert set(rows(report)) == {path.stem for path in out.glob("*.tflite")}
    assert {row["status"] for row in report["variants"]} == {"pass"}
    assert code == 0


def test_sizes_raw_and_zipped_against_dense(checked):
    _, report = checked
    found = rows(report)
    _, out, _ = made_deploy.exported_run()
    for name, row in found.items():
        data = (out / f"{name}.tflite").read_bytes()
        assert row["bytes"] == len(data)
        assert row["zipped_bytes"] == zipped_size(data)
        assert row["size_ratio"] == pytest.approx(len(data) / found["float32"]["bytes"])
    assert found["float32"]["size_ratio"] == found["float32"]["zipped_ratio"] == 1.0
    assert found["float32_sparse"]["size_ratio"] < 0.35


def test_it_names_the_tensors_stored_sparse(checked):
    found = rows(checked[1])
    assert found["float32"]["sparse_tensors"] == []
    for name in ("float32_sparse", "float16_sparse"):
        sparse = found[name]["sparse_tensors"]
        assert len(sparse) == found[name]["weight_tensors"] == 5
        assert sorted(tuple(tensor["shape"]) for tensor in sparse) == sorted(
            [(6, 5, 5, 1), (16, 5, 5, 6), (120, 256), (84, 120), (10, 84)]
        )
        for tensor in sparse:
            assert tensor["zero_fraction"] == pytest.approx(0.8, abs=0.01)


def test_outputs_and_accuracy_are_those_of_the_run(checked):
    _, report = checked
    found = rows(report)
    assert report["against"]["n"] == 40
    assert report["against"]["inputs"] == "test split of digits"
    for name in ("float32", "float32_sparse"):
        assert found[name]["max_difference"] < 1e-5
        assert found[name]["accuracy_drop"] == 0.0
        assert found[name]["accuracy"] == report["against"]["accuracy"]
    assert found["int8"]["max_difference"] > found["float16"]["max_difference"] > 1e-6


def test_latency_threads_and_arena_are_there(checked):
    for row in checked[1]["variants"]:
        latency = row["latency"]
        assert 0 < latency["p10_ms"] <= latency["median_ms"] <= latency["p90_ms"]
        assert latency["calls"] == 20 and row["threads"] == 1
        # at least the input and the first activations: 28x28 and 24x24x6 numbers
        assert row["arena_bytes"] > 28 * 28 + 24 * 24 * 6
        for attempt in ("default_delegate", "without_delegate"):
            assert row[attempt]["accepted"] and row[attempt]["error"] is None
        assert row["default_delegate"]["delegated"] >= 1
        assert row["without_delegate"]["delegated"] == 0


def test_eligibility_names_layer_and_reason(checked):
    for row in checked[1]["variants"]:
        verdict = row["xnnpack_sparse"]
        assert not verdict["eligible"]
        assert "conv1" in verdict["layer"] and "5x5 of stride 1 over 1" in verdict["reason"]
    assert "'conv1'" in checked[1]["against"]["latency_policy_obstacle"]


def test_a_pruned_mobilenet_is_eligible_only_where_its_zeros_are_not_stored(tmp_path):
    from tfsparse.deploy.exporter import ExportOptions, export
    from tfsparse.deploy.reference import open_reference
    from tfsparse.deploy.variants import chosen

    model, _ = made_deploy.sparse_model(
        "tfsparse.models.mobilenet:mobilenet_v1", (32, 32, 3), 0.8, only="pointwise", width=0.25
    )
    model.save(tmp_path / "m.keras")
    options = ExportOptions(variants=chosen("float32,float32_sparse"))
    export(tmp_path / "m.keras", tmp_path / "out", options, lambda text: None)
    held = open_reference(tmp_path / "m.keras", examples=None, data=None, count=4)
    report = check_files(find_files([tmp_path / "out"]), held, Limits(), QUICK)
    found = rows(report)
    eligible = {name: row["xnnpack_sparse"]["eligible"] for name, row in found.items()}
    assert eligible == {"float32": False, "float32_sparse": True}
    assert found["float32_sparse"]["xnnpack_sparse"]["zero_fraction"] == pytest.approx(
        0.8, abs=1e-3
    )
    assert "EXPERIMENTAL_SPARSITY" in found["float32"]["xnnpack_sparse"]["reason"]
    assert report["against"]["latency_policy_obstacle"] is None
    assert "float32_sparse" in report["statement"]
    assert found["float32_sparse"]["max_difference"] < 1e-5


# ---- limits and exit codes ------------------------------------------------------------


def test_a_limit_that_is_broken_exits_with_1(capsys):
    run, out, _ = made_deploy.exported_run()
    target = out.parent / "one.json"
    code = door.main(
        [str(out / "float32.tflite"), "--against", str(run.path), "--max-size", "0.35x",
         "--num-examples", "5", "--repeats", "5", "--out", str(target)]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert code == 1
    assert "fail       float32: size 1 x of dense is above the limit 0.35" in said
    (row,) = json.loads(target.read_text())["variants"]
    assert row["status"] == "fail"


def test_exit_codes():
    def report(*found):
        return {"variants": [{"status": status} for status in found]}

    assert exit_code(report("pass", "pass")) == 0
    assert exit_code(report("pass", "fail")) == 1
    assert exit_code(report("fail", "unusable")) == 2


def test_options_that_make_no_sense_are_one_line():
    for arguments in (["x.tflite", "--threads", "0"], ["absent.tflite"], ["x", "--max-size", "?"]):
        with pytest.raises(UserError) as caught:
            door.main(arguments)
        assert "\n" not in str(caught.value)


def test_a_missing_litert_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(trial, "litert_installed", lambda: False)
    with pytest.raises(UserError, match=r"pip install 'tfsparse\[deploy\]'"):
        check_files([made_deploy.Path("m.tflite")], reference(), Limits(), QUICK)


def test_the_statement_says_what_holds_on_a_phone():
    row = {"name": "float32_sparse", "xnnpack_sparse": {"eligible": True}}
    here, arm = statement([row], "x86_64"), statement([], "aarch64")
    assert "say nothing about a phone" in here and "float32_sparse" in here
    assert "ARM machine" in arm and "none of these files" in arm


def test_accuracy_counts_the_largest_output():
    outputs = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    assert accuracy(outputs, np.array([1, 0, 0])) == pytest.approx(2 / 3)
    assert accuracy(outputs, None) is None


# ---- hostile files --------------------------------------------------------------------


def hostile(folder):
    """Files that are not what their name says."""
    _, out, _ = made_deploy.exported_run()
    good = (out / "float32_sparse.tflite").read_bytes()
    made = {
        "empty": b"",
        "text": b"<html>not found</html>",
        "truncated": good[: len(good) // 2],
        "header": good[:16],
        "marked": b"\x08\x00\x00\x00TFL3" + b"\xff" * 200,
        "zip": b"PK\x03\x04" + bytes(100),
        "good": good,
    }
    for name, data in made.items():
        (folder / f"{name}.tflite").write_bytes(data)
    (folder / "folder.tflite").mkdir()


def test_each_bad_file_is_one_line_and_the_others_are_checked(tmp_path):
    hostile(tmp_path)
    report = check_files(find_files([tmp_path]), reference(), Limits(), QUICK)
    found = rows(report)
    assert found["good"]["status"] == "pass"
    for name in set(found) - {"good"}:
        assert found[name]["status"] == "unusable", name
        (reason,) = found[name]["reasons"]
        assert reason.isprintable() and len(reason) < 350
    assert "the file is empty" in found["empty"]["reasons"][0]
    assert "TFL3" in found["text"]["reasons"][0]
    assert "damaged" in found["truncated"]["reasons"][0]
    assert exit_code(report) == 2


def test_a_file_of_another_model_is_not_held_against_this_one(tmp_path):
    _, out, _ = made_deploy.exported_run()
    held = reference(np.zeros((1, 32, 32, 3), np.float32))
    held.source.signature = Signature("image", (32, 32, 3), "logits", (10,))
    report = check_files([out / "float32.tflite"], held, Limits(), QUICK)
    (row,) = report["variants"]
    assert row["status"] == "unusable"
    assert "inputs: expected shape [1, 32, 32, 3]" in row["reasons"][0]


CRASHING = """
import os
from tfsparse.deploy.interpreter import answer
from tfsparse.deploy.worker import serve

def crash(request):
    if request["do"] == "run" and "first" in request["model"]:
        os.abort()
    return answer(request)

def main():
    serve(crash)
"""


def test_a_native_crash_is_a_row_and_not_the_end(tmp_path, monkeypatch):
    (tmp_path / "crashing_interpreter.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(trial, "CHILD", "crashing_interpreter")
    _, out, _ = made_deploy.exported_run()
    for name in ("first", "second"):
        data = (out / "float32.tflite").read_bytes()
        (tmp_path / f"{name}.tflite").write_bytes(data)
    report = check_files(find_files([tmp_path]), reference(), Limits(), QUICK)
    found = rows(report)
    assert found["first"]["status"] == "fail" and found["second"]["status"] == "pass"
    assert "crashed (SIGABRT)" in found["first"]["reasons"][0]
    assert found["first"]["default_delegate"]["crashed"]
    files.write_json(tmp_path / "deploy.json", report)


def mutate(data, rng):
    """Cut, flip, overwrite or scramble: what transport, disks and enemies do to files."""
    changed = bytearray(data)
    kind = rng.integers(5)
    if kind == 0:
        return bytes(changed[: rng.integers(len(data))])
    if kind == 1:
        for place in rng.integers(len(data), size=rng.integers(1, 20)):
            changed[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        place = int(rng.integers(len(data) - 4))
        changed[place : place + 4] = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f")[
            rng.integers(3)
        ]
    elif kind == 3:
        first, last = sorted(rng.integers(8, len(data), 2))
        changed[first:last] = rng.bytes(int(last - first))
    else:  # the end of the file holds the graph
        for place in rng.integers(1, 3000, size=5):
            changed[-int(place)] = int(rng.integers(256))
    return bytes(changed)


def test_500_mutated_files_never_end_the_check(tmp_path):
    _, out, _ = made_deploy.exported_run()
    data = (out / "float32_sparse.tflite").read_bytes()
    rng = np.random.default_rng(7)
    for number in range(500):
        (tmp_path / f"{number:03}.tflite").write_bytes(mutate(data, rng))
    timing = Timing(warm_up=0, repeats=1, timeout=10)
    report = check_files(find_files([tmp_path]), reference(), Limits(), timing)
    assert len(report["variants"]) == 500
    status = [row["status"] for row in report["variants"]]
    assert {"unusable", "pass"} <= set(status) <= {"unusable", "pass", "fail"}
    assert all(row["reasons"] for row in report["variants"] if row["status"] != "pass")
    files.write_json(tmp_path / "deploy.json", report)  # no text in it breaks the report


def test_the_memory_a_file_asks_for_is_limited(tmp_path):
    """A file that claims a tensor of many gigabytes is refused, not granted."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    _, out, _ = made_deploy.exported_run()
    model = schema.ModelT.InitFromPackedBuf((out / "float32.tflite").read_bytes(), 0)
    for tensor in model.subgraphs[0].tensors:
        if not (model.buffers[tensor.buffer].data is not None and len(tensor.shape)):
            tensor.shape = np.array([1, 46_000, 46_000, 1], np.int32)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    (tmp_path / "huge.tflite").write_bytes(bytes(builder.Output()))
    with interpreter_worker() as worker:
        inputs = np.zeros((1, 28, 28, 1), np.float32)
        found = trial.attempt(worker, tmp_path / "huge.tflite", inputs, delegate=False)
    assert not found.accepted


def test_quantized_numbers_by_hand():
    from tfsparse.deploy.interpreter import _dequantized, _quantized

    details = {"dtype": np.int8, "quantization": (0.5, 3)}
    found = _quantized(np.array([0.0, 1.0, -1.24, 1000.0, -1000.0]), details)
    assert found.dtype == np.int8 and found.tolist() == [3, 5, 1, 127, -128]
    back = _dequantized(np.array([3, 5, 1], np.int8), details)
    assert back.dtype == np.float32 and back.tolist() == [0.0, 1.0, -1.0]
