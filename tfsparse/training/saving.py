"""SavedModels that appear whole or not at all."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import tf_keras as keras


def save_model(model: keras.Model, path: Path) -> None:
    """Save `model` as a SavedModel folder at `path`, without its optimizer."""
    with _appearing_at(path) as temporary:
        model.save(temporary, save_format="tf", include_optimizer=False)


def copy_model(source: Path, path: Path) -> None:
    """Copy a SavedModel folder to `path`."""
    with _appearing_at(path) as temporary:
        shutil.copytree(source, temporary)


@contextlib.contextmanager
def _appearing_at(path: Path) -> Iterator[Path]:
    """A temporary folder name that becomes `path` when its block ends well."""
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary / "model"
        if path.exists():
            shutil.rmtree(path)
        (temporary / "model").rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
