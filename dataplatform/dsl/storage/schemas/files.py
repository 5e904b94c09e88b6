"""Schemas derived from the types: JSON Schema of the wire, SQL of the table, settings of the topic.

The files beside this module are written by `scripts/schemas`, for people and programs that do not run Python.
"""

from __future__ import annotations

import json
from pathlib import Path

from dataplatform.base.streaming import TopicSpec
from dataplatform.dsl.records.kinds import KINDS, Kind
from dataplatform.dsl.records.schema import described, form_schema, struct_of
from dataplatform.dsl.storage.tables import table_of

__all__ = ["FOLDER", "schema_files", "schema_text", "write_schemas"]

FOLDER = Path(__file__).parent


def schema_files() -> dict[str, str]:
    """Return the text of every schema file of the platform's own kinds by its name."""
    files = {}
    for kind in KINDS:
        files[f"{kind.name}.schema.json"] = schema_text(kind)
        files[f"{kind.name}.sql"] = ";\n\n".join(table_of(kind).create) + ";\n"
        files[f"{kind.name}.topic.json"] = _json(_topic(kind))
    return files


def write_schemas(folder: Path = FOLDER) -> list[str]:
    """Write the files that are missing or stale, delete those of kinds that are gone, and return their names."""
    wanted = schema_files()
    there = {
        path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.suffix in {".json", ".sql"}
    }
    stale = [name for name, text in wanted.items() if there.get(name) != text]
    for name in stale:
        (folder / name).write_text(wanted[name], encoding="utf-8")
    gone = sorted(set(there) - set(wanted))
    for name in gone:
        (folder / name).unlink()
    return stale + gone


def schema_text(kind: Kind) -> str:
    """Return the JSON Schema of the messages of a kind."""
    schema = form_schema(struct_of(kind.type, version=kind.version))
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.type.__name__,
        "description": described(kind.type),
        **{key: value for key, value in schema.items() if key not in {"title", "description"}},
    }
    return _json(document)


def _topic(kind: Kind) -> dict[str, object]:
    spec = TopicSpec(kind.topic)
    return {
        "topic": spec.name,
        "partitions": spec.partitions,
        "key": kind.message_key,
        "value": f"{kind.name}.schema.json",
        "configs": spec.configs,
    }


def _json(document: dict[str, object]) -> str:
    return json.dumps(document, indent=2) + "\n"
