"""The paper's own experiment: its configs, what they would take, and one step of ResNet-50."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_paths import made_data
from small import small_config

from tfsparse import train as door
from tfsparse.config import RunConfig, load_config
from tfsparse.config.landscape import CurveConfig, InterpolationConfig
from tfsparse.errors import UserError
from tfsparse.landscape.optimise import CurveTrainer, Descent
from tfsparse.methods import check_sections, init_seed, prepare
from tfsparse.models import build, get_weights
from tfsparse.plan import Plan, check_rates, make_plan, pruning_steps
from tfsparse.sparsity.masks import random_mask
from tfsparse.training.estimate import estimate
from tfsparse.training.feeds import MemoryFeed
from tfsparse.training.run import make_trainer

CONFIGS = Path(__file__).parents[1] / "configs"
FOLDER = CONFIGS / "imagenet"
FILES = sorted(FOLDER.glob("*.json"))
RUNS = [path for path in FILES if "method" in json.loads(path.read_text())]
PATHS = [path for path in FILES if path not in RUNS]
IMAGES = 1_281_167


def test_the_papers_runs_are_there():
    names = {path.stem for path in FILES}
    assert "dense" in names
    for sparsity in (80, 91, 96, 98):
        assert {f"pruned_{sparsity}{schedule}" for schedule in "abc"} < names
        for kind in ("lottery", "scratch", "sparse_init", "curve_sparse", "curve_dense"):
            assert f"{kind}_{sparsity}" in names


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_a_run_is_the_papers(path):
    config = load_config(path, RunConfig)
    check_sections(config)
    plan = make_plan(config.train, IMAGES)
    check_rates(config, plan)
    assert (plan.total_steps, plan.batch_size, plan.steps_per_epoch) == (48_000, 4096, 312)
    rate = config.optimizer.learning_rate
    assert [plan.step(step) for step in rate.boundaries] == [15_600, 37_440, 43_680]
    assert plan.step(rate.warmup) == 1560
    assert rate.value * plan.batch_size / config.optimizer.reference_batch_size == 1.6
    assert (config.train.label_smoothing, config.optimizer.weight_decay) == (0.1, 1e-4)
    if config.pruning is not None:
        percent = int(re.search(r"\d+", path.stem).group())
        assert config.pruning.final_sparsity == percent / 100
        steps = pruning_steps(config.pruning, plan)
        assert steps.end_step in (32_000, 36_000, 40_000)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_path_joins_runs_that_are_there(path):
    kind = CurveConfig if path.stem.startswith("curve") else InterpolationConfig
    config = load_config(path, kind)
    assert config.images == 500_000
    for end in (config.start, config.end):
        assert re.fullmatch(r"runs/imagenet/\w+/seed_\{seed\}", end.run)
        assert (FOLDER / f"{Path(end.run).parent.name}.json") in RUNS


def test_sources_are_runs_that_are_there():
    for path in RUNS:
        source = load_config(path, RunConfig).source
        assert source is None or (FOLDER / f"{Path(source.run).parent.name}.json") in RUNS


# ---- the dry run -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dry-run", "--devices", "0"], "expected numbers above 0"),
        (["--dry-run", "--devices", "-1"], "expected numbers above 0"),
        (["--dry-run", "--tflops", "nan"], "expected numbers above 0"),
        (["--devices", "8"], "expected together with --dry-run"),
        (["--tflops", "5"], "expected together with --dry-run"),
    ],
)
def test_a_dry_run_with_a_wrong_machine_is_refused(arguments, message):
    config = str(Path(door.__file__).parents[1] / "configs" / "pruned_80.json")
    with pytest.raises(UserError, match=message):
        door.main(["--config", config, *arguments])


def test_an_estimate_by_hand():
    config = small_config("x", train={"steps": 100, "batch_size": 40})
    found = estimate(config, 2)
    # 784-30-10-10 with digits: 2 (784 30 + 30 10 + 10 10) FLOPs forward, three times in training.
    weights = 784 * 30 + 30 * 10 + 10 * 10
    assert found.forward_flops == 2 * weights
    assert found.flops == 3 * 2 * weights * 4000
    assert found.parameters == weights + 50
    assert found.gradients == found.optimizer == found.weights == 4 * (weights + 50)
    assert found.masks == 0
    # The outputs of flatten and of the three dense layers, for 20 images on each device.
    assert found.activations == 4 * 20 * (784 + 30 + 10 + 10)
    assert found.hours(found.flops / 2 / 3600) == pytest.approx(1.0)
    with pytest.raises(UserError, match="a multiple of the 3 devices, received 40"):
        estimate(config, 3)


def test_the_dry_run_of_the_papers_pruning(capsys, tmp_path):
    arguments = ["--config", str(FOLDER / "pruned_80a.json"), "--set", f"run_dir={tmp_path}"]
    assert door.main([*arguments, "--dry-run", "--devices", "8", "--tflops", "20"]) == 0
    text = capsys.readouterr().out
    assert "steps             48,000" in text
    assert "epochs            153.8 of 312 steps" in text
    assert "images            196,608,000, 4,096 a step, 512 on each of 8 devices" in text
    assert "parameters        25,557,032" in text
    assert "3 x 8,178,368,512 an image" in text  # 4.1 billion multiplications, as is well known
    assert "estimated hours   8.37 at 20 TFLOP/s a device" in text
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="expected numbers above 0"):
        door.main([*arguments, "--dry-run", "--tflops", "0"])


# ---- one step of ResNet-50 -------------------------------------------------------------------

METHODS = {
    "pruned": {
        "method": "pruned",
        "pruning": {"final_sparsity": 0.8, "begin_step": 0, "end_step": 0, "frequency": 1},
    },
    "masked": {"method": "random", "mask": {"sparsity": 0.8}},
}


@pytest.fixture(scope="module")
def images():
    return made_data(16, 32, 3, classes=1000)


def resnet(seed=0):
    return build(
        small_config("x", model={"name": "resnet_50", "width": 1.0}).model,
        (32, 32, 3), 1000, seed=seed,
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_step_of_resnet_50(images, method):
    config = small_config(
        "x", **METHODS[method], model={"name": "resnet_50", "width": 1.0},
        train={"steps": 2, "batch_size": 8, "label_smoothing": 0.1},
    )  # fmt: skip
    plan = make_plan(config.train, images.num_train)
    subject = prepare(config, resnet(init_seed(config)), plan, None).subject
    trainer = make_trainer(config, subject, plan, images)
    if subject.updates is not None:
        trainer.update_masks(0)
    masks = subject.mask_arrays()
    assert "conv1" not in masks and len(masks) == 53
    before = get_weights(subject.model)
    totals = trainer.run(0, 1)
    assert 5 < totals["cross_entropy"] < 10  # log 1000 = 6.9
    after = get_weights(subject.model)
    for name, mask in masks.items():
        assert not np.any(after[f"{name}/kernel"][mask == 0])
        assert 1 - mask.mean() == pytest.approx(0.8, abs=1e-3)
    assert np.any(after["logits/kernel"] != before["logits/kernel"])


@pytest.mark.slow
def test_a_step_of_a_curve_between_two_resnet_50(images):
    model = resnet()
    rng = np.random.default_rng(0)
    end = get_weights(model)
    start = {name: v + (rng.normal(size=v.shape) * 0.01) ** 2 for name, v in end.items()}
    masks = {
        name.removesuffix("/kernel"): random_mask(value.shape, 0.8, 1)
        for name, value in end.items()
        if name.endswith("/kernel") and name != "conv1/kernel"
    }
    for point in (start, end):
        for name, mask in masks.items():
            point[f"{name}/kernel"] = point[f"{name}/kernel"] * mask
    middle = {name: (start[name] + end[name]) / 2 for name in end}
    plan = Plan(2, 2, 8, 10, None, 10, (), None)
    trainer = CurveTrainer(
        model, [end, middle, start], chain=False, masks=masks, batch_size=8, seed=0,
        feed=MemoryFeed(images, plan, seed=0, shuffle=True), descent=Descent(0.01, total_steps=2),
    )  # fmt: skip
    totals = trainer.run(0, 1)
    assert 5 < totals["cross_entropy"] < 20
    moved = trainer.points()[1]
    assert np.any(moved["logits/kernel"] != middle["logits/kernel"].astype(np.float32))
    for name, mask in masks.items():
        assert not np.any(moved[f"{name}/kernel"][mask == 0])
