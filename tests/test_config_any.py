"""Whatever stands in a config, it is a config or an error of one line."""

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st
from made_configs import run

from tfsparse.config import RunConfig, check, load_config
from tfsparse.errors import UserError

WORDS = [*RunConfig.model_fields, "steps", "epochs", "learning_rate", "schedule", "value", "warmup",
         "boundaries", "final_sparsity", "rules", "layers", "sparsity", "kind", "width", "args",
         "log_every", "strategy", "devices", "run", "base", "$schema", ""]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.integers(min_value=-(10**320), max_value=10**320),
    st.sampled_from(["pruned", "cosine", "steps", "constant", "30ep", "0.5ep", "exact", "a\0b"]),
)  # fmt: skip
KEYS = st.one_of(st.sampled_from(WORDS), st.text(max_size=6))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def places(data, path=()):
    """The key paths of all sections in `data`."""
    yield path
    for key, value in data.items():
        if isinstance(value, dict):
            yield from places(value, (*path, key))


FULL = check(
    run(
        name="full", method="pruned", pruning={"final_sparsity": 0.5}, mask={"sparsity": 0.5},
        growth={}, source={"run": "r"}, imp={},
        optimizer={"learning_rate": {"schedule": "steps", "value": 1, "boundaries": [1, 0.5]}},
    ),
    RunConfig,
    "full",
).model_dump(mode="json")  # fmt: skip
PLACES = list(places(FULL))


def load_any(path, overrides=()) -> RunConfig | None:
    """The config, or None when it was refused in one line."""
    try:
        return load_config(path, RunConfig, overrides)
    except UserError as error:
        text = str(error)
        assert "\n" not in text and text.strip() == text
        assert len(text) < 1000
        return None


def loads_again(config, path) -> None:
    path.write_text(json.dumps(config.model_dump(mode="json"), indent=2, allow_nan=False))
    again = load_config(path, RunConfig)
    assert again == config
    assert again.model_dump_json() == config.model_dump_json()


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(PLACES), KEYS, VALUES)
def test_any_value_at_any_key_is_a_config_or_one_line(tmp_path_factory, place, key, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    data = json.loads(json.dumps(FULL))
    section = data
    for part in place:
        section = section[part]
    section[key] = value
    path.write_text(json.dumps(data))
    config = load_any(path)
    if config is not None:
        loads_again(config, path)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_any_json_is_a_config_or_one_line(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "whole.json"
    path.write_text(json.dumps(value))
    load_any(path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=20) | st.builds("{}={}".format, KEYS, VALUES), max_size=3))
def test_any_overrides_give_a_config_or_one_line(tmp_path_factory, overrides):
    path = tmp_path_factory.getbasetemp() / "set.json"
    path.write_text(json.dumps(FULL))
    config = load_any(path, overrides)
    if config is not None:
        loads_again(config, path)


def test_the_printed_config_loads_to_the_same_config(written, tmp_path, capsys):
    from tfsparse.train import main

    path = written(
        run(model={"args": {"x": [1, 2.5, None, "ü"]}}, about="grün",
            optimizer={"learning_rate": {"schedule": "steps", "value": 1, "boundaries": [1, 1.0]}},
            train={"epochs": 1, "log_every": "2ep", "evaluate_every": None,
                   "checkpoint_every": 1.0}),
        "run.json",
    )  # fmt: skip
    assert main(["--config", str(path), "--print-config", "--set", "seed=3"]) == 0
    printed = capsys.readouterr().out
    config = load_config(path, RunConfig, ["seed=3"])
    assert load_config(written(printed, "printed.json"), RunConfig) == config
    data = json.loads(printed)
    assert data["name"] == "run"
    assert data["optimizer"]["learning_rate"]["boundaries"] == [1, 1.0]
    assert isinstance(data["optimizer"]["learning_rate"]["boundaries"][1], float)
    assert math.isclose(data["train"]["checkpoint_every"], 1.0)
    loads_again(config, tmp_path / "again.json")
