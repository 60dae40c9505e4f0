"""The JSON Schemas that editors use are current, and every config in the repository loads."""

import json
from pathlib import Path

import jsonschema
import pytest

from tfsparse.config import RunConfig, load_config
from tfsparse.config.landscape import CurveConfig, InterpolationConfig
from tfsparse.config.schema import schema_text, schemas

CONFIGS = Path(__file__).parents[1] / "configs"
ALL = [path for path in sorted(CONFIGS.rglob("*.json")) if not path.name.startswith("schema")]
SCHEMAS = schemas()
RUN = SCHEMAS["schema.json"]
PLACES = {
    "curve": "curve*.json", "interpolate": "interpolate*.json", "analyze": "analyze*.json",
    "reproduce": "reproduce/*.json",
}  # fmt: skip
OTHERS = [(command, path) for command, name in PLACES.items() for path in CONFIGS.rglob(name)]


def is_run(path: Path) -> bool:
    """A run's config names the schema; the bases of runs lie in base/. Other commands' do not."""
    named = json.loads(path.read_text()).get("$schema", "")
    names_ours = named and (path.parent / named).resolve() == CONFIGS / "schema.json"
    return bool(names_ours) or path.parent.name == "base"


RUNS = [path for path in ALL if is_run(path)]


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_stored_schemas_are_current(name):
    assert (CONFIGS / name).read_text() == schema_text(SCHEMAS[name]), "run make schema"


def test_every_config_has_a_schema():
    named = {path for _, path in OTHERS}
    assert {path for path in ALL if path not in RUNS} - named == {CONFIGS / "deployment/table.json"}


@pytest.mark.parametrize(
    ("command", "path"), OTHERS, ids=lambda value: getattr(value, "stem", str(value))
)
def test_files_of_the_other_commands_fit_their_schemas(command, path):
    data = json.loads(path.read_text())
    assert (path.parent / data["$schema"]).resolve() == CONFIGS / f"schema_{command}.json"
    jsonschema.validate(data, SCHEMAS[f"schema_{command}.json"])


@pytest.mark.parametrize(
    ("command", "path", "value"),
    [
        ("curve", ["order"], "2"),
        ("curve", ["subspace"], "spars"),
        ("curve", ["train", "momentum"], 1),
        ("interpolate", ["start", "rum"], "runs/a"),
        ("interpolate", ["corners"], "runs/a"),
        ("interpolate", ["images"], 0),
        ("analyze", ["kind"], "hesse"),
        ("analyze", ["hessian", "bins"], 1),
        ("reproduce", ["claims", 0, "chek"], "value"),
        ("reproduce", ["pieces", 0, "kind"], "training"),
        ("reproduce", ["pieces", 0, "seconds"], "{seconds} or more"),
        ("reproduce", ["measures", "accuracy", "percent"], 1),
        ("reproduce", ["presets", "smoke", "about"], None),
        ("reproduce", ["figure"], None),
    ],
    ids=str,
)
def test_they_refuse_a_slip(command, path, value):
    data = json.loads(next(file for name, file in OTHERS if name == command).read_text())
    if command == "analyze":
        data = json.loads((CONFIGS / "analyze_hessian.json").read_text())
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMAS[f"schema_{command}.json"])


@pytest.mark.parametrize(
    ("name", "kind"), [("curve", CurveConfig), ("interpolate", InterpolationConfig)]
)
def test_a_config_with_all_its_defaults_fits_its_schema(name, kind):
    config = load_config(next((CONFIGS / "imagenet").glob(f"{name}*.json")), kind)
    jsonschema.validate(config.model_dump(mode="json"), SCHEMAS[f"schema_{name}.json"])


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
    jsonschema.validate(own, RUN)
    jsonschema.validate(config.model_dump(mode="json"), RUN)


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
        jsonschema.validate(data, RUN)
