"""The JSON Schemas of configs, for editors: `python -m tfsparse.config.schema configs`."""

import argparse
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tfsparse import files
from tfsparse.config.analysis import AnalysisConfig
from tfsparse.config.landscape import CurveConfig, InterpolationConfig, PlaneConfig
from tfsparse.config.run import RunConfig
from tfsparse.config.study import (
    ClaimConfig,
    FigureConfig,
    MeasureConfig,
    PieceTemplate,
    ReferenceConfig,
    StudyOutline,
)

Schema = dict[str, Any]

PLACEHOLDER: Schema = {"type": "string", "pattern": r"^\{[^{}]+\}$"}
"""A text that a preset's value replaces, whatever its type."""


def schemas() -> dict[str, Schema]:
    """File name -> schema: of runs, and of the files that the other commands take."""
    return {
        "schema.json": _headed("tfsparse run", _config(RunConfig)),
        "schema_interpolate.json": _headed("tfsparse line or plane", _line_or_plane()),
        "schema_curve.json": _headed("tfsparse curve", _config(CurveConfig)),
        "schema_analyze.json": _headed("tfsparse analysis", _config(AnalysisConfig)),
        "schema_reproduce.json": _headed("tfsparse study", _study()),
    }


def schema_text(schema: Schema) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _headed(title: str, schema: Schema) -> Schema:
    return schema | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}


def _config(kind: type[BaseModel]) -> Schema:
    """A file read by `load_config`: with `base` and no required keys, which the base may hold."""
    result = _with_schema_key(kind.model_json_schema())
    result["properties"]["base"] = {
        "type": "string",
        "description": "Another config, relative to this one, over which this one is laid.",
    }
    for section in (result, *result.get("$defs", {}).values()):
        section.pop("required", None)
    return result


def _with_schema_key(schema: Schema) -> Schema:
    schema["properties"]["$schema"] = {"type": "string"}
    return schema


def _line_or_plane() -> Schema:
    """Corners make it a plane, as the command reads it."""
    line, plane = _config(InterpolationConfig), _config(PlaneConfig)
    definitions = line.pop("$defs") | plane.pop("$defs")
    return {
        "$defs": definitions,
        "if": {"required": ["corners"]},
        "then": plane,
        "else": line,
    }


def _study() -> Schema:
    """A study before a preset is chosen: inside its parts a placeholder may stand for any value."""
    result = _with_schema_key(StudyOutline.model_json_schema())
    parts = {
        kind.__name__: kind.model_json_schema()
        for kind in (PieceTemplate, MeasureConfig, ReferenceConfig, ClaimConfig, FigureConfig)
    }
    for part in parts.values():
        result["$defs"] |= part.pop("$defs", {})
    result["$defs"] |= parts
    for name, definition in result["$defs"].items():
        if name != "PresetConfig":  # its values are what the placeholders stand for
            _open(definition)
    properties = result["properties"]
    for key, name in (
        ("pieces", "PieceTemplate"), ("reference", "ReferenceConfig"), ("claims", "ClaimConfig"),
    ):  # fmt: skip
        properties[key]["items"] = {"$ref": f"#/$defs/{name}"}
    properties["measures"]["additionalProperties"] = {"$ref": "#/$defs/MeasureConfig"}
    properties["figure"] = {"$ref": "#/$defs/FigureConfig"}
    return result


def _open(definition: Schema) -> None:
    """Let every property, and what lies in it, be a placeholder, too."""
    for key, value in definition.get("properties", {}).items():
        definition["properties"][key] = _or_placeholder(value)


def _or_placeholder(schema: Schema) -> Schema:
    inner = {
        key: _or_placeholder(value)
        for key, value in schema.items()
        if key in ("items", "additionalProperties") and isinstance(value, dict)
    }
    return {"anyOf": [schema | inner, PLACEHOLDER]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the JSON Schemas of all configs.")
    parser.add_argument("folder", type=Path, help="where schema.json and its like go")
    folder = parser.parse_args().folder
    for name, schema in schemas().items():
        files.write_text(folder / name, schema_text(schema))
