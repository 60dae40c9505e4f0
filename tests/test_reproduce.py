"""The door, and the studies that come with the project."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_study
import pytest

from tfsparse import plan as training_plan
from tfsparse import reproduce
from tfsparse.config.load import check, read_object
from tfsparse.config.study import StudyOutline
from tfsparse.errors import UserError
from tfsparse.studies import runners
from tfsparse.studies.plan import Plan, make_plan
from tfsparse.studies.read import read_study
from tfsparse.studies.runners import check_piece, run_config
from tfsparse.studies.specs import difference

STUDIES = sorted((Path(__file__).parent.parent / "configs" / "reproduce").glob("*.json"))
TRAINING_IMAGES = {"digits": 1200, "mnist": 54_000, "cifar10": 45_000, "imagenet2012": 1_281_167}


def presets() -> list[Any]:
    cases = []
    for path in STUDIES:
        outline = check(read_object(path), StudyOutline, str(path))
        cases += [pytest.param(path, preset, id=f"{path.stem}-{preset}")
                  for preset in outline.presets]  # fmt: skip
    return cases


def plan_at(path: Path, preset: str) -> Plan:
    return make_plan(read_study(path, preset), Path("out"), check_piece)


@pytest.mark.parametrize(("path", "preset"), presets())
def test_every_preset_is_a_valid_plan_down_to_its_schedules(path: Path, preset: str) -> None:
    plan = plan_at(path, preset)
    assert plan.config.study == path.stem
    for piece in plan.pieces.values():
        if piece.kind != "train":
            continue
        config = run_config(piece)
        images = TRAINING_IMAGES[config.data.name]
        steps = training_plan.make_plan(config.train, images)
        training_plan.check_rates(config, steps)
        if config.pruning is not None:
            training_plan.pruning_steps(config.pruning, steps)
        assert piece.seconds is not None
        folder = Path(config.run_dir) / config.name / f"seed_{config.seed}"
        assert folder == piece.folder


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_study_has_the_three_sizes(path: Path) -> None:
    outline = check(read_object(path), StudyOutline, str(path))
    assert {"smoke", "paper"} < set(outline.presets)
    assert {"mnist", "cifar"} & set(outline.presets)


def test_studies_of_a_family_mean_the_same_by_a_piece_of_the_same_name() -> None:
    shared = 0
    pieces: dict[tuple[str, str, str], tuple[str, Any]] = {}
    for path in STUDIES:
        outline = check(read_object(path), StudyOutline, str(path))
        if outline.family is None:
            continue
        for preset in outline.presets:
            for piece in plan_at(path, preset).pieces.values():
                mine = {"kind": piece.kind, "config": dict(piece.spec)}
                key = (outline.family, preset, piece.name)
                other, theirs = pieces.setdefault(key, (path.stem, mine))
                assert not difference(theirs, mine), f"{key} of {other} and {path.stem}"
                shared += other != path.stem
    assert shared > 300


def test_table_1_of_the_paper() -> None:
    path = next(path for path in STUDIES if path.stem == "difficulty_fig1")
    plan = plan_at(path, "paper")
    found = set()
    for piece in plan.pieces.values():
        config = run_config(piece)
        assert (config.train.steps, config.train.batch_size) == (48_000, 4096)
        assert (config.model.name, config.data.name) == ("resnet_50", "imagenet2012")
        pruning = config.pruning
        if pruning is not None:
            found.add((pruning.final_sparsity, pruning.begin_step, pruning.end_step,
                       pruning.frequency))  # fmt: skip
    assert found == {
        (0.8, 12500, 40000, 2000), (0.8, 12500, 40000, 500), (0.8, 12500, 36000, 1000),
        (0.91, 12500, 36000, 2000), (0.91, 10000, 40000, 4000), (0.91, 7500, 36000, 1000),
        (0.96, 7500, 36000, 1000), (0.96, 10000, 32000, 500), (0.96, 7500, 40000, 2000),
        (0.98, 12500, 36000, 500), (0.98, 7500, 32000, 500), (0.98, 12500, 32000, 500),
    }  # fmt: skip
    lottery = plan.pieces["lottery_0.91_10000_40000_4000/seed_0"]
    assert lottery.inputs == ("pruned_0.91_10000_40000_4000/seed_0",)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings at once, whatever their config."""
    kinds = {"train": runners.Kind(lambda piece: None, fake_study.run_fake)}
    monkeypatch.setattr(runners, "KINDS", kinds)


