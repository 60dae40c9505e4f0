"""A measure over training steps, one thin line per replicate: where runs get stuck."""

from __future__ import annotations

from typing import Any

import altair as alt

from tfsparse.charts.logs import read_log
from tfsparse.charts.study_data import StudyData
from tfsparse.charts.style import accuracy_y, finish, message_chart, series_color, step_x
from tfsparse.charts.words import place_words


def over_time(
    data: StudyData,
    *,
    column: str = "sparsity",
    row: str | None = None,
    split: str = "test",
    series: str | None = None,
) -> Any:
    """Accuracy over steps, one line per replicate, panels by place.

    Args:
        data: the study.
        column: the key of `at` that gets one column of panels per value.
        row: `series` or the key of `at` that gets one row of panels per value.
        split: which evaluations are drawn.
        series: draw only this series.
    """
    points: list[dict[str, Any]] = []
    columns: dict[Any, None] = {}
    rows: dict[Any, None] = {}
    for piece in data.pieces:
        if column not in piece["at"] or (series is not None and piece["series"] != series):
            continue
        path = data.folder(piece) / "metrics.jsonl"
        if not path.is_file():
            continue
        across = piece["at"][column]
        down = piece["series"] if row == "series" else piece["at"].get(row, "") if row else ""
        evaluations = read_log(path).table("evaluation")
        if evaluations.empty:
            continue
        chosen = evaluations[evaluations["split"] == split]
        for step, accuracy in zip(chosen["step"], chosen["accuracy"], strict=True):
            points.append({"step": float(step), "accuracy": float(accuracy), "column": across,
                           "row": down, "seed": f"{piece['seed']}"})  # fmt: skip
        if len(chosen):
            columns[across] = rows[down] = None
    if not points:
        return message_chart("No evaluations recorded yet.")
    seeds = sorted({point["seed"] for point in points}, key=lambda text: (len(text), text))
    grid = [
        [_panel(points, across, down, seeds, column, len(rows) > 1) for across in columns]
        for down in rows
    ]
    chart = alt.vconcat(*(alt.hconcat(*line) for line in grid))
    return finish(
        chart,
        title=data.title,
        subtitle=[data.subtitle, "one line per initialization"],
        description=f"{data.title}: {split} accuracy over training steps",
    )


def _panel(
    points: list[dict[str, Any]],
    across: Any,
    down: Any,
    seeds: list[str],
    column: str,
    name_row: bool,
) -> Any:
    mine = [point for point in points if point["column"] == across and point["row"] == down]
    words = f"{column} {place_words(column, across)}"
    if name_row:
        words = f"{str(down).replace('_', ' ')}, {words}"
    return (
        alt.Chart(alt.Data(values=mine), title=words)
        .mark_line(strokeWidth=1.3, opacity=0.9)
        .encode(
            x=step_x(),
            y=accuracy_y(scale=alt.Scale(domain=[0, 1])),
            color=series_color(seeds, "seed", legend=None),
            detail=alt.Detail(field="seed", type="nominal"),
            tooltip=[
                alt.Tooltip(field="seed", type="nominal"),
                alt.Tooltip(field="step", type="quantitative"),
                alt.Tooltip(field="accuracy", type="quantitative", format=".2%"),
            ],
        )
        .properties(width=240, height=170)
    )
