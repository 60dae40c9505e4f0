"""Commands end in one line and the right exit code, whatever goes wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tfsparse
from tfsparse import cli
from tfsparse.errors import RunFailed, UserError, one_line
from tfsparse.runs import Run

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(tfsparse.__file__).parents[1])}
ENVIRONMENT.pop("PYTHONUNBUFFERED", None)  # people's output waits in a buffer
DOORS = [name for name in cli.COMMANDS if (Path(tfsparse.__file__).parent / f"{name}.py").exists()]

TINY = {
    "model": {"name": "lenet_300_100", "width": 0.1},
    "data": {"image_size": 8},
    "optimizer": {"learning_rate": 0.1},
    "train": {"steps": 40, "batch_size": 32, "log_every": 2, "checkpoint_every": 10, "xla": False},
}


def tfs(*arguments, cwd=ROOT, module="tfsparse", **options) -> subprocess.CompletedProcess:
    """A command of tfsparse in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, text=True, timeout=300, **options)


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY))
    return path


# ---- help --------------------------------------------------------------------------------


def test_help_lists_every_command():
    result = tfs("--help")
    assert (result.returncode, result.stderr) == (0, "")
    for name, text in cli.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(text)}$", result.stdout, re.MULTILINE)
    assert tfs().stdout == result.stdout


def test_version():
    result = tfs("--version")
    assert (result.returncode, result.stdout) == (0, f"tfsparse {tfsparse.__version__}\n")


def test_every_command_has_its_door():
    assert list(cli.COMMANDS) == DOORS


LIGHT = """
import contextlib, importlib, io, sys
for name in sys.argv[2:]:
    main = importlib.import_module(f"tfsparse.{name}").main
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        main(["--help"])
    assert f"tfsparse.{name}" in text.getvalue() and "--verbose" in text.getvalue(), name
    heavy = {"tensorflow", "tf_keras", "keras", "tensorflow_datasets", "jax", "ai_edge_litert"}
    print(name, *sorted(heavy & set(sys.modules)))
from tfsparse.config import RunConfig, load_config
from tfsparse.train import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["--config", sys.argv[1], "--print-config"])
print("config", *sorted(heavy & set(sys.modules)))
"""


def test_help_and_print_config_load_no_tensorflow(tiny):
    result = subprocess.run(
        [sys.executable, "-c", LIGHT, str(tiny), *DOORS],
        env=ENVIRONMENT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.splitlines() == [*DOORS, "config"]


# ---- exit codes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'? expected one of train, "),
        (["-x"], "unknown command '-x'; expected one of train, interpolate, "),
        (["train", "--bogus", "--config", "x"], "unrecognized arguments: --bogus; see python -m "),
        (["train", "--conf", "x"], "the following arguments are required: --config; see python"),
        (["train", "--config"], "argument --config: expected one argument; see python -m "),
        (["train", "--config", "no.json"], "no.json: no such file; expected a readable file"),
        (["train", "--config", "."], ".: expected a file, received a folder"),
    ],
)
def test_unusable_input_is_one_line_and_code_2(arguments, line, tmp_path):
    result = tfs(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {line}")
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_console_script_is_the_module(tiny):
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.scripts]\ntfsparse = "tfsparse.__main__:main"\n' in text
    arguments = ["--config", str(tiny), "--print-config", "--set", "seed=3"]
    both = [tfs("train", *arguments), tfs(*arguments, module="tfsparse.train")]
    assert [result.returncode for result in both] == [0, 0]
    assert both[0].stdout == both[1].stdout
    assert json.loads(both[0].stdout)["seed"] == 3


@pytest.fixture
def code(monkeypatch, capsys):
    """Runs an action that raises `error`; the exit code and what stands on stderr."""
    monkeypatch.setattr(cli, "_silence_tensorflow", lambda: None)

    def end(error, *arguments):
        def action(_):
            print("work")
            if error is not None:
                raise error
            return 0

        with pytest.raises(SystemExit) as caught:
            cli.run(action, arguments)
        return caught.value.code, capsys.readouterr().err

    return end


@pytest.mark.parametrize(
    ("error", "expected", "line"),
    [
        (None, 0, ""),
        (UserError("a key\nis  wrong\x1b[2J"), 2, "error: a key is wrong?[2J\n"),
        (RunFailed("the loss"), 1, "error: the loss\n"),
        (KeyboardInterrupt(), 130, "interrupted; the same command carries on\n"),
        (SystemExit(0), 0, ""),
        (SystemExit(None), 0, ""),
        (KeyError("x"), 1,
         "error: KeyError: 'x' (a defect of tfsparse; --verbose shows where)\n"),
        (MemoryError(), 1,
         "error: MemoryError: MemoryError (a defect of tfsparse; --verbose shows where)\n"),
    ],
    ids=repr,
)  # fmt: skip
def test_each_end_has_its_code_and_line(code, error, expected, line):
    assert code(error) == (expected, line)


def test_verbose_shows_where(code):
    number, text = code(UserError("wrong"), "--verbose")
    assert number == 2
    assert text.startswith("Traceback ")
    assert text.endswith("error: wrong\n")
    with pytest.raises(KeyError):
        code(KeyError("x"), "--verbose")


