"""Several deployment checks as one Markdown page (no TensorFlow)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfsparse.charts.deploy import deploy_markdown
from tfsparse.charts.words import markdown_table, percent

Reports = Sequence[tuple[str, float, Mapping[str, Any]]]
"""Label of the network, nominal sparsity, report of the check."""


def results_markdown(reports: Reports, held: Sequence[Mapping[str, Any]], command: str) -> str:
    """The page: how it was made, which promises were kept, one table per network.

    Args:
        reports: in the order of the page.
        held: promises as `run`, `promise`, `found`, `kept`.
        command: what wrote the page.
    """
    parts = [
        "# Deployment: what the exported files weigh, do and are refused for\n",
        f"Written by `{command}`.\n",
        _machine(reports),
        _LEGEND,
        "## Promises\n",
        _promises(held),
    ]
    for label, sparsity, report in reports:
        against = report["against"]
        parts += [
            f"## {label} at {100 * sparsity:g}%\n",
            f"Keras model: accuracy {percent(against['accuracy'])} on {against['n']:,} images "
            f"({against['inputs']}), largest output {against['largest_output']:.3g}.\n",
            deploy_markdown(report) + "\n",
        ]
    statements = dict.fromkeys(report["statement"] for _, _, report in reports)
    parts += ["## On a phone\n", *[f"{text}\n" for text in statements]]
    return "\n".join(parts)


_LEGEND = """\
Size and zip are compared with `float32.tflite` of the same network. *sparse* counts the weight
tensors stored without their zeros. *LiteRT* says whether the interpreter takes the file: *accepts*
with its default delegate (XNNPACK) and without, *no delegate* only with it switched off. *max abs
diff* is the largest absolute difference of a logit from the Keras model's; the promise of 1e-5 for
float32 files divides it by the largest output where that is above 1. *drop* is accuracy lost in
points. A zip leaves out zeros by itself: compare *zipped* of a sparse file with *zipped* of dense.
Latency is the median of single-image calls after a warm-up, on this machine; *arena* is the memory
for activations without the delegate. *ARM sparse* says whether XNNPACK could use sparse kernels.
"""


def _machine(reports: Reports) -> str:
    if not reports:
        return "No runs.\n"
    report = reports[0][2]
    found = report["environment"]
    packages = found["packages"]
    return (
        f"Machine: {found['processor']}, {found['cores']} cores, {found['system']}; "
        f"TensorFlow {packages['tensorflow']}, LiteRT {report['litert']}, "
        f"{report['timing']['threads']} thread.\n"
    )


def _promises(held: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            promise["run"],
            promise["promise"],
            "-" if promise["found"] is None else f"{promise['found']:.3g}",
            "yes" if promise["kept"] else "NO",
        )
        for promise in held
    ]
    return markdown_table(("run", "promise", "found", "kept"), rows)
