"""The kinds of sparse subject: gradually pruned, with a constant mask, sparse by a topology, with
moving masks."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tfsparse.config import RunConfig
from tfsparse.models import kernel_shapes, maskable_layers
from tfsparse.plan import Plan, pruning_steps
from tfsparse.sparsity.compact_model import choose, compact
from tfsparse.sparsity.distributions import uniform
from tfsparse.sparsity.dynamic import Algorithm, DynamicSparsity
from tfsparse.sparsity.latency import latency_layers
from tfsparse.sparsity.layers import mask_variables, masked, strip
from tfsparse.sparsity.masks import (
    Masks,
    empty_layers,
    empty_neurons,
    kept_count,
    sparsity_of,
)
from tfsparse.sparsity.pruning import Pruning, PruningSchedule
from tfsparse.sparsity.rules import apply_rules
from tfsparse.sparsity.subject import Subject
from tfsparse.sparsity.topologies import RadixLayer
from tfsparse.sparsity.update_schedules import DropFraction, UpdateSchedule
from tfsparse.sparsity.updaters import check_can_grow


def pruned_subject(config: RunConfig, model: keras.Model, plan: Plan) -> Subject:
    """`model` under the gradual magnitude pruning of the config's `pruning` section.

    Raises:
        UserError: a schedule beyond the run's end, a rule that matches no layer, or a model that
            the pruning policy rejects.
    """
    pruning = config.pruning
    assert pruning is not None
    shapes = kernel_shapes(model)
    ruled = apply_rules(uniform(shapes, pruning.final_sparsity), pruning.rules, shapes)
    allowed = shapes if pruning.policy is None else latency_layers(model)
    final = {name: sparsity for name, sparsity in ruled.items() if sparsity > 0 and name in allowed}
    steps = pruning_steps(pruning, plan)
    schedule = PruningSchedule(
        steps.begin_step,
        steps.end_step,
        steps.frequency,
        final,
        pruning.initial_sparsity,
        pruning.power,
        pruning.final_update,
    )
    rewritten = Pruning(model, schedule)
    return Subject(
        model=rewritten.stripped,
        plain=rewritten.plain,
        masks=rewritten.masks,
        updates=rewritten,
        mask_gradients=not pruning.revival,
        revival=pruning.revival,
        tracked={"wrapped": rewritten.wrapped},
        nominal_sparsity=pruning.final_sparsity,
        target={name: kept_count(int(np.prod(shapes[name])), s) for name, s in final.items()},
        notes=_schedule_notes(schedule),
    )


def _schedule_notes(schedule: PruningSchedule) -> tuple[str, ...]:
    last = (schedule.end_step - schedule.begin_step) // schedule.frequency * schedule.frequency
    last += schedule.begin_step
    if last == schedule.end_step:
        return ()
    text = (
        f"pruning.frequency {schedule.frequency} does not divide the span from step "
        f"{schedule.begin_step} to {schedule.end_step}: the last regular update is at {last}"
    )
    if schedule.final_update:
        return (f"{text}; one more is made at {schedule.end_step}",)
    return (f"{text} and the target will be missed; set pruning.final_update to true",)


def masked_subject(config: RunConfig, model: keras.Model, masks: Masks) -> Subject:
    """The masked twin of `model` under constant masks."""
    twin = masked(model, masks)
    empty = empty_layers(masks)
    notes = tuple(f"layer {name!r} has no weight left: no signal passes it" for name in empty)
    return Subject(
        model=twin,
        plain=lambda: strip(twin),
        masks=mask_variables(twin),
        nominal_sparsity=_nominal(config, masks),
        target={name: int(np.count_nonzero(mask)) for name, mask in masks.items()},
        notes=notes,
    )


def topology_subject(
    config: RunConfig, model: keras.Model, masks: Masks, radix: Mapping[str, RadixLayer]
) -> Subject:
    """The twin of `model` whose layers have the topologies of `masks` from the start.

    Args:
        config: its `topology` section says how layers are stored and computed.
        model: of plain layers.
        masks: 0/1 arrays by layer name.
        radix: RadiX structures of some of the layers.
    """
    assert config.topology is not None
    choices = choose(model, masks, radix, config.topology.representation)
    twin, chosen = compact(model, masks, radix, choices)
    starved = {name: empty_neurons(mask).size for name, mask in masks.items()}
    return Subject(
        model=twin,
        plain=lambda: strip(twin),
        masks=mask_variables(twin),
        compact={name: masks[name] for name, way in chosen.items() if way[0] != "masked"},
        nominal_sparsity=sparsity_of(masks).overall,
        target={name: int(np.count_nonzero(mask)) for name, mask in masks.items()},
        notes=tuple(
            f"layer {name!r}: {count} of {masks[name].shape[-1]} neurons have no input"
            for name, count in starved.items()
            if count
        ),
        representations=chosen,
    )


def dynamic_subject(config: RunConfig, model: keras.Model, masks: Masks, plan: Plan) -> Subject:
    """`model` under masks whose connections move as the `growth` section says.

    Args:
        config: its method names the algorithm.
        model: with kernels that are zero outside the masks.
        masks: to start from; their counts stay.
        plan: the run's steps.

    Raises:
        UserError: a schedule beyond the run's end, or no layer that can drop and grow.
    """
    growth, algorithm = config.growth, config.method
    assert growth is not None
    idle = check_can_grow(masks, growth.drop_fraction)
    begin = plan.step(growth.begin_step, within="growth.begin_step")
    end = plan.step(growth.end_step, within="growth.end_step")
    kernels = {layer.name: layer.kernel for layer in maskable_layers(model)}
    variables = {
        name: tf.Variable(mask.astype(np.float32), trainable=False, name=f"mask/{name}")
        for name, mask in masks.items()
    }
    means = {}
    if algorithm == "snfs":
        means = {
            name: tf.Variable(tf.zeros(mask.shape), trainable=False) for name, mask in masks.items()
        }
    updates = DynamicSparsity(
        cast(Algorithm, algorithm),
        kernels,
        variables,
        schedule=UpdateSchedule(begin, end, growth.frequency),
        drop_fraction=DropFraction(growth.drop_fraction, growth.drop_schedule, begin, end),
        seed=config.seed,
        replace_step=growth.replace_step,
        reinit_when_same=growth.reinit_when_same,
        gradient_means=means,
    )
    return Subject(
        model,
        plain=lambda: model,
        masks=variables,
        updates=updates,
        mask_gradients=True,
        gradient_means=means,
        tracked={"gradient_means": means} if means else {},
        nominal_sparsity=_nominal(config, masks),
        target={name: int(np.count_nonzero(mask)) for name, mask in masks.items()},
        notes=tuple(f"layer {name!r} is too small or too full to drop and grow" for name in idle),
    )


def _nominal(config: RunConfig, masks: Masks) -> float:
    if config.mask is not None and config.mask.sparsity is not None:
        return config.mask.sparsity
    return sparsity_of(masks).overall
