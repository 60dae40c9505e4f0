"""Run configs for tests."""


def run(**keys):
    """The smallest config, with more keys."""
    return {"train": {"steps": 10}, **keys}
