"""The figures of studies by the name a study's config gives them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from tfsparse.charts.analysis import gradient_norm, norm_change, solution_map, spectrum
from tfsparse.charts.landscape import paths
from tfsparse.charts.study_accuracy import against
from tfsparse.charts.study_data import StudyData
from tfsparse.charts.study_series import by_series
from tfsparse.charts.study_time import over_time
from tfsparse.errors import UserError

Figure = Callable[..., Any]

FIGURES: Mapping[str, Figure] = {
    "against": against,
    "over_time": over_time,
    "by_series": by_series,
    "gradient_norm": gradient_norm,
    "norm_change": norm_change,
    "solution_map": solution_map,
    "spectrum": spectrum,
    "paths": paths,
}


def check_figure(name: str, args: Mapping[str, Any]) -> None:
    """Raise a UserError unless `name` is a figure that takes `args`."""
    if name not in FIGURES:
        near = difflib.get_close_matches(name, FIGURES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        known = ", ".join(FIGURES)
        raise UserError(f"figure.chart: expected one of {known}, received {name!r}{hint}")
    function = FIGURES[name]
    known_args = function.__kwdefaults__ or {}
    for key in args:
        if key not in known_args:
            expected = ", ".join(known_args)
            raise UserError(f"figure.args: {name!r} takes {expected}, received {key!r}")


def draw(name: str, data: StudyData, args: Mapping[str, Any]) -> Any:
    """The figure `name` of a study's results, as an Altair chart."""
    check_figure(name, args)
    return FIGURES[name](data, **args)
