"""Pieces at work: order, skipping, failing, being killed, several processes and shares."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_study import finish, make_fakes, piece, plan_of, read_log, study

from tfsparse.charts.study_data import read_results
from tfsparse.environment import cores
from tfsparse.errors import UserError
from tfsparse.studies.execute import execute
from tfsparse.studies.graph import share
from tfsparse.studies.ledger import Ledger
from tfsparse.studies.plan import Piece, Plan, make_plan
from tfsparse.studies.report import write_report
from tfsparse.studies.show import plan_text, status_text


class Events:
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.remarks: dict[tuple[str, str], str] = {}

    def __call__(self, event: str, piece: Piece, remark: str) -> None:
        self.seen.append((event, piece.name))
        self.remarks[event, piece.name] = remark


def go(plan: Plan, names: list[str] | None = None, jobs: int = 1) -> tuple[dict, Events]:
    events = Events()
    names = list(plan.pieces) if names is None else names
    outcomes = execute(plan, names, make_fakes, events, command="c", jobs=jobs, poll=0.05)
    return dict(outcomes), events


def doing(**do: Any) -> dict[str, Any]:
    """The study with something for the pruned pieces to do."""
    pieces = study()["pieces"]
    pieces[1]["config"]["do"] = do
    return study(pieces=pieces)


def started(plan: Plan) -> list[str]:
    return [name for word, name, _ in read_log(plan) if word == "start"]


def test_pieces_run_after_their_inputs_and_are_skipped_when_finished(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    finish(plan.pieces["pruned_0.8/seed_1"])
    outcomes, _ = go(plan)
    assert set(outcomes.values()) == {"finished"} and len(outcomes) == 8
    assert started(plan) == [name for name in plan.pieces if name != "pruned_0.8/seed_1"]
    go(plan)
    assert len(started(plan)) == 7


def test_a_failed_piece_blocks_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, doing(fail=1))
    outcomes, events = go(plan)
    assert {name for name, outcome in outcomes.items() if outcome == "failed"} == {
        "pruned_0.8/seed_1", "pruned_0.9/seed_1"}  # fmt: skip
    assert {name for name, outcome in outcomes.items() if outcome == "blocked"} == {
        "scratch_0.8/seed_1", "scratch_0.9/seed_1"}  # fmt: skip
    assert events.remarks["failed", "pruned_0.8/seed_1"] == "the loss is not finite"
    remark = events.remarks["blocked", "scratch_0.8/seed_1"]
    assert remark == "needs pruned_0.8/seed_1, which failed"
    text = status_text(plan, list(plan.pieces))
    assert "8 pieces: 4 finished, 2 failed, 2 blocked." in text
    assert "the loss is not finite" in text


def test_a_defect_in_one_piece_is_kept_with_its_traceback(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, doing(crash=0))
    outcomes, events = go(plan)
    assert outcomes["pruned_0.8/seed_0"] == "failed"
    assert events.remarks["failed", "pruned_0.8/seed_0"] == "ZeroDivisionError: a defect"
    text = (plan.out / "failures" / "pruned_0.8.seed_0.json").read_text()
    assert "run_fake" in text


def test_a_failed_piece_is_tried_again_by_the_next_command(tmp_path: Path) -> None:
    go(plan_of(tmp_path, doing(fail=1)))
    again = plan_of(tmp_path, doing(fail=1))
    again.pieces["pruned_0.8/seed_1"].config["do"]["fail"] = -1  # type: ignore[index]
    outcomes, _ = go(again)
    assert outcomes["pruned_0.8/seed_1"] == outcomes["scratch_0.8/seed_1"] == "finished"
    assert outcomes["pruned_0.9/seed_1"] == "failed"
    assert Ledger(again.out).failure(again.pieces["pruned_0.8/seed_1"]) is None


def test_a_piece_without_a_summary_has_failed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    events = Events()
    execute(plan, ["pruned_0.8/seed_0"], lambda: {"train": lambda piece: None}, events, command="c")
    assert events.remarks["failed", "pruned_0.8/seed_0"] == "the command ended without a summary"


def test_pieces_of_another_config_are_refused(tmp_path: Path) -> None:
    go(plan_of(tmp_path), ["pruned_0.8/seed_0"])
    pieces = study()["pieces"]
    pieces[1]["config"]["goal"] = 0.5
    plan = plan_of(tmp_path, study(pieces=pieces))
    with pytest.raises(UserError, match=r"config\.goal: there 0\.8, here 0\.5.*choose another"):
        go(plan)
    assert Ledger(plan.out).finished(plan.pieces["pruned_0.8/seed_0"])


def test_more_seeds_may_be_added(tmp_path: Path) -> None:
    go(plan_of(tmp_path, preset="one"))
    plan = plan_of(tmp_path)
    go(plan)
    assert len(started(plan)) == 8


def test_two_processes_share_the_work_and_keep_the_order(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, doing(sleep=0.5))
    outcomes, events = go(plan, jobs=2)
    assert set(outcomes.values()) == {"finished"} and len(outcomes) == 8
    lines = read_log(plan)
    names = [name for word, name, _ in lines if word == "start"]
    assert sorted(names) == sorted(plan.pieces)
    assert len({pid for _, _, pid in lines}) == 2
    for name, item in plan.pieces.items():
        begin = lines.index(next(line for line in lines if line[:2] == ["start", name]))
        for other in item.inputs:
            end = lines.index(next(line for line in lines if line[:2] == ["end", other]))
            assert end < begin
    assert sorted(name for event, name in events.seen if event == "finished") == sorted(names)
    assert "start: " in (plan.out / "logs/worker_1.log").read_text()


def test_the_piece_of_a_killed_process_is_taken_over_and_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = doing(sleep=0.1)
    value["pieces"].append(piece("victim", {"do": {"die": 0}}, over=["seed"], at={"sparsity": 0.5},
                                 where={"seed": [0]}))  # fmt: skip
    plan = plan_of(tmp_path, value)
    outcomes, _ = go(plan, jobs=2)
    assert set(outcomes.values()) == {"finished"} and len(outcomes) == 9
    lines = read_log(plan)
    killed, resumed = [line for line in lines if line[:2] == ["start", "victim/seed_0"]]
    assert killed[2] != resumed[2]
    assert ["resume", "victim/seed_0", resumed[2]] in lines
    assert "was killed (signal 9)" in capsys.readouterr().err


def test_a_piece_that_kills_processes_again_and_again_fails(tmp_path: Path) -> None:
    value = study(pieces=[
        piece("fine_{sparsity}", {"do": {"sleep": 0.1}}),
        piece("deadly", {"do": {"always_die": 0}}, over=["seed"], at={"sparsity": 0.5},
              where={"seed": [0]}),
    ], claims=[])  # fmt: skip
    plan = plan_of(tmp_path, value)
    outcomes, events = go(plan, jobs=3)
    assert outcomes["deadly/seed_0"] == "failed"
    assert "2 processes were killed" in events.remarks["failed", "deadly/seed_0"]
    assert sum(outcome == "finished" for outcome in outcomes.values()) == 4


def test_when_every_process_is_killed_the_rest_is_open(tmp_path: Path) -> None:
    value = study(pieces=[piece("deadly_{sparsity}", {"do": {"always_die": 0}})], claims=[],
                  axes={"sparsity": [0.8, 0.9], "seed": [0]})  # fmt: skip
    plan = plan_of(tmp_path, value)
    outcomes, _ = go(plan, jobs=2)
    assert outcomes == {}
    assert Ledger(plan.out).state(plan.pieces["deadly_0.8/seed_0"], plan) == "ready"


def test_a_share_runs_what_its_pieces_need(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    outcomes, _ = go(plan, ["scratch_0.9/seed_1"])
    assert outcomes == {"scratch_0.9/seed_1": "finished"}
    assert started(plan) == ["pruned_0.9/seed_1", "scratch_0.9/seed_1"]


def test_studies_of_one_family_run_a_shared_piece_once(tmp_path: Path) -> None:
    config = plan_of(tmp_path).config
    root = tmp_path / "family"
    first = make_plan(config, tmp_path / "fig3", root=root)
    go(first, ["pruned_0.8/seed_0", "scratch_0.8/seed_0"])
    second = make_plan(config, tmp_path / "fig4", root=root)
    outcomes, events = go(second)
    assert set(outcomes.values()) == {"finished"}
    assert ("start", "pruned_0.8/seed_0") not in events.seen
    names = [line.split()[1] for line in (root / "log.txt").read_text().splitlines()
             if line.startswith("start")]  # fmt: skip
    assert sorted(names) == sorted(second.pieces)
    write_report(second, "c")
    folders = {item["name"]: item["folder"] for item in read_results(second.out).pieces}
    assert folders["pruned_0.8/seed_0"] == "../family/pieces/pruned_0.8/seed_0"
    assert sorted(path.name for path in root.iterdir()) == ["locks", "log.txt", "pieces", "specs"]


def test_a_family_refuses_a_piece_of_the_same_name_with_another_config(tmp_path: Path) -> None:
    root = tmp_path / "family"
    go(make_plan(plan_of(tmp_path).config, tmp_path / "fig3", root=root), ["pruned_0.8/seed_0"])
    other = make_plan(plan_of(tmp_path, doing(sleep=0)).config, tmp_path / "fig4", root=root)
    with pytest.raises(UserError, match=r"'pruned_0.8/seed_0' was begun with another config"):
        go(other)


def test_processes_share_the_cores_out_among_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, doing(threads=True))
    go(plan, jobs=2)
    said = {(plan.pieces[name].folder / "threads").read_text() for name in ("pruned_0.8/seed_0",
            "pruned_0.8/seed_1")}  # fmt: skip
    assert said == {str(max(1, cores() // 2))}


def _share_of(folder: Path, index: int) -> None:
    """Stands at top level for a new process."""
    plan = plan_of(folder / f"config_{index}", doing(sleep=0.05))
    plan = make_plan(plan.config, folder / "out")
    go(plan, share(list(plan.pieces), index, 3))


def test_shares_meet_in_one_folder_and_run_every_piece_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_share_of, args=(tmp_path, index)) for index in (1, 2, 3)]
    for index, process in enumerate(processes, 1):
        (tmp_path / f"config_{index}").mkdir()
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    lines = (tmp_path / "out/log.txt").read_text().splitlines()
    names = [line.split()[1] for line in lines if line.startswith("start")]
    assert sorted(names) == sorted(plan_of(tmp_path).pieces)


def test_a_piece_that_another_process_holds_is_waited_for(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    held = plan.pieces["pruned_0.8/seed_0"]
    release, holding = threading.Event(), threading.Event()

    def hold() -> None:
        with Ledger(plan.out).hold(held, "other") as mine:
            assert mine
            holding.set()
            release.wait(10)
            finish(held)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(10)
    assert Ledger(plan.out).state(held, plan) == "running"

    class Releasing(Events):
        def __call__(self, event: str, piece: Piece, remark: str) -> None:
            super().__call__(event, piece, remark)
            if event == "waiting":
                release.set()

    events = Releasing()
    outcomes = execute(plan, ["scratch_0.8/seed_0"], make_fakes, events, command="c", poll=0.05)
    thread.join()
    assert outcomes == {"scratch_0.8/seed_0": "finished"}
    assert started(plan) == ["scratch_0.8/seed_0"]
    assert events.seen[0] == ("waiting", "pruned_0.8/seed_0")


def test_a_piece_that_ends_between_the_look_and_the_lock_is_not_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tmp_path)

    def another_process_ends_it(ledger: Ledger, piece: Piece) -> bool:
        finish(piece)
        return False

    monkeypatch.setattr(Ledger, "held", another_process_ends_it)
    outcomes, _ = go(plan, ["pruned_0.8/seed_0"])
    assert outcomes == {"pruned_0.8/seed_0": "finished"} and started(plan) == []


def test_a_finished_piece_needs_its_inputs_no_more(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    finish(plan.pieces["scratch_0.8/seed_0"])
    outcomes, _ = go(plan, ["scratch_0.8/seed_0"])
    assert outcomes == {"scratch_0.8/seed_0": "finished"} and started(plan) == []


def test_plan_and_status(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    finish(plan.pieces["pruned_0.8/seed_0"], seconds=20.0)
    stopped = plan.pieces["pruned_0.8/seed_1"].folder
    stopped.mkdir(parents=True)
    (stopped / "config.json").write_text("{}")
    names = list(plan.pieces)
    text = plan_text(plan, names, jobs=2)
    assert "7 pieces to run, 1 finished." in text
    # Three pruned pieces of 20 s each, four scratch pieces stated as 10 s, off by a factor 2.
    assert "Expected work: 2 min 20 s." in text
    assert "With --jobs 2: 1 min 20 s" in text
    text = status_text(plan, names)
    assert "8 pieces: 1 finished, 1 stopped, 3 ready, 3 waiting." in text
    assert not (plan.out / "study.json").exists()


def test_nothing_is_left_in_lock_files_after_an_ordinary_end(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, doing(fail=1))
    go(plan)
    locks = list((plan.out / "locks").iterdir())
    assert len(locks) == 6 and all(lock.stat().st_size == 0 for lock in locks)
