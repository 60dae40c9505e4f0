"""The short table at the end of a run."""

from collections.abc import Sequence
from typing import Any

from tfsparse.training.progress import clock_text


def summary_table(summary: dict[str, Any], path: str) -> str:
    """The results of a run as text, at most 100 columns wide."""
    ways = summary.get("representations", {})
    rows = [("layer", "shape", "weights", "kept", "sparsity", *(["trained as"] if ways else []))]
    for name, layer in summary["layers"].items():
        shape = "x".join(map(str, layer["shape"]))
        rows.append(
            (
                name,
                shape,
                f"{layer['size']:,}",
                f"{layer['nonzero']:,}",
                _percent(layer["sparsity"]),
                *([ways.get(name, {}).get("representation", "dense")] if ways else []),
            )
        )
    size = sum(layer["size"] for layer in summary["layers"].values())
    kept = sum(layer["nonzero"] for layer in summary["layers"].values())
    every = ("all", "", f"{size:,}", f"{kept:,}", _percent(summary["sparsity"]))
    rows.append((*every, "") if ways else every)
    nominal = summary["nominal_sparsity"]
    asked = "" if nominal is None else f" (nominal {_percent(nominal)})"
    test, parameters = summary["test"], summary["parameters"]
    lines = [
        *_aligned(rows),
        "",
        f"test accuracy    {_percent(test['accuracy'])} of {test['n']:,} images",
        f"sparsity         {_percent(summary['sparsity'])} overall{asked}",
        f"parameters kept  {parameters['kept']:,} of {parameters['total']:,}",
        f"training time    {clock_text(summary['seconds'])}, "
        f"steps at {summary['images_per_second']:,.0f} images/s",
        f"run folder       {path}",
    ]
    return "\n".join(lines)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}%"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as text: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
