"""The short text at the end of an analysis."""

from typing import Any


def analysis_table(summary: dict[str, Any], path: str) -> str:
    """The results as text, at most 100 columns wide."""
    lines = {"signal": _signal, "gradient_flow": _flow, "hessian": _hessian,
             "similarity": _similarity}[summary["analysis"]](summary)  # fmt: skip
    return "\n".join([*lines, f"folder  {path}"])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _signal(summary: dict[str, Any]) -> list[str]:
    lines = ["sparsity  init          std of the logits"]
    for row in summary["points"]:
        lines.append(f"{row['sparsity']:8.3f}  {row['init']:12s}  {_number(row['std'])}")
    return lines


def _flow(summary: dict[str, Any]) -> list[str]:
    lines = [f"gradient norm of {summary['source']} on {summary['start']['n']} images"]
    lines += [f"{at:14s} {_number(summary[at]['norm'])}" for at in ("start", "end")]
    for word, title in (("training", "logged"), ("updates", "change by update")):
        found = summary[word]
        if found:
            early, late = _number(found["early"]), _number(found["late"])
            lines.append(f"{title}: early {early}, late {late} ({found['lines']} measurements)")
    return lines


def _hessian(summary: dict[str, Any]) -> list[str]:
    lines = [f"Hessian of {summary['source']} at {summary['at']} on {summary['n']} images"]
    for moment in ("spectrum", "before", "after"):
        if moment in summary:
            found = summary[moment]
            lines.append(
                f"{moment:9s} {found['dimensions']:,} coordinates, eigenvalues "
                f"{_number(found['smallest'])} to {_number(found['largest'])}, "
                f"{found['negative']:,} negative ({found['negative_share']:.1%})"
            )
    return lines


def _similarity(summary: dict[str, Any]) -> list[str]:
    lines = [f"compared to {summary['source']} on {summary['n']:,} {summary['split']} images",
             "l2 start  l2 end  cosine  disagree      KL  accuracy  run"]  # fmt: skip
    for row in summary["runs"]:
        lines.append(
            f"{row['l2_start_to_solution']:8.3f}  {row['l2_to_solution']:6.3f}  "
            f"{row['cosine_to_solution']:6.3f}  {row['disagreement']:8.2%}  {row['kl']:6.3f}  "
            f"{row['accuracy']:8.2%}  {row['run']}"
        )
    found = summary["ensemble"]
    dead = summary.get("dead", 0)  # analyses made before dead runs were told apart have no count
    left_out = f", {dead} dead left out" if dead else ""
    lines.append(
        f"ensemble {_percent(found['accuracy'])}, single networks {_percent(found['single'])}"
        f"{left_out}, the solution {found['solution']:.2%}"
    )
    return lines
