"""The deployment table: promises, and the whole way from a config to a page."""

import json
from pathlib import Path

import pytest

from tfsparse import check as door
from tfsparse.charts.deploy_results import results_markdown
from tfsparse.config import RunConfig, load_config
from tfsparse.deploy.results import TableConfig, promises
from tfsparse.deploy.trial import litert_installed
from tfsparse.errors import UserError

CONFIGS = Path(__file__).parents[1] / "configs"


def report(ratio=0.3, difference=1e-6, drop=0.0, largest=1.0):
    found = {"size_ratio": ratio, "max_difference": difference, "accuracy_drop": drop}
    names = ("float32", "float32_sparse", "int8_dynamic", "int8")
    return {
        "against": {"largest_output": largest},
        "variants": [{"name": name, **found} for name in names],
    }


def broken(sparsity, **more):
    return [p["promise"] for p in promises("net", sparsity, report(**more)) if not p["kept"]]


def test_promises_are_those_of_the_sparsity():
    assert broken(0.8, ratio=0.35) == []
    assert broken(0.8, ratio=0.36) == ["float32_sparse: size of dense at most 0.35"]
    assert broken(0.9, ratio=0.21) == ["float32_sparse: size of dense at most 0.2"]
    assert len(promises("net", 0.5, report())) == 4  # no size is promised there


def test_differences_are_in_units_of_the_largest_output():
    assert len(broken(0.8, difference=2e-5)) == 2
    assert broken(0.8, difference=2e-5, largest=10.0) == []
    assert len(broken(0.8, difference=2e-6, largest=0.1)) == 0  # never stricter than absolute


def test_int8_may_lose_one_point():
    assert broken(0.8, drop=0.01) == []
    assert len(broken(0.8, drop=0.0101)) == 2


def test_a_variant_that_is_missing_breaks_its_promises():
    found = report()
    found["variants"] = found["variants"][:2]
    lost = [p for p in promises("net", 0.8, found) if not p["kept"]]
    assert [p["found"] for p in lost] == [None, None]


def test_the_table_names_configs_that_load():
    path = CONFIGS / "deployment" / "table.json"
    table = load_config(path, TableConfig)
    found: dict[str, list[float]] = {}
    for entry in table.runs:
        config = load_config(path.parent / entry.config, RunConfig)
        assert config.method == "pruned"
        found.setdefault(config.model.name, []).extend(entry.sparsities)
    networks = ("lenet_300_100", "lenet_5", "resnet_20", "mobilenet_v1")
    assert found == {name: [0.8, 0.9, 0.98] for name in networks}


def test_an_empty_page_says_so():
    assert "No runs." in results_markdown([], [], "command")


def test_files_or_a_table_but_not_both():
    for arguments in ([], ["a.tflite", "--table", "b.json"]):
        with pytest.raises(UserError, match="and not both"):
            door.main(arguments)


@pytest.mark.skipif(not litert_installed(), reason="ai-edge-litert is not installed")
def test_from_a_config_to_the_page(tmp_path, capsys):
    table = {
        "about": "one small net",
        "runs": [
            {"config": str(CONFIGS / "pruned_80.json"), "label": "LeNet-5", "sparsities": [0.9]}
        ],
    }
    (tmp_path / "table.json").write_text(json.dumps(table))
    settings = [f"run_dir={tmp_path}/runs", "train.epochs=2", "train.evaluate_every=null"]
    arguments = ["--table", str(tmp_path / "table.json"), "--repeats", "5"]
    for setting in settings:
        arguments += ["--set", setting]
    code = door.main([*arguments, "--set", "pruning.frequency=10"])
    said = capsys.readouterr().out
    page = (tmp_path / "table.md").read_text()
    folder = tmp_path / "runs" / "pruned_80_90" / "seed_0" / "export"
    assert (folder / "deploy.json").is_file()
    assert (folder / "int8_dynamic_sparse.tflite").is_file()  # refused, and still in the table
    assert "| float32_sparse |" in page and "## LeNet-5 at 90%" in page
    assert "default delegate refuses it" in page
    assert "float32_sparse: size of dense at most 0.2 | 0.1" in page
    assert code in (0, 1) and "promises kept" in said  # 2 epochs do not promise int8 accuracy
