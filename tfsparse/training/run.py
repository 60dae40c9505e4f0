"""One training run from config to summary."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tfsparse.config import RunConfig
from tfsparse.data import InMemoryData, StreamedData, load_data
from tfsparse.errors import UserError
from tfsparse.methods import check_sections, init_seed, prepare
from tfsparse.models import build, get_weights
from tfsparse.plan import Plan, check_rates, make_plan
from tfsparse.runs import Run, run_path, weights_hash
from tfsparse.sizing import sized
from tfsparse.sparsity.subject import Subject
from tfsparse.training.distributed import distributed
from tfsparse.training.evaluation import Evaluator, mean_gradient
from tfsparse.training.failures import recording_failure
from tfsparse.training.feeds import MemoryFeed, StreamFeed, make_feed
from tfsparse.training.gradient_flow import GradientFlow, fixed_batch
from tfsparse.training.loop import Loop, Observers
from tfsparse.training.optimizers import make_optimizer
from tfsparse.training.rounds import round_run, train_rounds
from tfsparse.training.saving import copy_model, save_model
from tfsparse.training.strategies import synchronised
from tfsparse.training.summary import check_target, summarise
from tfsparse.training.trainer import Trainer, xla_by_default

FINAL_TRAIN_EXAMPLES = 10_000
"""Training images for the final training accuracy and gradient norm."""


def train(
    config: RunConfig,
    *,
    command: Sequence[str],
    note: Callable[[str], None],
    quiet: bool = False,
) -> tuple[Run, dict[str, Any]]:
    """Train what `config` says, carry on where it stopped, or return it when it is finished.

    Args:
        config: the run.
        command: the command line, recorded in the folder.
        note: called with each sentence for the user.
        quiet: show no progress.

    Returns:
        The run folder and its summary.

    Raises:
        UserError: input that cannot be used.
        RunFailed: a run that started but did not reach its goal.
    """
    run = Run(run_path(config.run_dir, config.name, config.seed))

    def work(folder: Run) -> dict[str, Any]:
        alone = quiet or folder is not run
        return _train_in(config, folder, command=command, note=note, quiet=alone)

    return run, distributed(work, run, config.distribution, note, config.train.batch_size)


def _train_in(
    config: RunConfig,
    run: Run,
    *,
    command: Sequence[str],
    note: Callable[[str], None],
    quiet: bool,
) -> dict[str, Any]:
    """Train in a given folder."""
    with run.writing(config, command):
        if run.finished():
            note(f"{run.path} is finished; its results:")
            return run.summary()
        with recording_failure(run):
            if config.method == "imp":
                check_sections(config)
                train_round = partial(_train_in, command=command, note=note, quiet=quiet)
                summary = train_rounds(config, run, train_round)
                last = round_run(run, len(summary["rounds"]) - 1)
                copy_model(last.saved_model, run.saved_model)
                run.write_summary(summary)
                return run.summary()
            return _train(config, run, note, quiet)


def _train(config: RunConfig, run: Run, note: Callable[[str], None], quiet: bool) -> dict[str, Any]:
    data = load_data(config.data, seed=config.seed)
    plan = make_plan(config.train, data.num_train)
    check_rates(config, plan)
    model = build(
        sized(config, data.input_shape, data.num_classes),
        data.input_shape,
        data.num_classes,
        seed=init_seed(config),
        precision=config.train.precision,
    )
    if config.distribution.synchronised_batch_norm:
        model = synchronised(model)
    prepared = prepare(config, model, plan, lambda: first_batch(config, plan, data))
    subject = prepared.subject
    for sentence in subject.notes:
        note(f"warning: {sentence}")
    _store_initial(run, subject.model)

    trainer = make_trainer(config, subject, plan, data)
    evaluate = Evaluator(subject.model, data)
    split = config.train.evaluate_on
    flow = _flow(config, subject, data)
    observers = Observers(
        evaluate=lambda: evaluate(split),
        gradient_flow=flow if config.train.gradient_flow_every is not None else None,
        gradient_flow_at_updates=flow if config.train.gradient_flow_at_updates else None,
    )
    sums = Loop(trainer, plan, run, observers, split=split, quiet=quiet).run()

    plain = subject.plain()
    weights = get_weights(plain)
    check_target(subject, weights, str(run.path))
    final = Evaluator(plain, data)
    results: dict[str, Any] = {
        "test": final("test"),
        "validation": final("validation"),
        "train": final("train", FINAL_TRAIN_EXAMPLES),
    }
    gradient = mean_gradient(trainer, data, FINAL_TRAIN_EXAMPLES)
    results["gradient_l1_mean"] = gradient["gradient_l1_mean"]
    run.write_final(weights, subject.mask_arrays())
    save_model(plain, run.saved_model)
    summary = summarise(
        config,
        run,
        subject,
        steps=plan.total_steps,
        seconds=sums.seconds,
        step_seconds=sums.trained_seconds,
        results=results,
        sources=dict(prepared.sources),
    )
    run.write_summary(summary)
    return run.summary()


def make_trainer(
    config: RunConfig, subject: Subject, plan: Plan, data: InMemoryData | StreamedData
) -> Trainer:
    """The trainer of a run."""
    xla = config.train.xla
    return Trainer(
        subject,
        make_optimizer(config.optimizer, plan),
        _feed(config, plan, data),
        batch_size=plan.batch_size,
        weight_decay=config.optimizer.weight_decay,
        label_smoothing=config.train.label_smoothing,
        xla=xla_by_default(subject.model) if xla is None else xla,
    )


def first_batch(
    config: RunConfig, plan: Plan, data: InMemoryData | StreamedData
) -> tuple[tf.Tensor, tf.Tensor]:
    """The images and labels of step 0."""
    feed, step = _feed(config, plan, data), tf.constant(0, tf.int64)
    images, labels = feed.draw(step, *feed.start(0))
    return feed.prepare(images, step), labels


def _feed(
    config: RunConfig, plan: Plan, data: InMemoryData | StreamedData
) -> MemoryFeed | StreamFeed:
    return make_feed(data, plan, seed=config.seed, shuffle=config.data.shuffle)


def _flow(
    config: RunConfig, subject: Subject, data: InMemoryData | StreamedData
) -> GradientFlow | None:
    """What measures the gradient flow, unless the config asks for none."""
    section = config.train
    if section.gradient_flow_every is None and not section.gradient_flow_at_updates:
        return None
    images, labels = fixed_batch(data, section.gradient_flow_examples, config.seed)
    return GradientFlow(
        subject,
        images,
        labels,
        part=section.batch_size,
        label_smoothing=section.label_smoothing,
    )


def _store_initial(run: Run, model: keras.Model) -> None:
    """Store the weights before the first step, or check them against those stored before."""
    weights = get_weights(model)
    if not (run.path / "initial.npz").exists():
        run.write_initial(weights)
    elif weights_hash(run.initial_weights()) != weights_hash(weights):
        raise UserError(
            f"{run.path}: initial.npz holds other weights than this config starts from "
            "(another version of the packages?); remove the folder to train anew"
        )
