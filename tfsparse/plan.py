"""Every point in training as an absolute step, checked before anything runs."""

from dataclasses import dataclass

from tfsparse.config import PruningConfig, RunConfig, Step, TrainConfig, resolve_step
from tfsparse.errors import UserError


@dataclass(frozen=True)
class Plan:
    """The steps of one run."""

    total_steps: int
    steps_per_epoch: int
    batch_size: int
    log_every: int
    evaluate_every: int | None
    checkpoint_every: int
    save_weights_at: tuple[int, ...]
    gradient_flow_every: int | None

    @property
    def epochs(self) -> float:
        """How often each training image is seen."""
        return self.total_steps / self.steps_per_epoch

    def step(self, value: Step, *, within: str | None = None) -> int:
        """`value` as an absolute step.

        Args:
            value: a step, a fraction or epochs.
            within: the config key; when given, a step beyond the run's end is refused.
        """
        step = resolve_step(
            value, total_steps=self.total_steps, steps_per_epoch=self.steps_per_epoch
        )
        if within is not None and step > self.total_steps:
            meant = "" if isinstance(value, int) else f" = step {step}"
            raise UserError(
                f"{within}: expected a step of the run's {self.total_steps} "
                f"({self.epochs:.4g} epochs), received {value!r}{meant}"
            )
        return step

    def next_boundary(self, step: int, due: frozenset[int]) -> int:
        """The next step after `step` at which something other than training happens.

        Args:
            step: the current step.
            due: further steps that matter, such as mask updates.
        """
        every = (self.log_every, self.checkpoint_every, self.steps_per_epoch)
        optional = (self.evaluate_every, self.gradient_flow_every)
        candidates = [(step // n + 1) * n for n in (*every, *(n for n in optional if n))]
        candidates += [s for s in (*due, *self.save_weights_at) if s > step]
        return min([self.total_steps, *candidates])


def make_plan(config: TrainConfig, num_train: int) -> Plan:
    """The steps of a run over `num_train` images; the last, partial batch of an epoch is left out.

    Raises:
        UserError: fewer images than one batch, or a schedule beyond the end.
    """
    steps_per_epoch = num_train // config.batch_size
    if steps_per_epoch < 1:
        raise UserError(
            f"train.batch_size: expected at most the {num_train} training images, "
            f"received {config.batch_size}"
        )
    if config.steps is not None:
        total = config.steps
    else:
        assert config.epochs is not None  # the config has checked that one of them is given
        total = max(1, round(config.epochs * steps_per_epoch))

    def every(value: Step | None, key: str) -> int | None:
        if value is None:
            return None
        step = resolve_step(value, total_steps=total, steps_per_epoch=steps_per_epoch)
        if step < 1 and not isinstance(value, float):
            raise UserError(f"train.{key}: expected at least one step, received {value!r}")
        return max(1, step)

    plan = Plan(
        total_steps=total,
        steps_per_epoch=steps_per_epoch,
        batch_size=config.batch_size,
        log_every=every(config.log_every, "log_every") or 1,
        evaluate_every=every(config.evaluate_every, "evaluate_every"),
        checkpoint_every=every(config.checkpoint_every, "checkpoint_every") or 1,
        save_weights_at=(),
        gradient_flow_every=every(config.gradient_flow_every, "gradient_flow_every"),
    )
    saved = sorted({plan.step(s, within="train.save_weights_at") for s in config.save_weights_at})
    return Plan(**{**plan.__dict__, "save_weights_at": tuple(s for s in saved if s)})


@dataclass(frozen=True)
class PruningSteps:
    """A pruning section in absolute steps."""

    begin_step: int
    end_step: int
    frequency: int


def pruning_steps(config: PruningConfig, plan: Plan) -> PruningSteps:
    """When a run prunes.

    Raises:
        UserError: the schedule goes beyond the run, ends before it begins or never updates.
    """
    begin = plan.step(config.begin_step, within="pruning.begin_step")
    end = plan.step(config.end_step, within="pruning.end_step")
    if end < begin:
        raise UserError(
            f"pruning.end_step: expected at least begin_step {begin}, "
            f"received {config.end_step!r} = step {end}"
        )
    frequency = plan.step(config.frequency)
    if frequency < 1:
        if not isinstance(config.frequency, float):
            raise UserError(
                f"pruning.frequency: expected at least one step, received {config.frequency!r}"
            )
        frequency = 1
    return PruningSteps(begin, end, frequency)


def check_rates(config: RunConfig, plan: Plan) -> None:
    """Raise a UserError where the learning-rate schedule does not fit the run."""
    rate = config.optimizer.learning_rate
    if rate.schedule == "constant" or plan.total_steps == 0:  # no step, no rate
        return
    warmup = plan.step(rate.warmup, within="optimizer.learning_rate.warmup")
    if rate.schedule == "steps":
        key = "optimizer.learning_rate.boundaries"
        steps = [plan.step(boundary, within=key) for boundary in rate.boundaries]
        if steps != sorted(steps) or any(step < warmup for step in steps):
            raise UserError(
                f"{key}: expected rising steps after the warm-up's {warmup}, received {steps}"
            )
