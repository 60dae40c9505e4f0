"""A chart as a file: HTML that opens without network, PNG, SVG, Vega-Lite JSON; a table as CSV."""

from __future__ import annotations

import functools
import html
import json
import os
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from tfsparse import files
from tfsparse.errors import UserError

FORMATS = ("html", "png", "svg", "json")

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)
"""Nothing is fetched from anywhere. Vega compiles its expressions, hence 'unsafe-eval'."""


def to_spec(chart: Any, *, validate: bool = True) -> dict[str, Any]:
    """The chart as a Vega-Lite specification with its data inside.

    `validate` checks it against Vega-Lite's schema, which takes as long as building it.
    """
    if isinstance(chart, dict):
        return chart
    with alt.data_transformers.enable("default", max_rows=None):
        return chart.to_dict(validate=validate)


def to_png(chart: Any, *, scale: float = 2.0) -> bytes:
    """The chart as PNG, `scale` device pixels per chart pixel."""
    import vl_convert

    return vl_convert.vegalite_to_png(_fixed_size(to_spec(chart)), scale=scale)


def to_svg(chart: Any) -> str:
    """The chart as SVG."""
    import vl_convert

    return vl_convert.vegalite_to_svg(_fixed_size(to_spec(chart)))


def to_vega_lite(chart: Any) -> str:
    """The chart as Vega-Lite JSON, to be opened in any Vega editor."""
    return json.dumps(to_spec(chart), indent=1)


def to_csv(table: pd.DataFrame) -> str:
    """The table as CSV; a cell that a spreadsheet would run as a formula is quoted with '."""
    safe = table.copy()
    for name in safe.columns:
        if not pd.api.types.is_numeric_dtype(safe[name]):
            safe[name] = safe[name].map(_no_formula)
    return safe.to_csv(index=False)


def to_html(chart: Any, *, title: str = "tfsparse") -> str:
    """One chart as a page that opens without network."""
    return page(title, [chart_block(chart, 0)])


def save(chart: Any, path: str | os.PathLike[str]) -> None:
    """Write the chart in the format of the file name's ending.

    Raises:
        UserError: an ending that is none of `FORMATS`.
    """
    ending = Path(path).suffix.lstrip(".").lower()
    if ending == "png":
        files.write_bytes(path, to_png(chart))
    elif ending == "svg":
        files.write_text(path, to_svg(chart))
    elif ending == "json":
        files.write_text(path, to_vega_lite(chart))
    elif ending == "html":
        files.write_text(path, to_html(chart))
    else:
        known = ", ".join("." + name for name in FORMATS)
        raise UserError(f"{path}: expected a file name ending in {known}")


def chart_block(chart: Any, number: int) -> str:
    """The HTML of one chart inside `page`; `number` is unique on the page."""
    spec = to_spec(chart)
    # "</script>" or "<!--" inside a JSON text would end or open markup; "<" as an escape cannot.
    data = json.dumps(spec).replace("<", "\\u003c")
    label = html.escape(str(spec.get("description") or "chart"))
    return (
        f'<figure class="chart" id="chart-{number}" role="img" aria-label="{label}"></figure>\n'
        f'<script type="application/json" data-chart="chart-{number}">{data}</script>'
    )


def page(title: str, blocks: list[str], *, style: str = "") -> str:
    """A whole HTML document around `blocks` of trusted HTML, with the chart code inline."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n"
        + "\n".join(blocks)
        + f"\n<script>{_chart_code()}</script>\n<script>{START}</script>\n</body>\n</html>\n"
    )


STYLE = """
body { font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif;
  color: #222; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-size: 13px; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: 3px 12px 3px 0; border-bottom: 1px solid #e6e8eb;
  vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
figure.chart { margin: 1em 0; overflow-x: auto; }
.problem { color: #a33b00; } .faint { color: #5f6368; } pre { overflow-x: auto; }
"""

START = """
for (const data of document.querySelectorAll("script[data-chart]")) {
  const place = document.getElementById(data.dataset.chart);
  vegaEmbed(place, JSON.parse(data.textContent),
    {actions: {export: true, source: false, compiled: false, editor: false}, renderer: "svg"})
    .then(() => place.setAttribute("data-drawn", "yes"))
    .catch((error) => { place.textContent = "This chart cannot be drawn: " + error.message; });
}
"""


@functools.cache
def _chart_code() -> str:
    """Vega, Vega-Lite and vega-embed as one script, from the installed vl-convert."""
    import vl_convert

    version = alt.SCHEMA_VERSION.lstrip("v").rsplit(".", 1)[0]
    # The snippet finds the libraries under these names; it cannot import them.
    code: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    return code.replace("</script", "<\\/script")


def _fixed_size(spec: dict[str, Any]) -> dict[str, Any]:
    """A picture has no container to fill."""
    return {**spec, "width": 640} if spec.get("width") == "container" else spec


def _no_formula(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
