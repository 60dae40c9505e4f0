"""What a result was computed with: versions, machine and commit."""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "tfsparse",
    "tensorflow",
    "tf-keras",
    "keras",
    "tensorflow-model-optimization",
    "tensorflow-datasets",
    "numpy",
    "pydantic",
)


def environment() -> dict[str, Any]:
    """Python, package versions, cores, processor, commit and time, as JSON values."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores(),
        "commit": commit(),
        "time": now(),
    }


def cores() -> int:
    """How many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare_tensorflow(*, threads: int | None = None) -> None:
    """Say how TensorFlow shall compute; only what the user's environment does not say already.

    It has no effect once TensorFlow is imported. oneDNN's kernels are TensorFlow's default only
    on processors with AVX-512 VNNI; with AVX2 alone they train LeNet-5 in half the time, too.

    Args:
        threads: threads of one operation; without it one for each core.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if threads is not None:
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(name, str(threads))


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")


def commit() -> str | None:
    """The commit of this source tree, with `+` where files differ from it; None outside git."""
    folder = Path(__file__).resolve().parent
    try:
        _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)  # not somebody else's tree
        head = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10
    )
    return result.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
