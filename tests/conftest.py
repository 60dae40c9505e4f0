"""Fixtures of several test files."""

import json
import os

import hypothesis
import pytest

from tfsparse.environment import prepare_tensorflow

prepare_tensorflow()

# One set of examples for everybody, so that a green run stays green on the same code;
# HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

LONGEST = ("test_strategies.py", "test_resume.py", "test_worker_faults.py", "test_readme.py")
"""Files of minutes, begun first: the last one to begin leaves the other worker idle."""


def pytest_collection_modifyitems(items):
    """The longest files first; pytest-xdist hands files out in this order."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def written(tmp_path):
    """Writes a config file and gives its path."""

    def write(data, name="c.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write
