"""What the README tells people to type works, and what it names is there."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tfsparse import cli
from tfsparse.config import RunConfig, load_config
from tfsparse.methods import METHODS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```console\n(.*?)```", TEXT, re.S) for line in block.splitlines()
]
ROWS = re.findall(r"\| `(--config [^`]*)` \|", TEXT)


def test_there_are_commands_and_rows():
    assert "python -m tfsparse.train --config configs/pruned_80.json" in COMMANDS
    assert len(ROWS) == 12


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_targets_exist(line):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert line.split()[1] in targets


def run(line, *more):
    words = shlex.split(line)
    assert words[:2] == ["python", "-m"]
    return subprocess.run(
        [sys.executable, *words[1:], *more], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize("line", [line for line in COMMANDS if "tfsparse.reproduce" in line])
def test_studies_plan(line):
    more = [] if "--dry-run" in line else ["--dry-run"]
    done = run(line, *more)
    assert done.returncode == 0, done.stderr


def test_the_main_job_reaches_what_the_readme_promises(tmp_path):
    done = run(
        "python -m tfsparse.train --config configs/pruned_80.json", "--set", f"run_dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "pruned_80" / "seed_0" / "summary.json").read_text())
    assert summary["test"]["accuracy"] >= 0.95
    assert summary["sparsity"] == pytest.approx(0.8, abs=1e-12)
    promised = re.search(r"```text\n(.*?)```", TEXT, re.S).group(1)
    assert done.stdout.startswith(promised)
    assert "left" in done.stderr, "progress with the time left"


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_the_results_table_are_configs(row):
    words = shlex.split(row)
    config = load_config(ROOT / words[1], RunConfig, words[3:])
    assert config.train.epochs == 15
    assert config.data.name == "mnist"


def test_the_tables_of_commands_and_methods_are_complete():
    for command in cli.COMMANDS:
        assert f"python -m tfsparse.{command}" in TEXT, command
    for method in METHODS:
        assert f"`{method}`" in TEXT or method == "imp_round", method


def test_every_file_it_links_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("http") or (ROOT / target).exists(), target
