"""One table: method name -> which masks, which initial weights, which training.

A method turns a freshly built model into the `Subject` the training loop works on.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import tensorflow as tf
import tf_keras as keras

from tfsparse.config import RunConfig
from tfsparse.errors import UserError
from tfsparse.models import kernel_shapes
from tfsparse.plan import Plan
from tfsparse.seeds import named_seed
from tfsparse.sources import Source
from tfsparse.sparsity.at_init import masks_at_init
from tfsparse.sparsity.draw import draw_masks
from tfsparse.sparsity.masks import Masks
from tfsparse.sparsity.subject import Subject
from tfsparse.sparsity.topologies import StarvedNeurons
from tfsparse.sparsity.topology_masks import topology_masks, topology_radix_layers
from tfsparse.starts import (
    from_end,
    from_ticket,
    initialise,
    other_than,
    rescale,
    zero_outside,
)
from tfsparse.subjects import (
    dynamic_subject,
    masked_subject,
    pruned_subject,
    topology_subject,
)

Sections = Literal["pruning", "mask", "topology", "growth", "source", "imp"]


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        mask: where the mask comes from: nowhere, a pruning schedule, the source run, a cut of
            the source's final weights, a draw, a topology, or scores at initialisation.
        weights: the run's own initial weights, another initialisation than the source's (also
            at the same seed), the source's weights at its rewind step, or its final ones.
        training: dense (the mask, if any, only zeroes initial weights), masked, compact (masked
            or with one stored weight per connection, whichever is faster), pruned, dynamic.
        needs: config sections that must be there.
        takes: sections that may be there.
        about: in a word.
    """

    mask: Literal["none", "schedule", "source", "cut", "drawn", "topology", "scored"]
    weights: Literal["own", "other", "ticket", "final"]
    training: Literal["dense", "masked", "compact", "pruned", "dynamic"]
    needs: tuple[Sections, ...] = ()
    takes: tuple[Sections, ...] = ()
    about: str = ""


METHODS: dict[str, Method] = {
    "dense": Method("none", "own", "dense", about="no mask"),
    "pruned": Method(
        "schedule", "own", "pruned", ("pruning",), about="gradual magnitude pruning (tfmot)"
    ),
    "iterative": Method(
        "schedule", "own", "pruned", ("pruning",), about="paper 2's name for gradual pruning"
    ),
    "one_shot": Method(
        "cut", "final", "masked", ("source", "mask"), about="one cut of a trained network"
    ),
    "lottery": Method(
        "source", "ticket", "masked", ("source",), about="mask and initial weights of one run"
    ),
    "scratch": Method(
        "source", "other", "masked", ("source",), about="the same mask, another initialisation"
    ),
    "retrain": Method("source", "other", "masked", ("source",), about="paper 2's name for scratch"),
    "sparse_init": Method(
        "source", "ticket", "dense", ("source",), about="initial weights times mask, then dense"
    ),
    "random_sparse_init": Method(
        "drawn", "own", "dense", ("mask",), about="a random part of the initial weights zeroed"
    ),
    "random": Method(
        "drawn", "own", "masked", ("mask",), ("source",), about="a random or given mask"
    ),
    "topology": Method(
        "topology", "own", "compact", ("topology",), about="RadiX-Nets and random sparse layers"
    ),
    "imp_round": Method(
        "cut",
        "ticket",
        "masked",
        ("source", "mask"),
        about="one round of iterative magnitude pruning: cut the source, rewind",
    ),
    "imp": Method(
        "none", "own", "dense", ("imp",), about="iterative magnitude pruning with rewinding"
    ),
    "small_dense": Method(
        "none", "own", "dense", ("mask",), about="a dense net with as many parameters"
    ),
    "set": Method("drawn", "own", "dynamic", ("mask", "growth"), ("source",), "random regrowth"),
    "rigl": Method(
        "drawn", "own", "dynamic", ("mask", "growth"), ("source",), "largest gradients regrow"
    ),
    "rigl_inverted": Method(
        "drawn", "own", "dynamic", ("mask", "growth"), ("source",), "smallest gradients regrow"
    ),
    "snfs": Method(
        "drawn", "own", "dynamic", ("mask", "growth"), ("source",), "largest momenta regrow"
    ),
    "snip": Method("scored", "own", "masked", ("mask",), about="kept by |w g| at initialisation"),
    "grasp": Method("scored", "own", "masked", ("mask",), about="kept by gradient flow"),
}

Batch = tuple[tf.Tensor, tf.Tensor]


@dataclass(frozen=True)
class Prepared:
    """A method made ready: the subject and what it was made of."""

    subject: Subject
    sources: Mapping[str, Any]


