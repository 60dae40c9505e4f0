"""Table, figure and claims of a study, from pieces made up by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from fake_study import finish, piece, plan_of, study

from tfsparse.charts.study_data import read_results
from tfsparse.charts.study_figures import FIGURES, check_figure, draw
from tfsparse.errors import UserError
from tfsparse.studies.plan import Plan
from tfsparse.studies.report import REPORT_FILES, record, write_report
from tfsparse.studies.table import number


def finished(folder: Path, value: dict[str, Any] | None = None) -> Plan:
    plan = plan_of(folder, value)
    for item in plan.pieces.values():
        finish(item)
    return plan


def test_the_report_is_complete(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    report = write_report(plan, "python -m tfsparse.reproduce --config x.json")
    assert report.complete
    # study.json and command.txt are written before the first piece.
    missing = {name for name in REPORT_FILES if not (plan.out / name).is_file()}
    assert missing == {"study.json", "command.txt"}

    with open(plan.out / "table.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 4
    first = rows[0]
    assert (first["measure"], first["series"], first["sparsity"]) == ("accuracy", "pruned", "0.8")
    assert (first["n"], first["paper"], first["paper_source"]) == ("2", "0.95", "made up")
    assert float(first["mean"]) == pytest.approx(0.9505)
    assert float(first["std"]) == pytest.approx(0.000707, abs=1e-6)
    assert first["command"] == "python -m tfsparse.reproduce --config x.json"
    assert first["commit"] == "a1b2c3"
    assert rows[1]["paper"] == ""

    claims = json.loads((plan.out / "claims.json").read_text())
    assert [claim["verdict"] for claim in claims] == ["holds"]
    assert set(claims[0]["ours"]) >= {"mean", "std", "n"}
    text = (plan.out / "report.md").read_text()
    assert "| **holds** | Pruning is better. |" in text
    assert "| 80% | pruned | 2 | 95.05 | 0.07 | 95.00 | 95.10 | 95.00 |" in text
    assert "Made by `python -m tfsparse.reproduce --config x.json` at commit a1b2c3." in text
    summary = json.loads((plan.out / "summary.json").read_text())
    assert summary["kind"] == "study" and summary["verdicts"] == {"gap": "holds"}
    assert summary["seconds"] == 16.0
    assert (plan.out / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_names_the_commits_the_pieces_ran_at(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    finish(plan.pieces["pruned_0.8/seed_0"], commit="d4e5f6+")
    others = [plan.pieces[f"scratch_0.9/seed_{seed}"].folder for seed in (0, 1)]
    (others[0] / "environment.json").unlink()
    installed = {"commit": None, "packages": {"tfsparse": "1.2"}}
    (others[1] / "environment.json").write_text(json.dumps(installed))
    write_report(plan, "c")
    report = (plan.out / "report.md").read_text()
    for words in ("a1b2c3 (5 pieces)", "d4e5f6+ (1 piece)", "unknown (1 piece)",
                  "tfsparse 1.2 (1 piece)"):  # fmt: skip
        assert words in read_results(plan.out).subtitle and words in report


def test_a_report_of_half_a_study_says_so(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    finish(plan.pieces["pruned_0.8/seed_0"])
    failures = plan.out / "failures"
    failures.mkdir(parents=True)
    (failures / "pruned_0.8.seed_1.json").write_text('{"error": "the loss is nan", "mark": "1"}')
    report = write_report(plan, "c")
    assert not report.complete and not (plan.out / "summary.json").exists()
    assert [claim["verdict"] for claim in report.claims] == ["not decided"]
    text = (plan.out / "report.md").read_text()
    assert "- `pruned_0.8/seed_1` (failed): the loss is nan" in text
    assert "- `scratch_0.8/seed_1` (blocked)" in text
    assert "| failed | open |" in text


def test_a_report_of_nothing_can_be_written(tmp_path: Path) -> None:
    report = write_report(plan_of(tmp_path), "c")
    assert report.claims[0]["detail"].startswith("difference: no finished replicates")


def test_a_summary_without_the_number_is_named(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    path = plan.pieces["pruned_0.8/seed_0"].folder / "summary.json"
    path.write_text('{"test": {"loss": 1.0}}')
    with pytest.raises(UserError, match=r"summary.json: expected the number 'test.accuracy', foun"):
        write_report(plan, "c")
    path.write_text('{"test": {"accuracy": "high"}}')
    with pytest.raises(UserError, match="expected a number, received 'high'"):
        write_report(plan, "c")


def test_a_number_that_was_not_finite_counts_as_failed(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    (plan.pieces["pruned_0.8/seed_0"].folder / "summary.json").write_text(
        '{"test": {"accuracy": null}}'
    )
    row = write_report(plan, "c").table[0]
    assert (row["n"], row["failed"]) == (1, 1)


def test_record_copies_the_report_and_no_runs(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    write_report(plan, "c")
    copied = record(plan, tmp_path / "kept")
    assert {path.name for path in (tmp_path / "kept").iterdir()} == set(copied)
    assert "pieces" not in copied and "figure.svg" in copied and "claims.json" in copied


def test_figures_can_be_drawn_from_the_folder(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    for seed in (0, 1):
        log = plan.pieces[f"pruned_0.8/seed_{seed}"].folder / "metrics.jsonl"
        lines = [{"kind": "evaluation", "step": step, "split": "test", "accuracy": 0.5, "n": 9}
                 for step in (100, 200)]  # fmt: skip
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_report(plan, "c")
    data = read_results(plan.out)
    spec = draw("over_time", data, {"column": "sparsity", "row": "series"}).to_dict()
    assert json.dumps(spec).count('"accuracy": 0.5') == 4
    for x_log_rest in (False, True):
        spec = draw("against", data, {"x_log_rest": x_log_rest, "low": 0.9, "high": 1.0}).to_dict()
        assert "A made-up figure" in json.dumps(spec)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.905, 0.9505, "drawn at the edge: 4 below and 2 above the axis"),
     (0.905, 1.0, "drawn at the edge: 4 below the axis"),
     (0.9, 1.0, ""),
     (None, None, "")],
)  # fmt: skip
def test_the_chart_says_what_its_edges_hide(
    tmp_path: Path, low: float | None, high: float | None, words: str
) -> None:
    plan = finished(tmp_path)
    write_report(plan, "c")
    spec = draw("against", read_results(plan.out), {"low": low, "high": high}).to_dict()
    line = spec["title"]["subtitle"][-1]
    assert line.endswith(words) and ("drawn at the edge" in line) == bool(words)


def test_a_logarithmic_axis_keeps_bars_above_zero(tmp_path: Path) -> None:
    plan = finished(tmp_path)
    write_report(plan, "c")
    data = read_results(plan.out)
    for row in data.table:
        row["std"] = 5.0
    scales, bars = {}, {}
    for log_scale in (False, True):
        spec = draw("against", data, {"log_scale": log_scale}).to_dict()
        layers = spec["layer"]
        scales[log_scale] = layers[0]["encoding"]["y"]["scale"]["type"]
        bars[log_scale] = [row["from"] for row in layers[1]["data"]["values"]]
    assert scales == {False: "linear", True: "log"}
    assert max(bars[False]) < 0 < min(bars[True])


def test_panels_and_dead_points(tmp_path: Path) -> None:
    pieces = study()["pieces"]
    for template in pieces:
        template["at"]["model"] = "model {sparsity}"
    plan = finished(tmp_path, study(pieces=pieces))
    finish(plan.pieces["pruned_0.8/seed_0"], accuracy=0.1135)
    write_report(plan, "c")
    spec = draw("against", read_results(plan.out), {"panel": "model"}).to_dict()
    assert [panel["title"] for panel in spec["hconcat"]] == ["model 0.8", "model 0.9"]
    dead = [
        layer["data"]["values"] for layer in spec["hconcat"][0]["layer"]
        if isinstance(layer["mark"], dict) and layer["mark"].get("shape") == "cross"
    ]  # fmt: skip
    assert dead == [[{"x": 0.8, "series": "pruned", "value": 0.1135, "dead": True, "place": 0.8}]]


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [("agianst", {}, "did you mean 'against'"), ("against", {"y": 1}, "takes x, measure, panel")],
)
def test_unknown_figures_are_refused(name: str, args: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_figure(name, args)


def test_every_figure_says_when_there_is_nothing_to_draw(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, study(pieces=[piece("a_{sparsity}", {})], claims=[]))
    write_report(plan, "c")
    for name in FIGURES:
        assert "yet" in json.dumps(draw(name, read_results(plan.out), {}).to_dict())


def test_numbers_for_people() -> None:
    assert [number(0.98765, True), number(4e-6, False), number(None, False)] == [
        "98.77", "4e-06", "-",
    ]  # fmt: skip
