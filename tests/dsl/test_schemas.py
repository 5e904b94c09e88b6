"""The schema files are what the types say, and what is written fits them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import KINDS, PRICES, Kind
from dataplatform.dsl.storage.schemas import FOLDER, schema_files, write_schemas
from tests.dsl.records import price, record

PRICE = price()


def test_the_schema_files_are_not_stale_else_run_scripts_schemas() -> None:
    there = {path.name: path.read_text() for path in FOLDER.iterdir() if path.suffix in {".json", ".sql"}}

    assert there == schema_files()


def test_stale_and_superfluous_files_are_put_right(tmp_path: Path) -> None:
    (tmp_path / "prices.sql").write_text("old")
    (tmp_path / "gone.sql").write_text("old")

    assert set(write_schemas(tmp_path)) == {*schema_files(), "gone.sql"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == schema_files()
    assert write_schemas(tmp_path) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_written_fits_the_json_schema(kind: Kind) -> None:
    schema = json.loads(schema_files()[f"{kind.name}.schema.json"])
    (raw,) = codec(kind).encode([record(kind)])

    jsonschema.validate(json.loads(raw), schema)


def test_what_is_written_says_its_version() -> None:
    (raw,) = codec(PRICES).encode([PRICE])

    assert json.loads(raw)["schemaVersion"] == PRICES.version


@pytest.mark.parametrize("version", [{}, {"schemaVersion": 0}, {"schemaVersion": 99, "newField": [1]}])
def test_other_versions_are_read_too(version: dict[str, object]) -> None:
    (raw,) = codec(PRICES).encode([PRICE])
    document = {key: value for key, value in json.loads(raw).items() if key != "schemaVersion"} | version

    assert codec(PRICES).decode(json.dumps(document).encode()) == PRICE
