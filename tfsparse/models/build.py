"""From a model's config to a Keras model with seeded weights."""

import contextlib
import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import tf_keras as keras

from tfsparse.config import ModelConfig
from tfsparse.errors import UserError, one_line
from tfsparse.models.lenet import lenet_5, lenet_5_caffe, lenet_300_100
from tfsparse.models.mobilenet import mobilenet_v1
from tfsparse.models.resnet import resnet_50, resnet_cifar
from tfsparse.models.vgg import vgg_16

ZOO: dict[str, Callable[..., keras.Model]] = {
    "lenet_300_100": lenet_300_100,
    "lenet_5": lenet_5,
    "lenet_5_caffe": lenet_5_caffe,
    "resnet_20": partial(resnet_cifar, depth=20),
    "resnet_32": partial(resnet_cifar, depth=32),
    "resnet_56": partial(resnet_cifar, depth=56),
    "resnet_50": resnet_50,
    "vgg_16": vgg_16,
    "mobilenet_v1": mobilenet_v1,
}


def build(
    config: ModelConfig,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    seed: int,
    precision: str = "float32",
) -> keras.Model:
    """A functional or Sequential model from float images to logits.

    Args:
        config: the architecture; `package.module:function` names the user's own function of
            (input_shape, num_classes, **args).
        input_shape: (height, width, channels).
        num_classes: number of logits.
        seed: of the initial weights; the same seed gives the same weights.
        precision: `float32` or `mixed_bfloat16` (variables stay float32).

    Raises:
        UserError: unknown name, arguments the builder refuses, inputs too small, or a model
            of another kind than expected.
    """
    builder, arguments = _builder(config)
    origin = f"model {config.name!r}"
    with _policy(precision):
        keras.utils.set_random_seed(seed)
        keras.backend.reset_uids()  # layers without a name get the same one in every build
        try:
            model = builder(input_shape, num_classes, **arguments)
        except UserError:
            raise
        except Exception as error:  # whatever a user's own function raises
            shape = "x".join(map(str, input_shape))
            raise UserError(
                f"{origin}: cannot be built for {shape} inputs with {arguments}: {one_line(error)}"
            ) from error
    check_model(model, num_classes, origin)
    expected, received = (None, *input_shape), model.input_shape
    if len(received) != len(expected) or any(
        size not in (None, wanted) for size, wanted in zip(received, expected, strict=True)
    ):
        raise UserError(f"{origin}: expected input shape {expected}, received {received}")
    return model


def check_model(model: Any, num_classes: int, origin: str) -> None:
    """Raise a UserError unless `model` is one this package can train and mask."""
    if not isinstance(model, keras.Model):
        kind = f"{type(model).__module__}.{type(model).__name__}"
        raise UserError(
            f"{origin}: expected a Keras 2 model (tf_keras.Sequential or tf_keras.Model), "
            f"received {kind}; build it with `import tf_keras as keras`"
        )
    if not getattr(model, "_is_graph_network", False):
        raise UserError(f"{origin}: expected a Sequential or functional model, not a subclass")
    inner = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    if inner:
        raise UserError(
            f"{origin}: expected plain layers, layer {inner[0]!r} is a model; inline it"
        )
    if tuple(model.output_shape) != (None, num_classes):
        raise UserError(
            f"{origin}: expected output shape (None, {num_classes}), received {model.output_shape}"
        )


def _builder(config: ModelConfig) -> tuple[Callable[..., Any], dict[str, Any]]:
    if ":" in config.name:
        arguments = dict(config.args)
        if config.width != 1.0:
            arguments["width"] = config.width
        if config.relu_logits:
            arguments["relu_logits"] = True
        return _imported(config.name), arguments
    if config.name not in ZOO:
        near = difflib.get_close_matches(config.name, ZOO, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"model.name: unknown model {config.name!r}; {hint}expected one of "
            f"{', '.join(ZOO)} or your own 'package.module:function'"
        )
    return ZOO[config.name], {
        **config.args,
        "width": config.width,
        "relu_logits": config.relu_logits,
    }


def _imported(name: str) -> Callable[..., Any]:
    module_name, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:  # a console script does not look in the working folder
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may fail in any way
        raise UserError(
            f"model.name: cannot import {module_name!r} of {name!r}: {one_line(error)}"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise UserError(f"model.name: module {module_name!r} has no function {function_name!r}")
    return function


@contextlib.contextmanager
def _policy(precision: str) -> Iterator[None]:
    """Build layers under a dtype policy; Keras takes it from a global, put back at the end."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
