"""The JSON Schema that editors use is current, and every config in the repository loads."""

import json
from pathlib import Path

import jsonschema
import pytest

from tfsparse.config import RunConfig, load_config
from tfsparse.config.schema import schema, schema_text

CONFIGS = Path(__file__).parents[1] / "configs"
ALL = [path for path in sorted(CONFIGS.rglob("*.json")) if path.name != "schema.json"]


def is_run(path: Path) -> bool:
    """A run's config names the schema; the bases of runs lie in base/. Other commands' do not."""
    named = json.loads(path.read_text()).get("$schema", "")
    names_ours = named and (path.parent / named).resolve() == CONFIGS / "schema.json"
    return bool(names_ours) or path.parent.name == "base"


RUNS = [path for path in ALL if is_run(path)]


def test_the_stored_schema_is_current():
    assert (CONFIGS / "schema.json").read_text() == schema_text(), "run make schema"


def test_there_are_configs_and_all_of_runs_are_known_as_such():
    assert CONFIGS / "pruned_80.json" in RUNS
    for path in ALL:
        keys = set(json.loads(path.read_text()))
        assert path in RUNS or not keys & {"method", "pruning"}, f"{path}: no $schema"


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_config_loads_says_its_purpose_and_fits_the_schema(path):
    config = load_config(path, RunConfig)
    own = json.loads(path.read_text())
    assert config.name == own.get("name", path.stem)
    assert len(own["about"]) > 10
    jsonschema.validate(own, schema())
    jsonschema.validate(config.model_dump(mode="json"), schema())


@pytest.mark.parametrize(
    "data",
    [{"sed": 1}, {"seed": -1}, {"seed": "1"}, {"model": {"widht": 1}}, {"method": "prund"},
     {"name": "a/b"}, {"train": {"steps": 1.5}}, {"train": {"log_every": "3"}},
     {"pruning": {"final_sparsity": 1}}, {"optimizer": {"learning_rate": "x"}},
     {"optimizer": {"learning_rate": {"schedule": "cosin", "value": 1}}}, {"base": 3}],
    ids=json.dumps,
)  # fmt: skip
def test_the_schema_refuses_what_loading_refuses(data):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema())