def write(folder: Path, **changes: Any) -> list[str]:
    """The arguments for a made-up study."""
    path = folder / "study.json"
    path.write_text(json.dumps(fake_study.study(**changes)))
    return ["--config", str(path), "--out", str(folder / "out")]


@pytest.mark.usefixtures("fakes")
def test_run_status_report_and_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write(tmp_path)
    assert reproduce.main([*arguments, "--dry-run"]) == 0
    assert "8 pieces to run, 0 finished." in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
    assert reproduce.main([*arguments, "--shard", "1/2"]) == 0
    out = capsys.readouterr().out
    assert "[4/4] finished: scratch_0.9/seed_0" in out and "The study is not complete" in out
    assert reproduce.main([*arguments, "--status"]) == 0
    assert "8 pieces: 4 finished, " in capsys.readouterr().out
    assert reproduce.main([*arguments, "--record", str(tmp_path / "kept")]) == 0
    out = capsys.readouterr().out
    assert "4 of 8 pieces are finished already." in out and "holds          gap" in out
    command = (tmp_path / "kept/command.txt").read_text()
    assert command.startswith("python -m tfsparse.reproduce --config ") and "shard" not in command
    assert (tmp_path / "kept/study.json").is_file()
    assert reproduce.main([*arguments, "--report"]) == 0
    assert "start:" not in capsys.readouterr().out


@pytest.mark.usefixtures("fakes")
def test_a_failed_piece_makes_the_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = fake_study.study()["pieces"]
    pieces[1]["config"]["do"] = {"fail": 1}
    assert reproduce.main(write(tmp_path, pieces=pieces)) == 1
    out = capsys.readouterr().out
    assert "failed: pruned_0.8/seed_1 (the loss is not finite)" in out
    assert "4 of 8 pieces have no result" in out
    assert (tmp_path / "out/report.md").is_file()


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (["--preset", "smoek"], {}, "expected a preset of smoke, one, received 'smoek'"),
        (["--jobs", "0"], {}, "--jobs: expected at least 1"),
        (["--shard", "3/2"], {}, "--shard: expected i/n with 1 <= i <= n, received 3/2"),
        (["--shard", "half"], {}, "--shard: expected i/n such as 1/4, received 'half'"),
        (["--dry-run", "--status"], {}, "not allowed with"),
        ([], {"figure": {"chart": "pie"}}, "figure.chart: expected one of against"),
    ],
)
@pytest.mark.usefixtures("fakes")
def test_bad_input(
    tmp_path: Path, arguments: list[str], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        reproduce.main([*write(tmp_path, **changes), *arguments])
    assert not (tmp_path / "out").exists()


def test_a_bad_training_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"study\.json: piece 'pruned_0\.8/seed_0': config: .*goal"):
        reproduce.main(write(tmp_path))
    pieces = fake_study.study()["pieces"]
    pieces[1]["config"] = {"seed": 3}
    with pytest.raises(UserError, match=r"config\.seed: the study decides it"):
        reproduce.main(write(tmp_path, pieces=pieces))


def test_the_command_ends_with_one_line_and_code_2(tmp_path: Path) -> None:
    pieces = fake_study.study()["pieces"]
    pieces[1]["config"] = {"source": {"run": {"piece": "scratch_{sparsity}"}}}
    result = subprocess.run(
        [sys.executable, "-m", "tfsparse.reproduce", *write(tmp_path, pieces=pieces)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert "pieces need each other in a cycle: " in result.stderr


def test_plans_and_states_need_no_tensorflow() -> None:
    code = ("import sys; from tfsparse import reproduce; "
            f"reproduce.main(['--config', {str(STUDIES[0])!r}, '--dry-run']); "
            "assert 'tensorflow' not in sys.modules")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
