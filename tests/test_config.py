"""A config is right, or refused in one line: key, expected, received, nearest."""

import json

import pytest
from made_configs import run

from tfsparse.config import RunConfig, TrainConfig, check, load_config, merge, resolve_step
from tfsparse.errors import UserError

STEP = "expected a number of steps >= 0, a fraction of training in [0.0, 1.0] or '30ep'"


def rate(**keys):
    return run(optimizer={"learning_rate": keys})


def refusal(path, *overrides) -> str:
    """The one line with which a config is refused, without the file's name."""
    with pytest.raises(UserError) as caught:
        load_config(path, RunConfig, overrides)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 700
    return text.removeprefix(f"{path}: ")


# ---- what is right -----------------------------------------------------------------------


def test_the_smallest_config_has_the_documented_defaults(written):
    config = load_config(written(run(), "my-run_1.json"), RunConfig)
    assert config.name == "my-run_1"
    assert (config.method, config.seed, config.run_dir) == ("dense", 0, "runs")
    assert (config.model.name, config.model.width, config.data.name) == ("lenet_5", 1.0, "digits")
    assert config.optimizer.learning_rate.schedule == "constant"
    assert (config.train.steps, config.train.epochs, config.train.batch_size) == (10, None, 128)
    assert config.pruning is None
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3


def test_whole_numbers_are_numbers_and_a_number_is_a_constant_rate(written):
    data = run(optimizer={"learning_rate": 1}, model={"width": 2}, train={"epochs": 3})
    config = load_config(written(data), RunConfig)
    assert config.optimizer.learning_rate.model_dump() == {"schedule": "constant", "value": 1.0}
    assert isinstance(config.model.width, float)
    assert config.train.epochs == 3.0


@pytest.mark.parametrize(
    ("value", "step"),
    [(0, 0), (7, 7), (1, 1), (1.0, 1000), (0.25, 250), (0.0, 0), (0.0004, 0), ("3ep", 300),
     ("0.5ep", 50), (".5ep", 50), ("2.ep", 200), ("0ep", 0), (2**31 - 1, 2**31 - 1)],
)  # fmt: skip
def test_steps_fractions_and_epochs(value, step):
    train = check({"steps": 1000, "log_every": value}, TrainConfig, "here")
    assert train.log_every == value
    assert type(train.log_every) is type(value)
    assert resolve_step(train.log_every, total_steps=1000, steps_per_epoch=100) == step


