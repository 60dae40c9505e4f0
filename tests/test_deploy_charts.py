"""Table and chart of a deployment check, without TensorFlow."""

import subprocess
import sys

import pytest

from tfsparse import files
from tfsparse.charts.deploy import (
    COLUMNS,
    deploy_chart,
    deploy_markdown,
    deploy_rows,
    deploy_table,
    deploy_text,
    read_deploy,
)
from tfsparse.errors import UserError


def made_report():
    """Two checked files, one that is refused and one that is unreadable."""
    accepted = {"accepted": True, "error": None, "crashed": False}
    refused = {"accepted": False, "error": "failed to delegate", "crashed": False}
    crashed = {"accepted": False, "error": "crashed (SIGSEGV)", "crashed": True}
    stopped = {"eligible": False, "layer": "CONV_2D conv1", "reason": "is 5x5"}

    def row(name, size, default, plain, **more):
        return {
            "name": name, "status": "pass", "reasons": [], "bytes": size, "zipped_bytes": size // 2,
            "size_ratio": size / 200_000, "zipped_ratio": 0.5, "default_delegate": default,
            "without_delegate": plain, "sparse_tensors": [{}, {}], "weight_tensors": 5,
            "max_difference": 1.5e-6, "accuracy": 0.9722, "accuracy_drop": -0.001,
            "latency": {"median_ms": 0.0123}, "threads": 1, "arena_bytes": 75_000,
            "xnnpack_sparse": stopped, **more,
        }  # fmt: skip

    return {
        "against": {"path": "runs/a/seed_0", "inputs": "test", "n": 360, "accuracy": 0.9712},
        "dense": {"bytes": 200_000, "is": "float32.tflite"},
        "statement": "Nothing about a phone.",
        "variants": [
            row("float32", 200_000, accepted, accepted),
            row("int8_sparse", 30_000, refused, accepted, status="fail", reasons=["refused"]),
            row("bad", 1_500_000, crashed, crashed, status="fail", latency=None, accuracy=None),
            {"name": "empty", "file": "empty", "status": "unusable", "reasons": ["is | empty"]},
        ],
    }


def test_cells_are_for_people():
    first, second, third, fourth = deploy_rows(made_report())
    assert first == (
        "float32", "200.0 kB", "1.000", "100.0 kB", "0.500", "2/5", "accepts", "1.5e-06", "97.22%",
        "-0.10", "0.0123 ms", "1", "75.0 kB", "no", "pass",
    )  # fmt: skip
    assert len(first) == len(COLUMNS)
    assert second[6] == "no delegate" and third[6] == "crashes"
    assert third[1] == "1.50 MB" and third[8] == "-"
    assert fourth[1:] == ("-", "-", "-", "-", "-", "unreadable", *["-"] * 6, "no", "unusable")


def test_the_text_says_why_and_joins_like_reasons():
    text = deploy_text(made_report())
    assert "fail       int8_sparse: refused" in text
    assert "unusable   empty: is | empty" in text
    assert "ARM sparse float32, int8_sparse, bad: CONV_2D conv1: is 5x5" in text
    assert text.endswith("Nothing about a phone.")


def test_markdown_has_a_row_for_each_variant():
    lines = deploy_markdown(made_report()).splitlines()
    assert lines[0].startswith("| variant | size |")
    assert sum(line.startswith("|") for line in lines) == 2 + 4


def test_the_chart_holds_each_variant_once_per_panel():
    table = deploy_table(made_report())
    assert list(table["bytes"][:2]) == [200_000, 30_000]
    spec = deploy_chart(made_report()).to_dict()
    fields = [panel["encoding"]["x"]["field"] for panel in spec["hconcat"]]
    assert fields == ["kB", "accuracy", "median_ms"]
    held = [len(spec["datasets"][panel["data"]["name"]]) for panel in spec["hconcat"]]
    assert held == [3, 2, 2]


@pytest.mark.parametrize("value", [[], {}, {"variants": 3}, {"variants": [1]}])
def test_other_files_are_refused(tmp_path, value):
    files.write_json(tmp_path / "deploy.json", value)
    with pytest.raises(UserError, match="expected a deploy"):
        read_deploy(tmp_path / "deploy.json")


def test_cells_of_another_type_are_missing():
    odd = {"name": 3, "bytes": "many", "accuracy": [1], "latency": 5, "xnnpack_sparse": "yes",
           "reasons": "text", "sparse_tensors": 7, "default_delegate": [], "threads": True,
           "arena_bytes": float("inf")}  # fmt: skip
    ((name, *cells),) = deploy_rows({"variants": [odd]})
    assert name == "3" and set(cells) <= {"-", "unreadable", "no", "None"}
    deploy_chart({"variants": [odd]}).to_dict()


def test_no_tensorflow_is_loaded():
    code = "import sys, tfsparse.charts.deploy; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
