"""Claims with numbers that can be checked by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from fake_study import finish, piece, plan_of, study

from tfsparse.errors import UserError
from tfsparse.studies.checks import covered
from tfsparse.studies.claims import check_claim, check_claims
from tfsparse.studies.observations import Observation, group, observe, pairs
from tfsparse.studies.plan import Plan
from tfsparse.studies.statistics import Interval
from tfsparse.studies.verdicts import decide


def claim_of(
    folder: Path, values: dict[str, dict[float, list[float]]], **claim: Any
) -> dict[str, Any]:
    """A claim about pieces whose accuracies are given: series -> place -> one per seed."""
    plan = plan_with(folder, values, claim)
    return check_claim(plan.config.claims[0], plan, observe(plan))


def plan_with(
    folder: Path, values: dict[str, dict[float, list[float]]], claim: dict[str, Any]
) -> Plan:
    seeds = max(len(numbers) for places in values.values() for numbers in places.values())
    places = sorted({place for numbers in values.values() for place in numbers})
    axes = {"sparsity": places, "seed": list(range(seeds))}
    pieces = [
        piece(f"{series}_{{sparsity}}", {}, where={"sparsity": list(numbers)})
        for series, numbers in values.items()
    ]
    whole = {"name": "c", "sentence": "It is so.", "measure": "accuracy", **claim}
    plan = plan_of(folder, study(axes=axes, pieces=pieces, claims=[whole], reference=[]))
    for item in plan.pieces.values():
        numbers = values[item.series][item.at["sparsity"]]
        if item.seed < len(numbers):
            finish(item, numbers[item.seed])
    return plan


HIGH = [0.97, 0.98, 0.99]  # mean 0.98, variance 1e-4
LOW = [0.90, 0.91, 0.92]  # mean 0.91, variance 1e-4


def test_covered_part_of_a_range() -> None:
    assert covered([0.5], 0.1, 0.0, 1.0) == pytest.approx(0.2)
    assert covered([0.5, 0.55], 0.1, 0.0, 1.0) == pytest.approx(0.25)  # they overlap
    assert covered([0.0, 2.0], 0.1, 0.0, 1.0) == pytest.approx(0.1)  # they stick out


@pytest.mark.parametrize(
    ("ends", "claimed", "verdict"),
    [
        ((1, 3), (0, math.inf), "holds"),
        ((1, 3), (3, math.inf), "does not hold"),
        ((1, 3), (2, math.inf), "not decided"),
        ((1, 3), (1, math.inf), "not decided"),
        ((-math.inf, math.inf), (0, math.inf), "not decided"),
        ((-1, 1), (-2, 2), "holds"),
        ((3, 4), (-2, 2), "does not hold"),
    ],
)
def test_decide(ends: tuple[float, float], claimed: tuple[float, float], verdict: str) -> None:
    assert decide(Interval(sum(ends) / 2, *ends), claimed) == verdict


GREATER = {"check": "greater", "of": {"series": "a"}, "than": {"series": "b"}}


@pytest.mark.parametrize(
    ("a", "b", "verdict"),
    [
        (HIGH, LOW, "holds"),
        (LOW, HIGH, "does not hold"),
        (HIGH, HIGH, "not decided"),
        (HIGH[:1], LOW, "not decided"),
        ([], LOW, "not decided"),
    ],
)
def test_greater(tmp_path: Path, a: list[float], b: list[float], verdict: str) -> None:
    result = claim_of(tmp_path, {"a": {0.8: a}, "b": {0.8: b}}, **GREATER, at={"sparsity": [0.8]})
    assert result["verdict"] == verdict


def test_greater_reports_numbers_and_detail(tmp_path: Path) -> None:
    result = claim_of(
        tmp_path, {"a": {0.8: HIGH}, "b": {0.8: LOW}}, **GREATER, at={"sparsity": [0.8]}
    )
    assert result["ours"]["mean"] == pytest.approx(0.07)
    assert result["ours"]["std"] == pytest.approx(math.sqrt(2e-4))
    assert result["ours"]["n"] == 3
    assert result["ours"]["of"]["mean"] == pytest.approx(0.98)
    assert result["points"][0]["than"]["std"] == pytest.approx(0.01)
    assert result["detail"].startswith("difference 7 pp, between 5.259 pp and 8.741 pp; ")
    assert "(n = 3 and 3)" in result["detail"]


def test_a_claim_about_places_fails_where_one_place_fails(tmp_path: Path) -> None:
    values = {"a": {0.8: HIGH, 0.9: LOW}, "b": {0.8: LOW, 0.9: HIGH}}
    result = claim_of(tmp_path, values, **GREATER, at={"sparsity": [0.8, 0.9]})
    assert result["verdict"] == "does not hold"
    assert [point["verdict"] for point in result["points"]] == ["holds", "does not hold"]
    assert "weakest of 2 places, sparsity 90%" in result["detail"]


def test_a_place_that_fails_stands_for_the_claim_before_a_wider_one(tmp_path: Path) -> None:
    wide = [0.1, 0.5, 0.98]
    values = {"a": {0.8: wide, 0.9: LOW}, "b": {0.8: HIGH, 0.9: HIGH}}
    result = claim_of(tmp_path, values, **GREATER, at={"sparsity": [0.8, 0.9]})
    assert [point["verdict"] for point in result["points"]] == ["not decided", "does not hold"]
    assert result["points"][0]["low"] < result["points"][1]["low"]
    assert result["verdict"] == "does not hold"
    assert "weakest of 2 places, sparsity 90%" in result["detail"]


def test_a_claim_about_places_is_open_where_one_place_is(tmp_path: Path) -> None:
    values = {"a": {0.8: HIGH, 0.9: HIGH}, "b": {0.8: LOW, 0.9: HIGH}}
    result = claim_of(tmp_path, values, **GREATER, at={"sparsity": [0.8, 0.9]})
    assert result["verdict"] == "not decided"


def test_a_place_fails_only_at_the_corrected_level(tmp_path: Path) -> None:
    # One place of twenty misses by a little: alone that would refute, among twenty it is luck.
    places = [round(0.5 + 0.02 * i, 2) for i in range(20)]
    slight = [value - 0.02 for value in HIGH]
    values = {"a": dict.fromkeys(places, HIGH), "b": dict.fromkeys(places, slight)}
    values["a"][0.5], values["b"][0.5] = slight, HIGH
    alone = claim_of(tmp_path, values, **GREATER, at={"sparsity": [0.5]})
    among = claim_of(tmp_path, values, **GREATER, at={"sparsity": places})
    assert (alone["verdict"], among["verdict"]) == ("does not hold", "not decided")


@pytest.mark.parametrize(
    ("margin", "verdict"), [(0.10, "holds"), (0.07, "not decided"), (0.01, "does not hold")]
)
def test_not_worse_within_a_margin(tmp_path: Path, margin: float, verdict: str) -> None:
    claim = {**GREATER, "check": "not_worse", "margin": margin, "at": {"sparsity": [0.8]}}
    assert claim_of(tmp_path, {"a": {0.8: LOW}, "b": {0.8: HIGH}}, **claim)["verdict"] == verdict


@pytest.mark.parametrize(
    ("margin", "verdict"), [(0.10, "holds"), (0.07, "not decided"), (0.01, "does not hold")]
)
def test_equal_within_a_margin(tmp_path: Path, margin: float, verdict: str) -> None:
    claim = {**GREATER, "check": "equal", "margin": margin, "at": {"sparsity": [0.8]}}
    for a, b in ((LOW, HIGH), (HIGH, LOW)):
        result = claim_of(tmp_path, {"a": {0.8: a}, "b": {0.8: b}}, **claim)
        assert result["verdict"] == verdict


def test_pairs_leave_out_what_their_ends_share(tmp_path: Path) -> None:
    # Far apart between seeds, 0.01 to 0.03 between the two of one seed: mean 0.02, std 0.01,
    # half width t(0.95; 2) / sqrt(3) * 0.01.
    values = {"a": {0.5: [0.51, 0.72, 0.93]}, "b": {0.5: [0.50, 0.70, 0.90]}}
    claim = {"check": "greater", "of": {"series": "a"}, "than": {"series": "b"}}
    for name in ("apart", "pairs"):
        (tmp_path / name).mkdir()
    apart = claim_of(tmp_path / "apart", values, at={"sparsity": [0.5]}, **claim)
    found = claim_of(tmp_path / "pairs", values, at={"sparsity": [0.5]}, paired=True, **claim)
    assert (apart["verdict"], found["verdict"]) == ("not decided", "holds")
    point = found["points"][0]
    half = 2.919986 / math.sqrt(3) * 0.01
    assert (point["low"], point["high"]) == pytest.approx((0.02 - half, 0.02 + half), rel=1e-6)
    assert (found["ours"]["mean"], found["ours"]["std"]) == pytest.approx((0.02, 0.01))
    assert found["ours"]["n"] == 3 and "n = 3 pairs" in found["detail"]


def test_pairs_need_both_of_a_seed(tmp_path: Path) -> None:
    values = {"a": {0.5: [0.6, 0.7, 0.8]}, "b": {0.5: [0.5]}}
    claim = {"check": "equal", "margin": 0.3, "of": {"series": "a"}, "than": {"series": "b"}}
    found = claim_of(tmp_path, values, at={"sparsity": [0.5]}, paired=True, **claim)
    assert found["verdict"] == "not decided" and found["ours"]["n"] == 1


def test_pairs_agree_in_what_the_places_leave_open() -> None:
    def seen(series: str, sparsity: float, schedule: str, seed: int, value: float) -> Observation:
        at = {"sparsity": sparsity, "schedule": schedule}
        return Observation("p", series, at, seed, "finished", {"m": value})

    items = [
        seen("a", 0.8, "early", 0, 1.0), seen("a", 0.8, "late", 0, 2.0),
        seen("a", 0.9, "late", 0, 9.0),
        seen("b", 0.5, "late", 0, 20.0), seen("b", 0.5, "early", 0, 10.0),
        seen("b", 0.5, "early", 1, 30.0),
    ]  # fmt: skip
    first, second = ("a", {"sparsity": 0.8}), ("b", {"sparsity": 0.5})
    assert pairs(items, "m", first, second) == [(1.0, 10.0), (2.0, 20.0)]
    with pytest.raises(UserError, match="second piece of 'a' with seed 0"):
        pairs([*items, seen("a", 0.8, "late", 0, 3.0)], "m", first, second)


def test_a_selection_may_name_another_place(tmp_path: Path) -> None:
    claim = {**GREATER, "than": {"series": "b", "at": {"sparsity": 0.0}}}
    values = {"a": {0.8: HIGH, 0.9: HIGH}, "b": {0.0: LOW}}
    result = claim_of(tmp_path, values, **claim, at={"sparsity": [0.8, 0.9]})
    assert result["verdict"] == "holds"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.9, None, "holds"), (None, 0.9, "does not hold"), (0.985, None, "not decided")],
)
def test_value(tmp_path: Path, low: float | None, high: float | None, verdict: str) -> None:
    claim = {"check": "value", "of": {"series": "a"}, "low": low, "high": high}
    result = claim_of(tmp_path, {"a": {0.8: HIGH}}, **claim, at={"sparsity": [0.8]})
    assert result["verdict"] == verdict
    assert result["ours"]["mean"] == pytest.approx(0.98)


@pytest.mark.parametrize(
    ("dead", "low", "verdict"),
    [(5, 0.5, "holds"), (3, 0.5, "not decided"), (0, 0.5, "does not hold"), (5, 0.0, "holds")],
)
def test_share(tmp_path: Path, dead: int, low: float, verdict: str) -> None:
    values = {"a": {0.8: [0.1] * dead + [0.98] * (5 - dead)}}
    claim = {"check": "share", "of": {"series": "a"}, "below": 0.2, "low": low}
    result = claim_of(tmp_path, values, **claim, at={"sparsity": [0.8]})
    assert result["verdict"] == verdict
    assert ("5 dead" in result["detail"]) == (dead == 5)


def test_spread_is_of_distances_not_of_means(tmp_path: Path) -> None:
    wide = [0.5, 0.7, 0.9, 0.99, 0.3, 0.6]
    narrow = [0.98, 0.981, 0.979, 0.98, 0.98, 0.98]
    claim = {**GREATER, "check": "spread", "at": {"sparsity": [0.8]}}
    result = claim_of(tmp_path, {"a": {0.8: wide}, "b": {0.8: narrow}}, **claim)
    assert result["verdict"] == "holds"
    result = claim_of(tmp_path, {"a": {0.8: narrow}, "b": {0.8: wide}}, **claim)
    assert result["verdict"] == "does not hold"


def test_spread_of_two_is_not_decided(tmp_path: Path) -> None:
    claim = {**GREATER, "check": "spread", "margin": 0.01, "at": {"sparsity": [0.8]}}
    result = claim_of(tmp_path, {"a": {0.8: [0.3, 0.9]}, "b": {0.8: LOW}}, **claim)
    assert result["verdict"] == "not decided"
    assert "too few replicates" in result["detail"]


def test_unrelated(tmp_path: Path) -> None:
    claim = {"check": "unrelated", "of": {"series": "a"}, "along": "sparsity", "margin": 0.3,
             "at": {"sparsity": [0.7, 0.8, 0.9]}}  # fmt: skip
    falling = {"a": {0.7: [0.99, 0.98, 0.97], 0.8: [0.9, 0.89, 0.88], 0.9: [0.5, 0.4, 0.3]}}
    assert claim_of(tmp_path, falling, **claim)["verdict"] == "does not hold"
    many = [0.1 + 0.01 * i for i in range(60)]
    assert claim_of(tmp_path, {"a": dict.fromkeys((0.7, 0.8, 0.9), many)}, **claim)[
        "verdict"
    ] == "holds"  # fmt: skip
    few = {"a": {place: [0.5, 0.6, 0.7] for place in (0.7, 0.8, 0.9)}}
    assert claim_of(tmp_path, few, **claim)["verdict"] == "not decided"


def test_near_levels(tmp_path: Path) -> None:
    claim = {"check": "near_levels", "of": {"series": "a"}, "below": 0.95, "tolerance": 0.01,
             "levels": [0.1 * i for i in range(1, 10)], "at": {"sparsity": [0.8]}}  # fmt: skip
    near = {"a": {0.8: [0.699, 0.801, 0.9, 0.6, 0.505, 0.98, 0.99]}}
    result = claim_of(tmp_path, near, **claim)
    assert result["verdict"] == "holds"
    # Of [0.2, 0.95], 0.2 being where this measure calls a network dead.
    assert result["points"][0]["claimed"][0] == pytest.approx((7 * 0.02 + 0.01) / 0.75)
    assert result["points"][0]["of"]["n"] == 5
    dead = {"a": {0.8: [0.0980, 0.1135, 0.0980, 0.1, 0.65, 0.75]}}
    beside = claim_of(tmp_path, dead, **claim)
    assert beside["verdict"] == "not decided" and "n = 2" in beside["detail"]
    assert "4 dead" in beside["detail"]
    assert claim_of(tmp_path, {"a": {0.8: [0.98, 0.99]}}, **claim)["verdict"] == "not decided"


def test_a_dead_replicate_does_not_undo_what_all_show(tmp_path: Path) -> None:
    pruned, scratch = [0.985, 0.983, 0.986, 0.984, 0.987], [0.975, 0.97, 0.974, 0.976, 0.1135]
    values = {"a": {0.8: pruned}, "b": {0.8: scratch}}
    result = claim_of(tmp_path, values, **GREATER, at={"sparsity": [0.8]})
    assert result["verdict"] == "holds" and result["detail"].startswith(
        "shift by ranks 1.2 pp, between 0.9 pp"
    )
    assert "1 dead" in result["detail"]
    # A dead one on the other side is not overlooked: what is claimed of all is not seen at all.
    values = {"a": {0.8: [*pruned[:3], 0.1, 0.1135]}, "b": {0.8: [*scratch[:4], 0.973]}}
    (tmp_path / "two").mkdir()
    result = claim_of(tmp_path / "two", values, **GREATER, at={"sparsity": [0.8]})
    assert result["verdict"] == "not decided" and "2 dead" in result["detail"]


def test_dead_and_failed_pieces_are_counted_never_dropped(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, {"a": {0.8: [0.98, 0.1135]}, "b": {0.8: [0.5] * 4}}, {
        "check": "greater", "of": {"series": "a"}, "than": {"series": "b"},
    })  # fmt: skip
    failures = plan.out / "failures"
    failures.mkdir(parents=True)
    (failures / "a_0.8.seed_2.json").write_text('{"error": "the loss is nan", "mark": "1"}')
    groups = {(item.series, item.measure): item for item in group(plan, observe(plan))}
    found = groups["a", "accuracy"]
    assert found.values == (0.98, 0.1135)
    assert (found.dead, found.failed, found.open) == (1, 1, 1)
    (result,) = check_claims(plan, observe(plan))
    assert "1 dead" in result["detail"] and "1 failed" in result["detail"]
    assert "1 not yet run" in result["detail"]
    assert result["ours"]["of"]["mean"] == pytest.approx((0.98 + 0.1135) / 2)