@pytest.mark.parametrize(
    "value",
    [None, True, "10", "ep", "-1ep", "1 ep", " 1ep", "1_0ep", "nanep", "infep", "1e3ep", "٣ep",
     "9" * 400 + "ep", "1000001ep", -1, 2**31, 1.5, -0.1, [1], {"a": 1}, "3epoch"],
)  # fmt: skip
def test_other_points_in_training_are_refused(written, value):
    path = written(run(train={"steps": 10, "log_every": value}))
    shown = json.dumps(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    assert refusal(path) == f"train.log_every: {STEP}, received {shown}"


# ---- what is wrong -----------------------------------------------------------------------

UNKNOWN = [
    (run(sed=1), "unknown key 'sed'; did you mean 'seed'?"),
    (run(modle={}), "unknown key 'modle'; did you mean 'model'?"),
    (run(optimizer={"learning_rat": 1}),
     "optimizer: unknown key 'learning_rat'; did you mean 'learning_rate'?"),
    (rate(schedule="cosine", value=1, warmpu=3),
     "optimizer.learning_rate: unknown key 'warmpu'; did you mean 'warmup'?"),
    (run(pruning={"final_sparsity": 0.5, "rules": [{"layers": "a", "exclud": True}]}),
     "pruning.rules.0: unknown key 'exclud'; did you mean 'exclude'?"),
    (run(model={"zzz": 1}),
     "model: unknown key 'zzz'; expected one of: name, width, relu_logits, args"),
    (run(**{"\n\x1b[2J": 1}), "unknown key '\\n\\x1b[2J'; expected one of: name, about, "),
    (run(**{"k" * 100_000: 1}), "unknown key '" + "k" * 80 + "'; expected one of: name, "),
]  # fmt: skip

WRONG_TYPES = [
    (run(seed="1"), 'seed: expected a whole number, received "1"'),
    (run(seed=True), "seed: expected a whole number, received true"),
    (run(seed=1.0), "seed: expected a whole number, received 1.0"),
    (run(seed=None), "seed: expected a whole number, received null"),
    (run(train={"steps": "10"}), 'train.steps: expected a whole number, received "10"'),
    (run(train={"epochs": True}), "train.epochs: expected a number, received true"),
    (run(model={"width": "1"}), 'model.width: expected a number, received "1"'),
    (run(model={"name": 5}), "model.name: expected text, received 5"),
    (run(model={"relu_logits": 1}), "model.relu_logits: expected true or false, received 1"),
    (run(model={"relu_logits": "true"}),
     'model.relu_logits: expected true or false, received "true"'),
    (run(model={"args": [1]}), "model.args: expected a section {...}, received [1]"),
    (run(model=3), "model: expected a section {...}, received 3"),
    (run(train=[]), "train: expected a section {...}, received []"),
    (run(about=["x"]), 'about: expected text, received ["x"]'),
    (run(pruning={"final_sparsity": "0.5"}),
     'pruning.final_sparsity: expected a number, received "0.5"'),
    (run(pruning={"final_sparsity": 0.5, "rules": {}}),
     "pruning.rules: expected a list, received {}"),
    (run(optimizer={"learning_rate": "0.1"}),
     "optimizer.learning_rate: expected a number or a section with a key 'schedule', "
     'received "0.1"'),
    (run(optimizer={"learning_rate": True}),
     "optimizer.learning_rate: expected a number or a section with a key 'schedule', "
     "received true"),
    (rate(schedule="steps", value=1, boundaries=[1, "a"]),
     f'optimizer.learning_rate.boundaries.1: {STEP}, received "a"'),
]  # fmt: skip

OUT_OF_RANGE = [
    (run(seed=-1), "seed: expected a number greater than or equal to 0, received -1"),
    (run(seed=2**31), "seed: expected a number less than 2147483648, received 2147483648"),
    (run(train={"steps": 2**31}),
     "train.steps: expected a number less than or equal to 2147483647, received 2147483648"),
    (run(train={"epochs": 0}), "train.epochs: expected a number greater than 0, received 0"),
    (run(train={"steps": 1, "batch_size": 0}),
     "train.batch_size: expected a number greater than or equal to 1, received 0"),
    (run(pruning={"final_sparsity": 1.0}),
     "pruning.final_sparsity: expected a number less than 1, received 1.0"),
    (run(pruning={"final_sparsity": 80}),
     "pruning.final_sparsity: expected a number less than 1, received 80"),
    (run(optimizer={"learning_rate": -3}),
     "optimizer.learning_rate: expected a number greater than 0, received -3"),
    (run(optimizer={"momentum": 1}),
     "optimizer.momentum: expected a number less than 1, received 1"),
    (run(run_dir=""), 'run_dir: expected at least 1 character, received ""'),
    (run(run_dir="a\0b"),
     'run_dir: expected text without NUL characters, received "a\\u0000b"'),
    (run(data={"image_size": 5000}),
     "data.image_size: expected a number less than or equal to 4096, received 5000"),
]  # fmt: skip

WRONG_WORDS = [
    (run(method="prund"), "received \"prund\"; did you mean 'pruned'?"),
    (run(method="xyz"), "or 'grasp', received \"xyz\""),
    (run(train={"steps": 1, "precision": "float16"}),
     "train.precision: expected 'float32' or 'mixed_bfloat16', received \"float16\"; "
     "did you mean 'float32'?"),
    (rate(schedule="cosin", value=1),
     "optimizer.learning_rate.schedule: expected one of 'constant', 'steps', 'cosine', "
     "received \"cosin\"; did you mean 'cosine'?"),
    (rate(value=1), "optimizer.learning_rate: expected a key 'schedule', received {\"value\": 1}"),
    (rate(schedule=["cosine"], value=1),
     "optimizer.learning_rate.schedule: expected one of 'constant', 'steps', 'cosine', received ["),
]  # fmt: skip

DISAGREEING = [
    ({}, "train: expected a value, received nothing"),
    (run(train={}),
     "train: expected exactly one of train.steps and train.epochs, received neither"),
    (run(train={"steps": 1, "epochs": 1}),
     "train: expected exactly one of train.steps and train.epochs, received both; set one of them"),
    (rate(schedule="cosine"), "optimizer.learning_rate.value: expected a value, received nothing"),
    (run(pruning={"final_sparsity": 0.5, "initial_sparsity": 0.6}),
     "pruning.initial_sparsity: expected at most final_sparsity 0.5, received 0.6"),
    (run(pruning={"final_sparsity": 0.5, "rules": [{"layers": "a"}]}),
     "pruning.rules.0: expected exactly one of exclude: true, max_sparsity and sparsity, "
     'received {"layers": "a"}'),
    (run(optimizer={"name": "adam", "nesterov": True}),
     "optimizer.nesterov: expected optimizer 'sgd', received 'adam'"),
    (run(mask={}), "mask: expected mask.sparsity for kind 'exact', received {}"),
    (run(model={"args": {"width": 0.5}}),
     "model.args: expected 'width' as a key of the model, not among its args, received {"),
    (run(source={}), "source.run: expected a value, received nothing"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "expected"),
    [*UNKNOWN, *WRONG_TYPES, *OUT_OF_RANGE, *WRONG_WORDS, *DISAGREEING],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_what_is_wrong_is_named_with_what_was_expected(written, data, expected):
    text = refusal(written(data))
    assert expected in text
    if not expected.startswith(("received", "or ")):
        assert text.startswith(expected)


def test_of_several_errors_one_is_shown_and_the_rest_are_counted(written):
    text = refusal(written(run(seed=-1, model={"width": 0}, method="x")))
    assert text == "model.width: expected a number greater than 0, received 0 (and 2 more)"


@pytest.mark.parametrize("name", ["a/b", "..", "", ".x", "a b", "a\n", "ä", "x" * 3 + "\0"])
def test_names_that_are_no_folder_are_refused(written, name):
    text = refusal(written(run(name=name)))
    assert text.startswith("name: expected ")
    assert text.endswith(f"received {json.dumps(name)}")


def test_a_file_name_that_is_no_run_name_says_where_the_name_came_from(written):
    text = refusal(written(run(), "c (1).json"))
    assert '(default: the config file\'s name), received "c (1)"' in text
    assert load_config(written(run(name="fine"), "c (1).json"), RunConfig).name == "fine"


def test_malformed_json_has_line_and_column(written):
    text = refusal(written('{\n  "train": {"steps": 1},\n}'))
    assert text.startswith("malformed JSON at line ")
    assert refusal(written('{"seed" 1}')).startswith("malformed JSON at line 1 column 9: ")
    assert refusal(written('{"seed": 1, "seed": 2}')) == "malformed JSON: key 'seed' is given twice"
    assert "NaN is not a JSON number" in refusal(written('{"train": {"epochs": NaN}}'))
    assert "nested too deeply" in refusal(written('{"model": ' * 100_000))
    nested = '{"train": {"steps": 1}, "model": {"args": {"x": ' + "[" * 300 + "]" * 300 + "}}}"
    assert "nested too deeply" in refusal(written(nested))
    assert refusal(written("[1]")) == "expected a JSON object {...}, received [1]"


def test_files_that_cannot_be_read_are_named(tmp_path):
    assert refusal(tmp_path / "no.json") == "no such file; expected a readable file"
    assert refusal(tmp_path) == "expected a file, received a folder"
    (tmp_path / "latin.json").write_bytes('{"about": "ü"}'.encode("latin-1"))
    assert refusal(tmp_path / "latin.json") == "expected UTF-8 text, byte 11 is not"
    assert "not a file name" in refusal(tmp_path / "a\0.json")


# ---- base --------------------------------------------------------------------------------


def test_sections_are_laid_over_the_base_key_by_key(written):
    base = {"name": "base", "about": "the base", "seed": 7, "model": {"width": 0.5},
            "optimizer": {"momentum": 0.5, "learning_rate": {"schedule": "cosine", "value": 1}},
            "train": {"epochs": 2, "save_weights_at": [1, 2]}}  # fmt: skip
    written(base, "base/b.json")
    config = load_config(
        written({"$schema": "s.json", "base": "base/b.json", "model": {"relu_logits": True},
                 "optimizer": {"learning_rate": {"value": 3}}, "train": {"save_weights_at": [5]}},
                "mine.json"),
        RunConfig,
    )  # fmt: skip
    assert (config.name, config.about, config.seed) == ("mine", "", 7)  # the base's are its own
    assert (config.model.width, config.model.relu_logits) == (0.5, True)
    assert config.optimizer.learning_rate.model_dump() == {
        "schedule": "cosine", "value": 3.0, "warmup": 0, "final": 0.0
    }  # fmt: skip
    assert config.train.save_weights_at == (5,)  # lists replace


def test_null_takes_a_section_of_the_base_away(written):
    written(run(pruning={"final_sparsity": 0.5}), "b.json")
    assert load_config(written({"base": "b.json", "pruning": None}), RunConfig).pruning is None
    assert load_config(written({"base": "b.json"}), RunConfig).pruning is not None


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": 3}, {"a": 3}),
        ({"a": 3}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"r": {"schedule": "cosine", "final": 1}}, {"r": {"schedule": "steps", "factor": 2}},
         {"r": {"schedule": "steps", "factor": 2}}),
        ({"r": {"schedule": "cosine", "final": 1}}, {"r": {"schedule": "cosine", "value": 2}},
         {"r": {"schedule": "cosine", "final": 1, "value": 2}}),
        ({"m": {"kind": "exact", "sparsity": 1}}, {"m": {"kind": "file", "file": "x"}},
         {"m": {"kind": "file", "file": "x"}}),
        ({"m": {"name": "a", "args": {"x": 1}}}, {"m": {"name": "b"}}, {"m": {"name": "b"}}),
    ],
)  # fmt: skip
def test_merging(base, over, result):
    before = json.dumps([base, over])
    assert merge(base, over) == result
    assert json.dumps([base, over]) == before


