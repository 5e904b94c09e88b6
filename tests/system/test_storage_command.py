"""`python -m dataplatform.system storage`: what the tables of a database take."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from click.testing import CliRunner, Result

from dataplatform.base.database import StorageSize, TableSize
from dataplatform.dsl.records.kinds import KINDS
from dataplatform.system.cli.data.storage import table_of
from dataplatform.system.cli.main import main
from tests.support.agents import no_thread_left_behind

NO_DATABASE = """
[clients.http]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"

[sources.coingecko]
kind = "coingecko"
client = "http"
"""


def run(*arguments: object) -> Result:
    with no_thread_left_behind():
        return CliRunner().invoke(main, [*map(str, arguments)])


def test_the_embedded_database_is_measured_as_json_where_there_is_no_terminal() -> None:
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder:
        assert run("migrate", "--data-dir", folder).exit_code == 0
        measured = run("storage", "--data-dir", folder)
    assert measured.exit_code == 0, measured.output
    assert measured.stderr == (
        "storage: JSON without --json, where there is no terminal, ends with the next release; say --json\n"
    )
    told = json.loads(measured.stdout)["timescale"]
    assert told["timescaledb"] is None
    tables = {table["name"]: table for table in told["tables"]}
    assert {kind.table for kind in KINDS} <= set(tables)
    assert tables["crypto_prices"]["rows"] == 0
    assert tables["crypto_prices"]["bytes"] > 0
    assert tables["crypto_prices"]["saved"] is None


def test_a_topology_without_a_database_is_refused(tmp_path: Path) -> None:
    topology = tmp_path / "topology.toml"
    topology.write_text(NO_DATABASE)
    refused = run("storage", topology)
    assert refused.exit_code == 2
    assert "no client with tables; it needs a client of kind 'timescale'" in refused.stderr


def test_a_person_sees_sizes_in_units_and_what_was_saved() -> None:
    prices = TableSize("crypto_prices", 2_160_000, 50 * 1024**2, 3, 2, before=700 * 1024**2, after=35 * 1024**2)
    shown = table_of("history", StorageSize("17.5", "2.23.1", (prices, TableSize("dead_letters", 0, 8192))))
    cells = [list(column.cells) for column in shown.columns]
    assert shown.title == "history: PostgreSQL 17.5, TimescaleDB 2.23.1"
    assert [column[0] for column in cells] == [
        "crypto_prices", "2,160,000", "50.0 MiB", "3", "2", "700.0 MiB", "35.0 MiB", "95.0%",
    ]  # fmt: skip
    assert [column[1] for column in cells] == ["dead_letters", "0", "8.0 KiB", "", "", "", "", ""]


def test_its_help_shows_an_example() -> None:
    assert "python -m dataplatform.system storage my.toml" in run("storage", "--help").stdout
