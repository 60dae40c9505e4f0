"""What cannot be exported costs one line, and one variant at most."""

import made_deploy
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from test_export import no_note, some, tiny

from tfsparse import export as door
from tfsparse import files
from tfsparse.deploy import exporter
from tfsparse.deploy.exporter import export
from tfsparse.deploy.serving import write_saved_model
from tfsparse.deploy.source import open_source
from tfsparse.deploy.trial import litert_installed
from tfsparse.deploy.variants import chosen
from tfsparse.errors import UserError

needs_litert = pytest.mark.skipif(not litert_installed(), reason="ai-edge-litert is not installed")


def test_sources_that_cannot_be_used(tmp_path):
    two = keras.Model(inputs := [keras.Input((2,)), keras.Input((2,))], keras.layers.Add()(inputs))
    two.save(tmp_path / "two.keras")
    keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)]).save(tmp_path / "free.keras")
    (tmp_path / "text.keras").write_text("not a model")
    (tmp_path / "data.tflite").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "saved_model.pb").write_bytes(b"\x00\xff damaged")
    tf.saved_model.save(tf.Module(), str(tmp_path / "unsigned"))
    for name, words in {
        "absent": "no such file or folder",
        "two.keras": "one input and one output",
        "free.keras": "fixed sizes",
        "text.keras": "damaged or no archive",
        "data.tflite": "expected a .keras or .h5",
        "folder": "found neither",
        "damaged": "not a readable SavedModel",
        "unsigned": "expected a signature 'serving_default', found none",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            open_source(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_unfinished_run_is_refused(tmp_path):
    run = made_deploy.finished_run(tmp_path / "run")
    (run.path / "summary.json").unlink()
    with pytest.raises(UserError, match="expected a finished run, this one is stopped"):
        export(run.path, tmp_path / "out", some("float32"), no_note)
    assert not (tmp_path / "out").exists()


def test_an_unknown_variant_is_refused():
    with pytest.raises(UserError, match="unknown variant 'float64'"):
        chosen("float32,float64")


def test_an_empty_representative_set_fails_int8_and_nothing_else(tmp_path, capsys):
    tiny().save(tmp_path / "m.keras")
    files.write_npz(tmp_path / "none.npz", {"images": np.zeros((0, 6), np.float32)})
    out = tmp_path / "out"
    code = door.main(
        ["--model", str(tmp_path / "m.keras"), "--out", str(out), "--variants", "float32,int8",
         "--examples", str(tmp_path / "none.npz")]
    )  # fmt: skip
    assert code == 1
    said = capsys.readouterr()
    assert "int8: failed: the representative set is empty" in said.out
    assert said.err.strip() == "failed: int8"
    assert (out / "float32.tflite").exists() and not (out / "int8.tflite").exists()


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pictures": np.zeros((2, 6))}, "expected an array 'images'"),
        ({"images": np.zeros((2, 5))}, "expected numbers of shape"),
        ({"images": np.full((2, 6), np.nan)}, "finite"),
    ],
)
def test_a_representative_set_of_another_shape_is_refused(tmp_path, arrays, words):
    tiny().save(tmp_path / "m.keras")
    files.write_npz(tmp_path / "x.npz", arrays)
    options = some("int8", examples=tmp_path / "x.npz")
    with pytest.raises(UserError, match=words):
        export(tmp_path / "m.keras", tmp_path / "out", options, no_note)


CRASHING = """
import os
from tfsparse.deploy.converter import convert
from tfsparse.deploy.worker import serve

def answer(request):
    if request["variant"] == "float16":
        with open(request["target"], "wb") as half:
            half.write(b"half a file")
            half.flush()
            os.abort()
    return convert(**request)

def main():
    serve(answer)
"""


def test_a_converter_that_crashes_costs_one_variant(tmp_path, monkeypatch):
    (tmp_path / "crashing_converter.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(exporter, "CONVERTER", "crashing_converter")
    tiny().save(tmp_path / "m.keras")
    out, said = tmp_path / "out", []
    out.mkdir()
    (out / "float16.tflite").write_bytes(b"of an older export")
    names = "float16,float32,int8_dynamic"
    record = export(tmp_path / "m.keras", out, some(names), said.append)
    assert record["variants"]["float16"]["status"] == "failed"
    assert any(line.startswith("float16: failed: converter: crashed (SIGABRT)") for line in said)
    assert {path.name for path in out.iterdir()} == {
        "saved_model", "compact.npz", "export.json", "float32.tflite", "int8_dynamic.tflite",
    }  # fmt: skip


def test_without_litert_nothing_is_tried_and_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(exporter, "litert_installed", lambda: False)
    model, _ = made_deploy.sparse_model(sparsity=0.9)
    model.save(tmp_path / "m.keras")
    said = []
    options = some("float32_sparse,float32,int8_dynamic_sparse")
    record = export(tmp_path / "m.keras", tmp_path / "out", options, said.append)
    assert sum("pip install 'tfsparse[deploy]'" in line for line in said) == 1
    assert record["variants"]["float32_sparse"]["status"] == "written"
    assert record["variants"]["int8_dynamic_sparse"]["status"] == "skipped"


def test_a_second_saved_model_replaces_the_first(tmp_path):
    for value in (1.0, 2.0):
        model = tiny()
        model.set_weights([np.full(w.shape, value, np.float32) for w in model.get_weights()])
        model.save(tmp_path / "m.keras")
        source = open_source(tmp_path / "m.keras")
        target = tmp_path / "out" / "saved_model"
        write_saved_model(target, source.function, source.signature, source.keep_alive)
        (found,) = (
            tf.saved_model.load(str(target))
            .signatures["serving_default"](numbers=tf.zeros((1, 6)))
            .values()
        )
        assert found.numpy().tolist() == [[32 * value * value + value] * 3]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["saved_model"]