def test_bases_that_cannot_be_used_are_named(written, tmp_path):
    written({"base": "other.json", "seed": 1}, "b.json")
    child = written(run(base="b.json"))
    assert refusal(child) == (
        f"{tmp_path / 'b.json'}: a base has no base of its own; remove its key 'base'"
    )
    for name in (3, None, ["b.json"]):
        child = written(run(base=name))
        assert refusal(child) == f"base: expected a file name, received {json.dumps(name)}"
    missing = tmp_path / "no.json"
    assert refusal(written(run(base="no.json"))).startswith(f"base: {missing}: no such file")
    assert "expected a file, received a folder" in refusal(written(run(base="")))
    written("{", "b.json")
    assert "b.json: malformed JSON at line 1 column 2" in refusal(written(run(base="b.json")))


# ---- --set -------------------------------------------------------------------------------


def test_overrides_are_json_or_else_text(written):
    path = written(run(model={"width": 0.5}))
    config = load_config(
        path,
        RunConfig,
        ["model.name=lenet_300_100", "seed=5", "train.batch_size=7", "data.augment=true",
         "pruning.final_sparsity=0.25", "about=a=b, c", "optimizer.learning_rate=0.5",
         "train.steps=null", "train.epochs=2", "seed=6", 'model.args={"fixed_std": true}'],
    )  # fmt: skip
    assert (config.model.name, config.model.width) == ("lenet_300_100", 0.5)
    assert config.model.args == {"fixed_std": True}
    assert (config.seed, config.train.batch_size, config.data.augment) == (6, 7, True)
    assert config.pruning.final_sparsity == 0.25
    assert config.about == "a=b, c"
    assert config.optimizer.learning_rate.value == 0.5
    assert (config.train.steps, config.train.epochs) == (None, 2.0)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", '--set: expected key=value such as seed=1, received "seed"'),
        ("", '--set: expected key=value such as seed=1, received ""'),
        ("=1", '--set: expected key=value such as seed=1, received "=1"'),
        ("a..b=1", '--set: expected key=value such as seed=1, received "a..b=1"'),
        ("a" + ".a" * 100_000 + "=1", "--set: expected key=value such as seed=1, received "),
        ("model.name.x=1", "--set model.name.x: 'name' holds \"lenet_5\", not a section"),
        ("sed=1", "unknown key 'sed'; did you mean 'seed'?"),
        ("model.nam=x", "model: unknown key 'nam'; did you mean 'name'?"),
        ("seed=", 'seed: expected a whole number, received ""'),
        ('seed="1"', 'seed: expected a whole number, received "1"'),
        ("seed=NaN", 'seed: expected a whole number, received "NaN"'),
        ("model.width=Infinity", 'model.width: expected a number, received "Infinity"'),
        ("model.width=1e999", 'model.width: expected a number, received "1e999"'),
        ("seed=" + "[" * 100_000, 'seed: expected a whole number, received "[[['),
        ("seed=" + "9" * 5000, 'seed: expected a whole number, received "999'),
        ("optimizer.learning_rate.value=3",
         "optimizer.learning_rate: expected a key 'schedule', received"),
        ("train.epochs=2", "train: expected exactly one of train.steps and train.epochs, received"),
        ("name=\udc80", "name: expected letters, "),
        ("\udc80=1", "unknown key '?'; expected one of"),
    ],
    ids=lambda value: value[:30].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_overrides_that_are_wrong_are_refused(written, override, expected):
    assert refusal(written(run(model={"name": "lenet_5"})), override).startswith(expected)
