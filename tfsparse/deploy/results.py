"""The deployment table: train, export and check several networks, and hold them to promises."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from tfsparse.config import RunConfig, load_config
from tfsparse.config.fields import Many, Sparsity, Strict
from tfsparse.deploy.checker import Timing, check_files, find_files, write_report
from tfsparse.deploy.exporter import ExportOptions, export
from tfsparse.deploy.limits import Limits
from tfsparse.deploy.reference import open_reference
from tfsparse.runs import Run

Note = Callable[[str], None]


class TableEntry(Strict):
    """One network at several sparsities."""

    config: str = Field(min_length=1)
    """The config of a pruned run, relative to the table's file."""
    sparsities: Many[Sparsity] = (0.8, 0.9, 0.98)
    label: str = Field(min_length=1)


class TableConfig(Strict):
    """A deployment table: `python -m tfsparse.check --table this.json`."""

    about: str
    runs: Many[TableEntry]


def make_reports(
    path: Path, overrides: Sequence[str], timing: Timing, note: Note
) -> list[tuple[str, float, dict[str, Any]]]:
    """Train what is not trained, then export and check each run.

    Args:
        path: a `TableConfig` as JSON.
        overrides: `key=value` for every run's config.
        timing: how latency is measured.
        note: called with one line per stage.

    Returns:
        Label, nominal sparsity and report of each run; the reports also stand beside the exports.

    Raises:
        UserError: a config or data set that cannot be used.
        RunFailed: a run that missed its sparsity or diverged.
    """
    table = load_config(path, TableConfig)
    found = []
    for entry in table.runs:
        for sparsity in entry.sparsities:
            config_path = path.parent / entry.config
            name = f"{config_path.stem}_{100 * sparsity:g}"
            settings = [f"name={name}", f"pruning.final_sparsity={sparsity}", *overrides]
            config = load_config(config_path, RunConfig, settings)
            found.append((entry.label, sparsity, _report(config, config_path, timing, note)))
    return found


def _report(config: RunConfig, path: Path, timing: Timing, note: Note) -> dict[str, Any]:
    from tfsparse.training.run import train

    note(f"{config.name}: training, or finished already")
    command = ["python", "-m", "tfsparse.train", "--config", str(path)]
    command += ["--set", f"name={config.name}"]
    if config.pruning is not None:
        command += ["--set", f"pruning.final_sparsity={config.pruning.final_sparsity}"]
    run, _ = train(config, command=command, note=note, quiet=True)
    note(f"{config.name}: exporting and checking")
    return export_and_check(run, timing, note)


def export_and_check(run: Run, timing: Timing, note: Note) -> dict[str, Any]:
    """Every variant of a finished run that LiteRT runs somehow, checked on all test images."""
    out = run.path / "export"
    export(run.path, out, ExportOptions(without_delegate=True, required=True), note)
    reference = open_reference(run.path, examples=None, data=None, count=None)
    report = check_files(find_files([out]), reference, Limits(), timing)
    write_report(out / "deploy.json", report)
    return report


def promises(label: str, sparsity: float, report: dict[str, Any]) -> list[dict[str, Any]]:
    """What is promised of a pruned network's files, and what was found.

    Float32 sparse files are at most 0.35 of dense at 80% and 0.2 at 90%; float32 outputs agree
    to 1e-5, in units of the largest output where that is above 1; int8 costs at most one point.
    """
    rows = {row["name"]: row for row in report["variants"]}
    scale = max(1.0, report["against"]["largest_output"] or 1.0)
    result = []

    def hold(what: str, name: str, key: str, limit: float, unit: float = 1.0) -> None:
        value = rows.get(name, {}).get(key)
        value = None if value is None else value / unit
        result.append(
            {
                "run": f"{label} {100 * sparsity:g}%",
                "promise": f"{name}: {what} at most {limit:g}",
                "found": value,
                "kept": value is not None and value <= limit,
            }
        )

    if sparsity >= 0.8:
        hold("size of dense", "float32_sparse", "size_ratio", 0.2 if sparsity >= 0.9 else 0.35)
    for name in ("float32", "float32_sparse"):
        hold("difference / max(1, largest output)", name, "max_difference", 1e-5, scale)
    for name in ("int8_dynamic", "int8"):
        hold("accuracy drop", name, "accuracy_drop", 0.01)
    return result
