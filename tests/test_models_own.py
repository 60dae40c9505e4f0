"""A user's own model: any function of any module, or one line where it cannot be trained."""

import sys

import keras as keras_3
import pytest
from test_models import make, refusal

from tfsparse.errors import UserError
from tfsparse.models import (
    check_model,
    get_weights,
    kernel_shapes,
    maskable_layers,
    set_weights,
)

OWN = """
import tf_keras as keras
layers = keras.layers

def build(input_shape, num_classes, hidden=3, width=1.0):
    return keras.Sequential([
        keras.Input(input_shape), layers.Flatten(),
        layers.Dense(int(hidden * width), activation="relu"), layers.Dense(num_classes),
    ])

def functional(input_shape, num_classes):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, layers.Dense(num_classes)(layers.Flatten()(inputs)))

def keras_3(input_shape, num_classes):
    import keras
    layers = [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    return keras.Sequential(layers)

def nested(input_shape, num_classes):
    inner = keras.Sequential([layers.Flatten(), layers.Dense(4)], name="backbone")
    return keras.Sequential([keras.Input(input_shape), inner, layers.Dense(num_classes)])

class Sub(keras.Model):
    def call(self, inputs):
        return inputs

def subclass(input_shape, num_classes):
    return Sub()

def unbuilt(input_shape, num_classes):
    return keras.Sequential([layers.Flatten(), layers.Dense(num_classes)])

def two_outputs(input_shape, num_classes):
    inputs = keras.Input(input_shape)
    flat = layers.Flatten()(inputs)
    return keras.Model(inputs, [layers.Dense(num_classes)(flat), layers.Dense(1)(flat)])

def other_classes(input_shape, num_classes):
    return build(input_shape, num_classes + 1)

def other_input(input_shape, num_classes):
    return build((5, 5, 1), num_classes)

def two_inputs(input_shape, num_classes):
    both = [keras.Input(input_shape), keras.Input(input_shape)]
    flat = layers.Flatten()(layers.Add()(both))
    return keras.Model(both, layers.Dense(num_classes)(flat))

def any_size(input_shape, num_classes):
    inputs = keras.Input((None, None, input_shape[-1]))
    return keras.Model(inputs, layers.Dense(num_classes)(layers.GlobalAveragePooling2D()(inputs)))

def nothing(input_shape, num_classes):
    pass

def broken(input_shape, num_classes):
    raise RuntimeError("no\\nGPU")

number = 3
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The working folder holds the user's modules `own_models` and `own_package.inner`."""
    (tmp_path / "own_models.py").write_text(OWN)
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "inner.py").write_text(OWN)
    (tmp_path / "own_wrong.py").write_text("import numpy\n1 / 0\n")
    (tmp_path / "own_syntax.py").write_text("def build(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    yield
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


@pytest.mark.parametrize("module", ["own_models", "own_package.inner"])
def test_any_function_that_returns_a_model_will_do(own, module):
    model = make(f"{module}:build", args={"hidden": 6})
    assert [shape[-1] for shape in kernel_shapes(model).values()] == [6, 10]
    assert [s[-1] for s in kernel_shapes(make(f"{module}:build", width=2.0)).values()] == [6, 10]
    assert len(maskable_layers(make(f"{module}:functional"))) == 1
    assert len(maskable_layers(make(f"{module}:any_size"))) == 1


def test_a_model_without_layer_names_has_the_same_names_every_time(own):
    first, second = make("own_models:build"), make("own_models:build")
    assert list(get_weights(first)) == list(get_weights(second))
    set_weights(second, get_weights(first))


OWN_REFUSALS = {
    "keras_3": "expected a Keras 2 model (tf_keras.Sequential or tf_keras.Model), received "
               "keras.src.models.sequential.Sequential; build it with `import tf_keras as keras`",
    "nested": "expected plain layers, layer 'backbone' is a model; inline it",
    "subclass": "expected a Sequential or functional model, not a subclass",
    "unbuilt": "expected a Sequential or functional model",
    "two_outputs": "expected output shape (None, 10), received",
    "other_classes": "expected output shape (None, 10), received (None, 11)",
    "two_inputs": "expected input shape (None, 28, 28, 1), received [(None",
    "other_input": "expected input shape (None, 28, 28, 1), received (None, 5, 5, 1)",
    "nothing": "expected a Keras 2 model (tf_keras.Sequential or tf_keras.Model), received",
    "broken": "cannot be built for 28x28x1 inputs with {}: no GPU",
    "number": "model.name: module 'own_models' has no function 'number'",
    "missing": "model.name: module 'own_models' has no function 'missing'",
    "": "model.name: module 'own_models' has no function ''",
}  # fmt: skip


@pytest.mark.parametrize("function", OWN_REFUSALS)
def test_models_that_cannot_be_trained_are_refused(own, function):
    assert OWN_REFUSALS[function] in refusal(f"own_models:{function}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_missing:build", "model.name: cannot import 'own_missing' of 'own_missing:build': No"),
        ("own_wrong:build", "model.name: cannot import 'own_wrong' of 'own_wrong:build': division"),
        ("own_syntax:build", "model.name: cannot import 'own_syntax' of "),
        (":build", "model.name: cannot import '' of ':build': "),
        (".own_models:build", "model.name: cannot import '.own_models' of "),
    ],
)
def test_modules_that_cannot_be_imported_are_refused(own, name, message):
    assert refusal(name).startswith(message)


def test_unknown_models_and_arguments_are_refused():
    text = refusal("lenet5")
    assert text.startswith("model.name: unknown model 'lenet5'; did you mean 'lenet_5'? expected")
    assert "resnet_50" in text and "'package.module:function'" in text
    assert "cannot be built for 28x28x1 inputs with {'depht': 3" in refusal(
        "resnet_20", args={"depht": 3}
    )
    assert "cannot be built for 4x4x1 inputs" in refusal("lenet_5", (4, 4, 1))


def test_a_keras_3_model_is_refused_with_a_clear_line():
    model = keras_3.Sequential([keras_3.Input((3,)), keras_3.layers.Dense(2)])
    with pytest.raises(UserError, match="here: expected a Keras 2 model"):
        check_model(model, 2, "here")
