"""Every point in training is a step of the run, or refused before anything runs."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfsparse.config import PruningConfig, RunConfig, TrainConfig
from tfsparse.config.load import check
from tfsparse.errors import UserError
from tfsparse.plan import Plan, check_rates, make_plan, pruning_steps


def plan_of(num_train: int = 1000, **train) -> Plan:
    return make_plan(check({"batch_size": 100, **train}, TrainConfig, "train"), num_train)


def refusal(call, *args, **options) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- numbers -----------------------------------------------------------------------------


def test_the_numbers_of_a_run_by_hand():
    plan = plan_of(1059, epochs=3, log_every=7, evaluate_every=0.5, checkpoint_every="1ep",
                   save_weights_at=["2ep", 0.1, 0, 30, 3], gradient_flow_every=1.0)  # fmt: skip
    wanted = {
        "total_steps": 30, "steps_per_epoch": 10, "batch_size": 100, "log_every": 7,
        "evaluate_every": 15, "checkpoint_every": 10, "save_weights_at": (3, 20, 30),
        "gradient_flow_every": 30, "epochs": 3.0,
    }  # fmt: skip
    assert {key: getattr(plan, key) for key in wanted} == wanted


def test_the_papers_main_run():
    # Paper 3: 25 epochs of MNIST at batch 128 are 11,718.75 steps; ours drop the partial batches.
    plan = plan_of(60_000, batch_size=128, epochs=25)
    assert (plan.steps_per_epoch, plan.total_steps) == (468, 11_700)
    assert plan_of(60_000, batch_size=128, steps=11_719).total_steps == 11_719


@pytest.mark.parametrize(
    ("train", "steps"),
    [({"epochs": 0.25}, 2), ({"epochs": 0.001}, 1), ({"epochs": 1.26}, 13), ({"steps": 0}, 0),
     ({"steps": 5}, 5), ({"steps": 10**6}, 10**6)],
)  # fmt: skip
def test_epochs_and_steps(train, steps):
    assert plan_of(**train).total_steps == steps


def test_a_fraction_too_small_for_a_step_is_one_step():
    plan = plan_of(steps=10, log_every=0.001, evaluate_every=0.0, checkpoint_every=0.04)
    assert (plan.log_every, plan.evaluate_every, plan.checkpoint_every) == (1, 1, 1)


def test_null_means_never():
    plan = plan_of(steps=10, evaluate_every=None)
    assert (plan.evaluate_every, plan.gradient_flow_every) == (None, None)


# ---- what does not fit -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"steps": 5, "batch_size": 1001},
         "train.batch_size: expected at most the 1000 training images, received 1001"),
        ({"steps": 5, "log_every": 0}, "train.log_every: expected at least one step, received 0"),
        ({"steps": 5, "checkpoint_every": "0.04ep"},
         "train.checkpoint_every: expected at least one step, received '0.04ep'"),
        ({"steps": 20, "save_weights_at": [21]},
         "train.save_weights_at: expected a step of the run's 20 (2 epochs), "
         "received 21"),
        ({"steps": 20, "save_weights_at": [5, "3ep"]},
         "train.save_weights_at: expected a step of the run's 20 (2 epochs), "
         "received '3ep' = step 30"),
    ],
)  # fmt: skip
def test_training_that_does_not_fit_is_refused(train, message):
    assert refusal(plan_of, **train) == message


@pytest.mark.parametrize(
    ("pruning", "expected"),
    [
        ({}, (25, 75, 100)),
        ({"begin_step": 10, "end_step": 1.0, "frequency": "1ep"}, (10, 100, 10)),
        ({"begin_step": 0, "end_step": 0, "frequency": 1}, (0, 0, 1)),
        ({"begin_step": 1, "end_step": 100, "frequency": 0.001}, (1, 100, 1)),
        ({"begin_step": "10ep", "end_step": 100, "frequency": 0.3}, (100, 100, 30)),
    ],
)
def test_pruning_in_steps(pruning, expected):
    config = PruningConfig(final_sparsity=0.5, **pruning)
    steps = pruning_steps(config, plan_of(steps=100))
    assert (steps.begin_step, steps.end_step, steps.frequency) == expected


@pytest.mark.parametrize(
    ("pruning", "message"),
    [
        ({"begin_step": 101, "end_step": 101},
         "pruning.begin_step: expected a step of the run's 100 (10 epochs), "
         "received 101"),
        ({"end_step": "11ep"}, "pruning.end_step: expected a step of the run's 100 (10 epochs), "
         "received '11ep' = step 110"),
        ({"begin_step": 50, "end_step": 0.25},
         "pruning.end_step: expected at least begin_step 50, received 0.25 = step 25"),
        ({"frequency": 0}, "pruning.frequency: expected at least one step, received 0"),
        ({"frequency": "0ep"}, "pruning.frequency: expected at least one step, received '0ep'"),
    ],
)  # fmt: skip
def test_pruning_beyond_the_run_is_refused(pruning, message):
    config = PruningConfig(final_sparsity=0.5, **pruning)
    assert refusal(pruning_steps, config, plan_of(steps=100)) == message


def rates(**rate) -> RunConfig:
    data = {"name": "x", "optimizer": {"learning_rate": rate}, "train": {"steps": 100}}
    return check(data, RunConfig, "x")


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ({"schedule": "cosine", "warmup": 101},
         "optimizer.learning_rate.warmup: expected a step of the run's 100 (10 epochs), "
         "received 101"),
        ({"schedule": "steps", "warmup": "11ep"},
         "optimizer.learning_rate.warmup: expected a step of the run's 100 (10 epochs), "
         "received '11ep' = step 110"),
        ({"schedule": "steps", "boundaries": [50, 200]},
         "optimizer.learning_rate.boundaries: expected a step of the run's 100 (10 epochs), "
         "received 200"),
        ({"schedule": "steps", "boundaries": [50, 0.25]},
         "optimizer.learning_rate.boundaries: expected rising steps after the warm-up's 0, "
         "received [50, 25]"),
        ({"schedule": "steps", "warmup": 30, "boundaries": [20, 50]},
         "optimizer.learning_rate.boundaries: expected rising steps after the warm-up's 30, "
         "received [20, 50]"),
    ],
)  # fmt: skip
def test_rates_beyond_the_run_are_refused(rate, message):
    assert refusal(check_rates, rates(value=1, **rate), plan_of(steps=100)) == message


def test_rates_that_fit():
    plan = plan_of(steps=100)
    check_rates(rates(schedule="constant", value=1), plan)
    check_rates(rates(schedule="cosine", value=1, warmup=1.0), plan)
    boundaries = [20, 0.5, "10ep"]
    check_rates(rates(schedule="steps", value=1, warmup="2ep", boundaries=boundaries), plan)


# ---- boundaries --------------------------------------------------------------------------

STEPS = st.integers(1, 60)


@st.composite
def plans(draw):
    train = {
        "steps": draw(st.integers(1, 200)),
        "log_every": draw(STEPS),
        "evaluate_every": draw(st.none() | STEPS),
        "checkpoint_every": draw(STEPS),
        "gradient_flow_every": draw(st.none() | STEPS),
    }
    train["save_weights_at"] = draw(st.lists(st.integers(0, train["steps"]), max_size=3))
    return plan_of(draw(st.integers(100, 3000)), **train)


@settings(deadline=None)
@given(plans(), st.frozensets(st.integers(0, 200), max_size=5), st.integers(0, 199))
def test_the_next_boundary_is_the_first_step_at_which_something_is_due(plan, due, step):
    assume(step < plan.total_steps)
    matters = {plan.total_steps, *plan.save_weights_at, *due}
    for every in (plan.log_every, plan.checkpoint_every, plan.evaluate_every,
                  plan.gradient_flow_every, plan.steps_per_epoch):  # fmt: skip
        if every:
            matters |= set(range(0, plan.total_steps + 1, every))
    expected = min(s for s in matters if step < s <= plan.total_steps)
    assert plan.next_boundary(step, due) == expected


@settings(deadline=None)
@given(plans(), st.frozensets(st.integers(0, 200), max_size=5))
def test_walking_from_boundary_to_boundary_ends_at_the_last_step(plan, due):
    steps = [0]
    while steps[-1] < plan.total_steps:
        steps.append(plan.next_boundary(steps[-1], due))
    assert steps[-1] == plan.total_steps
    assert all(a < b <= a + plan.steps_per_epoch for a, b in itertools.pairwise(steps))
    wanted = {s for s in (*due, *plan.save_weights_at) if s <= plan.total_steps}
    assert wanted <= set(steps)
    # A run of steps never crosses an epoch: the order of the images is drawn at its start.
    assert set(range(0, plan.total_steps + 1, plan.steps_per_epoch)) <= set(steps)
