"""Door: `python -m tfsparse.report --runs runs --out report.html`."""

from collections.abc import Sequence
from pathlib import Path

from tfsparse import cli, files
from tfsparse.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Write a report of all runs, or the picture of a topology."""
    parser = cli.parser(
        "report", "Charts of all runs as one HTML file that opens without network, and a table."
    )
    parser.add_argument("--runs", metavar="FOLDER", help="the runs folder (default: runs)")
    parser.add_argument(
        "--out", required=True, metavar="FILE",
        help="FILE.html, with the tables beside it as FILE.md; or FILE.md alone",
    )  # fmt: skip
    parser.add_argument(
        "--topology", metavar="RADICES", help="draw the RadiX-Net of these radices, such as 2,2,2"
    )
    options = parser.parse_args(arguments)
    out = Path(options.out)
    if options.topology is not None:
        if options.runs is not None:
            raise UserError("expected either --runs or --topology, received both")
        return _topology(options.topology, out)
    if out.suffix.lower() not in (".html", ".htm", ".md"):
        raise UserError(f"--out: expected a name ending in .html or .md, received {options.out!r}")
    runs = Path(options.runs or "runs")
    if not runs.is_dir():
        raise UserError(f"--runs: expected a folder of runs, {str(runs)!r} is none")

    from tfsparse.charts.document import html_report, markdown_report

    written = [out.with_suffix(".md")]
    if out.suffix.lower() != ".md":
        _write(out, html_report(runs))
        written.insert(0, out)
    _write(written[-1], markdown_report(runs))
    for path in written:
        print(f"{path}  {path.stat().st_size / 1e3:,.0f} kB")
    return 0


def _topology(radices: str, out: Path) -> int:
    try:
        numbers = [int(part) for part in radices.split(",")]
    except ValueError:
        raise UserError(
            f"--topology: expected radices such as 2,2,2, received {radices!r}"
        ) from None

    from tfsparse.charts.export import save
    from tfsparse.charts.topology import radix_chart

    save(radix_chart(numbers), out)
    print(out)
    return 0


def _write(path: Path, text: str) -> None:
    try:
        files.write_text(path, text)
    except OSError as error:
        raise UserError(f"--out: {path} cannot be written ({error.strerror})") from None


def console() -> None:
    """Run as a program."""
    cli.run(main)


if __name__ == "__main__":
    console()
