"""What a run's log says of its gradient flow, in a few numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Line = dict[str, Any]


def norms(lines: Sequence[Line], total: int, early: float) -> dict[str, Any] | None:
    """The mean gradient norm over the first part of training and over the rest.

    The norm before the first step is that of the initial weights and stands for itself: it may
    be a hundred times the next one, and is in neither part.

    Args:
        lines: of a run's log.
        total: its steps.
        early: the first part, as a fraction of all steps.

    Returns:
        early, late: the means (None where nothing was measured); early_log, late_log: the means
        of their logarithms, which no single large one decides; lines: how many measurements;
        None when there are none.
    """
    found = [(line["step"], line["norm"]) for line in lines if line["kind"] == "gradient_flow"]
    if not found:
        return None
    logs = _halves([(step, math.log(norm)) for step, norm in found if norm > 0], total, early)
    plain = _halves(found, total, early)
    return {**plain, "early_log": logs["early"], "late_log": logs["late"]}


def changes(lines: Sequence[Line], total: int, early: float) -> dict[str, Any] | None:
    """The mean change of the gradient norm by mask updates, and that relative to before.

    An update before the first step is of the initial weights and left out.

    Returns:
        early, late: means of after - before; fade: early - late; early_relative,
        late_relative: means of (after - before) / before; lines: how many updates; None when
        none was measured.
    """
    found = [line for line in lines if line["kind"] == "mask_update" and "norm_change" in line]
    if not found:
        return None
    plain = _halves([(line["step"], line["norm_change"]) for line in found], total, early)
    shares = [
        (line["step"], line["norm_change"] / line["norm_before"])
        for line in found
        if line["norm_before"]
    ]
    relative = _halves(shares, total, early)
    both = plain["early"] is not None and plain["late"] is not None
    return {
        **plain,
        "fade": plain["early"] - plain["late"] if both else None,
        "early_relative": relative["early"],
        "late_relative": relative["late"],
    }


def _halves(pairs: Sequence[tuple[int, float]], total: int, early: float) -> dict[str, Any]:
    first = [value for step, value in pairs if 0 < step <= early * total]
    rest = [value for step, value in pairs if step > early * total]
    return {
        "early": float(np.mean(first)) if first else None,
        "late": float(np.mean(rest)) if rest else None,
        "lines": len(pairs),
    }
