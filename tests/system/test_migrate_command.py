"""`python -m dataplatform.system migrate`: databases brought up to date, and what is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dataplatform.base.embedded import DataDirectory
from dataplatform.system.cli.main import main
from dataplatform.system.config.topology import load_topology
from dataplatform.system.platform.assembly import assemble
from tests.integration.topologies import main_job
from tests.support.agents import no_thread_left_behind

UNREACHABLE = """
[clients.database]
kind = "timescale"
dsn = "postgresql://somebody:secret@127.0.0.1:9/prices"

[clients.http]
kind = "http"
base_url = "https://api.coingecko.com/api/v3"

[sources.coingecko]
kind = "coingecko"
client = "http"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder:
        yield Path(folder)


def run(*arguments: object) -> Result:
    with no_thread_left_behind():
        return CliRunner().invoke(main, ["migrate", *map(str, arguments)])


def test_the_embedded_database_is_migrated_once(folder: Path) -> None:
    first, second = run("--data-dir", folder), run("--data-dir", folder)

    assert (first.exit_code, second.exit_code) == (0, 0), first.output
    assert "timescale: tables brought from version none to 0007" in first.stdout
    assert "timescale: the server has no TimescaleDB" in first.stdout
    assert "timescale: all was up to date" in second.stdout


def test_in_a_data_directory_in_use_no_server_is_started(folder: Path) -> None:
    with DataDirectory(folder):
        failed = run("--data-dir", folder)
    assert failed.exit_code == 1
    assert "timescale: not migrated" in failed.stderr
    assert not (folder / "postgres").exists()


def test_an_unreachable_database_is_said_without_its_password(tmp_path: Path) -> None:
    topology = tmp_path / "topology.toml"
    topology.write_text(UNREACHABLE)

    failed = run(topology)

    assert failed.exit_code == 1
    assert "database: not migrated: database: " in failed.stderr
    assert "secret" not in failed.output


def test_a_topology_that_does_not_fit_together_is_refused_with_its_line(tmp_path: Path) -> None:
    topology = tmp_path / "topology.toml"
    topology.write_text(UNREACHABLE.replace("dsn =", "dns ="))

    refused = run(topology)

    assert refused.exit_code == 2
    assert f"{topology}:4: unknown key 'dns'" in refused.stderr


def test_its_help_shows_an_example() -> None:
    assert "python -m dataplatform.system migrate my.toml" in run("--help").stdout


@pytest.mark.parametrize(("system", "agents"), [("", ["timescale.migrator"]), ("migrate = false", [])])
def test_a_run_migrates_unless_it_is_switched_off(tmp_path: Path, system: str, agents: list[str]) -> None:
    assembly = assemble(load_topology(main_job(tmp_path, system=system)), tmp_path, demo=False)

    assert [spec.name for spec in assembly.specs if spec.name.endswith(".migrator")] == agents


def test_a_database_that_no_target_writes_to_is_its_writers_to_migrate(tmp_path: Path) -> None:
    topology = tmp_path / "topology.toml"
    topology.write_text(UNREACHABLE)

    assembly = assemble(load_topology(topology), tmp_path, demo=False)

    assert not any(spec.name.endswith(".migrator") for spec in assembly.specs)