def test_an_error_is_one_printable_line():
    assert one_line(ValueError("a\n\tb\u2028c\x00")) == "a b c?"
    assert one_line(ValueError()) == "ValueError"
    assert one_line(FileNotFoundError(2, "No such file", "a.txt")) == "a.txt: No such file"
    assert one_line(OSError("plain")) == "plain"
    tensorflow = "{{function_node __wrapped__SaveV2_device_/job:a}} x; No space left [Op:SaveV2]"
    assert one_line(ValueError(tensorflow)) == "x; No space left"


# ---- where output goes -------------------------------------------------------------------


def test_a_full_disk_behind_stdout_is_one_line():
    with open("/dev/full", "w") as full:
        result = tfs("--help", stdout=full)
    assert (result.returncode, result.stderr) == (1, "error: No space left on device\n")


def test_a_reader_that_goes_away_is_no_error_message():
    read, write = os.pipe()
    os.close(read)
    try:
        result = tfs("--help", stdout=write)
    finally:
        os.close(write)
    assert (result.returncode, result.stderr) == (1, "")


def test_closed_streams_do_no_harm(tmp_path):
    for streams in (">&-", "2>&-", ">&- 2>&-"):
        for arguments, number in (("--help", 0), ("train --config no.json", 2)):
            line = f"{sys.executable} -m tfsparse {arguments} {streams}"
            result = subprocess.run(
                ["sh", "-c", line], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
            )
            assert result.returncode == number, line
            assert "Traceback" not in result.stderr


# ---- runs that end badly -----------------------------------------------------------------

# Limits what one file may hold; a shell's `&` would have the interrupt ignored.
WRAPPER = """
import resource, runpy, signal, sys
limit = int(sys.argv.pop(1))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("tfsparse.train", run_name="__main__", alter_sys=True)
"""

OVERRIDES = {
    "diverging": ["optimizer.learning_rate=1e9", "optimizer.weight_decay=0.1"],
    "full": [],
    "interrupted": ["train.steps=1000000", "train.evaluate_every=null"],
    "beyond": ["method=pruned", "pruning.final_sparsity=0.5", "pruning.end_step=41"],
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A folder, and what a file in it may hold: a small disk of its own where we may mount one."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=96k", "tfsparse-test", str(folder)]
    mounted = shutil.which("mount") and subprocess.run(mount, capture_output=True).returncode == 0
    yield folder, 0 if mounted else 20_000
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="module")
def ends(tmp_path_factory, disk):
    """Starts all four runs at once; gives a function that waits for the end of one."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tiny.json").write_text(json.dumps(TINY))
    processes = {}
    for name, overrides in OVERRIDES.items():
        runs, limit = disk if name == "full" else (folder / "runs", 0)
        overrides = [f"name={name}", f"run_dir={runs}", *overrides]
        command = ["--quiet", "--config", "tiny.json", "--set", *overrides]
        processes[name] = (
            Run(runs / name / "seed_0"),
            subprocess.Popen(
                [sys.executable, "-c", WRAPPER, str(limit), *command],
                cwd=folder, env=ENVIRONMENT, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            ),
        )  # fmt: skip

    def end(name):
        run, process = processes[name]
        output, errors = process.communicate(timeout=300)
        assert output == ""
        assert errors.count("\n") == 1, errors
        return run, process.returncode, errors.strip()

    end.processes = processes
    yield end
    for _, process in processes.values():
        process.kill()
        process.communicate()


def test_a_schedule_beyond_the_end_is_code_2(ends):
    run, code, line = ends("beyond")
    assert code == 2
    assert line == (
        "error: pruning.end_step: expected a step of the run's 40 (1 epochs), received 41"
    )
    assert run.state() == "failed"
    assert run.failure() == line.removeprefix("error: ")


def test_a_loss_that_is_not_finite_is_code_1_and_keeps_the_log(ends):
    run, code, line = ends("diverging")
    assert code == 1
    assert line.startswith(f"error: {run.path}: the loss is not finite between steps ")
    assert line.endswith("; lower optimizer.learning_rate")
    found = re.search(r"between steps (\d+) and (\d+);", line)
    assert run.state() == "failed"
    assert run.failure() == line.removeprefix("error: ")
    steps = [entry["step"] for entry in run.metrics() if entry["kind"] == "train"]
    assert steps == list(range(2, int(found[1]) + 1, 2))
    assert run.initial_weights()


def test_a_full_disk_is_code_1_and_loses_nothing_written(ends):
    run, code, line = ends("full")
    assert code == 1
    assert line.startswith(f"error: {run.path}")
    assert re.search("No space left on device|File too large", line)
    assert "{{" not in line
    assert run.state() in ("failed", "stopped")  # there may be no room left to say why
    assert run.config_json()["name"] == "full"
    assert set(run.initial_weights()) == {
        f"{layer}/{part}" for layer in ("dense1", "dense2", "logits") for part in ("kernel", "bias")
    }
    log = (run.path / "metrics.jsonl").read_text()
    assert log == "" or log.endswith("\n")
    assert len(run.metrics()) == log.count("\n")
    assert not list(run.path.rglob("*.tmp"))


def test_an_interrupt_is_code_130_and_the_run_can_carry_on(ends):
    run, process = ends.processes["interrupted"]
    deadline = time.monotonic() + 200
    while not run.metrics() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert run.state() == "running"
    process.send_signal(signal.SIGINT)
    run, code, line = ends("interrupted")
    assert (code, line) == (130, "interrupted; the same command carries on")
    assert run.state() == "stopped"
    assert run.failure() is None
    assert run.metrics()
