"""The house is built one way: a module imports only from its own room and the rooms below."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tfsparse

PACKAGE = Path(tfsparse.__file__).parent

# From the ground up. A room is a module or a folder directly in the package.
ROOMS = [
    "__init__", "errors", "json_text", "files", "seeds", "environment", "config", "plan", "runs",
    "data", "models", "sparsity", "sources", "sizing", "starts", "subjects", "methods", "training",
    "landscape", "analysis", "deploy", "charts", "studies", "cli",
]  # fmt: skip
DOORS = [
    "train", "interpolate", "curve", "analyze", "export", "check", "report", "reproduce", "__main__"
]  # fmt: skip

# What opens without TensorFlow.
LIGHT = [
    "errors", "json_text", "files", "seeds", "environment", "config", "plan", "runs", "charts",
    "cli", *DOORS,
]  # fmt: skip

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room(module: str) -> str:
    return module.partition(".")[0]


def imported(module: str) -> set[str]:
    """The modules of the package that `module` names in its imports, at whatever depth."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} line {node.lineno}: imports are absolute"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        inner = [name.removeprefix("tfsparse.") for name in names if name.startswith("tfsparse.")]
        found |= {name for name in inner if name in MODULES or f"{name}.__init__" in MODULES}
    return found


def test_every_module_has_a_room():
    assert {room(module) for module in MODULES} <= {*ROOMS, *DOORS}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module):
    order = {name: number for number, name in enumerate(ROOMS)}
    own = order.get(room(module), len(ROOMS))  # doors stand above all rooms
    for other in imported(module):
        if room(other) == room(module):
            continue
        assert room(other) in order, f"{module} imports the door {other}"
        assert order[room(other)] < own, f"{module} imports {other}, which stands above it"


def test_modules_of_a_room_do_not_import_each_other_in_a_circle():
    edges = {}
    for module in MODULES:
        name = module.removesuffix(".__init__")
        edges[name] = {other.removesuffix(".__init__") for other in imported(module)} - {name}
    done: set[str] = set()

    def walk(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above[above.index(module) :], module))
        if module not in done:
            for other in sorted(edges[module]):
                # A package's own __init__ gathers its modules; these may be named through it.
                if not module.startswith(f"{other}."):
                    walk(other, (*above, module))
            done.add(module)

    for module in edges:
        walk(module, ())


CHECK = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    heavy = {"tensorflow", "tf_keras", "keras", "tensorflow_model_optimization"} & set(sys.modules)
    if heavy:
        sys.exit(f"{name} imports {sorted(heavy)}")
"""


def test_light_rooms_import_no_tensorflow():
    names = [
        f"tfsparse.{module}".removesuffix(".__init__")
        for module in MODULES
        if room(module) in LIGHT and room(module) != "__main__"
    ]
    assert len(names) > 30
    result = subprocess.run(
        [sys.executable, "-c", CHECK, *names], cwd=PACKAGE.parent, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short_and_say_what_they_are(module):
    text = MODULES[module].read_text()
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text))
    assert room(module) not in ("utils", "helpers", "common", "misc")
    assert module.rpartition(".")[2] not in ("utils", "helpers", "common", "misc")


def test_doors_and_rooms_share_no_name():
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert not folders & set(DOORS)
    assert len({*ROOMS, *DOORS}) == len(ROOMS) + len(DOORS)