def check_sections(config: RunConfig) -> Method:
    """The method's row, after checking that the config has its sections and no others.

    Raises:
        UserError: a section is missing, or would have no effect.
    """
    method = METHODS[config.method]
    for section in get_args(Sections):
        given = getattr(config, section) is not None
        if section in method.needs and not given:
            raise UserError(f"method {config.method!r}: expected a section {section!r}")
        if given and section not in (*method.needs, *method.takes):
            raise UserError(
                f"method {config.method!r}: section {section!r} has no effect; remove it"
            )
    return method


def init_seed(config: RunConfig) -> int:
    """The seed of the weights a model is built with.

    Runs of one seed start from the same weights, except those whose point is to start from
    others than their source: they differ from it at the same seed, too.
    """
    return named_seed(config.seed, "other_init" if _starts_elsewhere(config) else "init")


def _starts_elsewhere(config: RunConfig) -> bool:
    """Whether the run starts from other weights than its source, of whose mask it is no ticket."""
    on_its_mask = config.mask is not None and config.mask.kind == "source"
    return on_its_mask or METHODS[config.method].weights == "other"


def prepare(
    config: RunConfig, model: keras.Model, plan: Plan, first_batch: Callable[[], Batch]
) -> Prepared:
    """Turn `model` into the subject of the config's method.

    Args:
        config: of the run.
        model: freshly built with `init_seed`.
        plan: the run's steps.
        first_batch: gives images (float32) and labels for methods that score at initialisation.

    Raises:
        UserError: a source that does not fit, masks that cannot be made, or a schedule beyond
            the run's end.
    """
    method = check_sections(config)
    source = None
    if config.source is not None:
        source = Source(config.source.run.format(seed=config.seed), config)
    seed = init_seed(config)
    if method.training == "pruned" or method.mask == "scored":
        initialise(model, config.init, {}, seed)
    if method.training == "pruned":
        return Prepared(pruned_subject(config, model, plan), {})
    if method.mask == "scored":
        masks = _scored(config, model, first_batch)
    else:
        masks = _masks(config, method, model, source)
    sources = _start(config, method, model, source, masks)
    if method.training == "masked":
        return Prepared(masked_subject(config, model, masks), sources)
    if method.training == "compact":
        assert config.topology is not None  # check_sections
        radix = topology_radix_layers(kernel_shapes(model), config.topology)
        return Prepared(topology_subject(config, model, masks, radix), sources)
    zero_outside(model, masks)
    if method.training == "dynamic":
        return Prepared(dynamic_subject(config, model, masks, plan), sources)
    return Prepared(Subject(model, plain=lambda: model), sources)


def _start(
    config: RunConfig, method: Method, model: keras.Model, source: Source | None, masks: Masks
) -> dict[str, Any]:
    """Give `model` the weights the method starts from; what the summary records of the source."""
    if method.weights == "final":
        assert source is not None  # check_sections
        return from_end(source, model)
    if method.weights == "ticket":
        assert source is not None  # check_sections
        record = from_ticket(source, config, model)
        rescale(model, config.init, masks)
        return record
    initialise(model, config.init, masks, init_seed(config))
    if _starts_elsewhere(config):
        assert source is not None  # check_sections, and the mask
        return other_than(source, config, model)
    return source.record() if source is not None else {}


def _scored(config: RunConfig, model: keras.Model, first_batch: Callable[[], Batch]) -> Masks:
    if config.mask is None or config.mask.sparsity is None:
        raise UserError(f"method {config.method!r}: expected mask.sparsity")
    algorithm: Any = config.method
    return masks_at_init(algorithm, model, *first_batch(), config.mask.sparsity)


def _masks(config: RunConfig, method: Method, model: keras.Model, source: Source | None) -> Masks:
    shapes = kernel_shapes(model)
    if method.mask == "source":
        assert source is not None and config.source is not None
        return source.masks(shapes, config.source.mask_hash)
    if method.mask == "topology":
        assert config.topology is not None  # check_sections
        with warnings.catch_warnings():  # the subject's notes say so in a sentence
            warnings.simplefilter("ignore", StarvedNeurons)
            return topology_masks(shapes, config.topology, config.seed)
    if method.mask not in ("cut", "drawn"):
        return {}
    assert config.mask is not None
    weights = source.final_weights() if method.mask == "cut" and source else {}
    return draw_masks(
        config.mask,
        shapes,
        seed=named_seed(config.seed, "mask"),
        kernels={name: weights[f"{name}/kernel"] for name in shapes if weights},
        source_masks=source.masks(shapes) if source and method.mask == "drawn" else None,
    )
