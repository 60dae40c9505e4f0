"""The JSON Schema of run configs, for editors: `python -m tfsparse.config.schema FILE`."""

import json
import sys
from typing import Any

from tfsparse import files
from tfsparse.config.run import RunConfig


def schema() -> dict[str, Any]:
    """The schema of a run's JSON file: `RunConfig` with `base`, `$schema` and no required keys,
    which the base may hold."""
    result = RunConfig.model_json_schema()
    result["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    result["title"] = "tfsparse run"
    result["properties"]["base"] = {
        "type": "string",
        "description": "Another config, relative to this one, over which this one is laid.",
    }
    result["properties"]["$schema"] = {"type": "string"}
    for section in (result, *result.get("$defs", {}).values()):
        section.pop("required", None)
    return result


def schema_text() -> str:
    """The schema as the file holds it."""
    return json.dumps(schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    files.write_text(sys.argv[1], schema_text())
