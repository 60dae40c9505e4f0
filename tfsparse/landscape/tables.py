"""Results of paths as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any


def result_table(summary: Mapping[str, Any], path: str) -> str:
    """What a finished line, curve or plane showed."""
    lines = [path]
    kind = summary["kind"]
    if kind == "plane":
        names = ", ".join(str(corner["label"]) for corner in summary["corners"])
        lines.append(f"  plane through {names}")
        lines.append(f"  lowest objective on the grid  {summary['lowest']['objective']:.4f}")
    else:
        zero, one = (summary[summary[key]]["label"] for key in ("t0_is", "t1_is"))
        end = summary["end"]["label"]
        lines.append(f"  t = 0: {zero}; t = 1: {one}; judged on the way to {end}")
        verdicts = summary["verdict"]
        for name, verdict in verdicts.items() if kind == "curve" else [("line", verdicts)]:
            lines += [f"  {name}", *_verdict_lines(verdict)]
    lines.append(
        f"  on {summary['images']:,} training images"
        f"{', augmented' if summary['augmented'] else ''}, batch norm {summary['batch_norm']!r}, "
        f"in {summary['seconds']:.1f} s; a perfect predictor's loss is "
        f"{summary['perfect_loss']:.4g}"
    )
    return "\n".join(lines)


def sweep_table(results: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """The curves of a sweep, the lowest integral first."""
    width = max(len(path) for path, _ in results)
    rows = sorted(results, key=lambda item: _sortable(item[1]["verdict"]["curve"]["integral"]))
    lines = [f"{'curve':{width}}  {'integral':>18}  {'barrier':>18}"]
    for path, summary in rows:
        verdict = summary["verdict"]["curve"]
        lines.append(
            f"{path:{width}}  {_number(verdict, 'integral'):>18}  {_number(verdict, 'barrier'):>18}"
        )
    return "\n".join(lines)


def _verdict_lines(verdict: Mapping[str, Any]) -> list[str]:
    if verdict["integral"] is None:
        return ["    no verdict: fewer than two finite losses between t = 0 and t = 1"]
    words = {True: "yes", False: "no"}
    rows = [
        ("falls monotonically", words[verdict["monotone"]]),
        ("largest rise", f"{_number(verdict, 'max_rise')}, up to t = {verdict['max_rise_t']:.3g}"),
        ("barrier", f"{_number(verdict, 'barrier')}, at t = {verdict['barrier_t']:.3g}"),
        ("integral", _number(verdict, "integral")),
    ]
    if "climb" in verdict:  # results of earlier versions have none
        top = f"up to t = {verdict['climb_t']:.3g}"
        rows.insert(2, ("climbs on the way", f"{_number(verdict, 'climb')}, {top}"))
    if verdict["plateau"] is not None:
        rows.append(("plateau", f"{verdict['plateau']:.3g}"))
    return [f"    {name:20} {text}" for name, text in rows]


def _number(verdict: Mapping[str, Any], key: str) -> str:
    value, error = verdict[key], verdict[f"{key}_se"]
    return "not finite" if value is None else f"{value:.4f} +- {error:.1g}"


def _sortable(value: float | None) -> float:
    return float("inf") if value is None else value
