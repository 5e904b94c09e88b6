"""The migrations on a plain PostgreSQL: new databases, those of the first release, and what stands in the way."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path

import psycopg2
import pytest
from attrs import evolve

from dataplatform.base.agent import Entry, PeerRestarted, Ready, State
from dataplatform.base.agent.messages import Vitals
from dataplatform.base.database import Migrator, TimescaleClient, TimescaleSettings, migrate
from dataplatform.base.embedded import EmbeddedPostgres, postgres_dsn
from dataplatform.dsl.flow.dead_letters import letter_for_input
from dataplatform.dsl.records.kinds import DEAD_LETTERS, PRICES
from dataplatform.dsl.storage.tables import STORAGE, table_of
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, get_data
from tests.base.database.clients import rows
from tests.dsl.records import price
from tests.support.agents import no_thread_left_behind
from tests.support.solo import PATIENCE, Solo, solo
from tests.support.storage import FIRST, candles, difference, first_release, migrated, query, run

numbers = count(1)
DAY = timedelta(days=1)


def until(happened: Callable[[], bool]) -> bool:
    """Look again and again until something happened elsewhere; each look takes its time at the server."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            return False
    return True


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder, solo() as agents:
        agents.start("postgres", EmbeddedPostgres, Path(folder))
        assert agents.parent.told(Ready, "postgres")
        yield postgres_dsn(Path(folder))


@pytest.fixture
def dsn(server: str) -> str:
    """A new database."""
    name = f"test_{next(numbers)}"
    run(server, f"CREATE DATABASE {name}")
    return psycopg2.extensions.make_dsn(server, dbname=name)


@pytest.fixture
def agents() -> Iterator[Solo]:
    with no_thread_left_behind(), solo() as agents:
        yield agents


def test_a_new_database_gets_the_tables_that_the_types_say_and_plain_candles(dsn: str) -> None:
    done = migrated(dsn)
    assert difference(dsn) == []
    assert done.done[0] == "tables brought from version none to 0007"
    assert "crypto_prices_1m is a view" in done.done
    assert done.lacks.startswith("no TimescaleDB")


def test_a_second_migration_changes_nothing(dsn: str) -> None:
    first_release(dsn)
    migrated(dsn)
    before = query(dsn, "SELECT oid, relname, relfilenode FROM pg_class ORDER BY oid")
    assert migrated(dsn).done == ()
    assert query(dsn, "SELECT oid, relname, relfilenode FROM pg_class ORDER BY oid") == before


def test_a_database_of_the_first_release_keeps_its_rows(dsn: str) -> None:
    first_release(dsn)
    everything = "SELECT * FROM crypto_prices ORDER BY coin_id, last_updated"
    before = query(dsn, everything)
    changes = [change[0] if isinstance(change[0], str) else change[0][0] for change in difference(dsn)]
    assert sorted(changes) == ["add_column"] * 3 + ["modify_nullable"] * 2 + ["modify_type"] * 2
    migrated(dsn)
    assert difference(dsn) == []
    assert query(dsn, everything) == before


def test_a_dead_letter_that_was_stored_twice_stands_once(dsn: str) -> None:
    first_release(dsn)
    letter = "INSERT INTO dead_letters VALUES (%(id)s, %(time)s, 'origin', 'topic', 0, 7, '', 'error', 'raw')"
    for identity, time_ in (("twice", FIRST), ("twice", FIRST + DAY), ("once", FIRST)):
        run(dsn, letter, id=identity, time=time_)
    migrated(dsn)
    letters = "SELECT id, time FROM dead_letters ORDER BY id"
    assert query(dsn, letters) == [("once", FIRST), ("twice", FIRST + DAY)]
    assert difference(dsn) == []


def test_tables_that_the_client_made_meanwhile_are_taken_over(dsn: str) -> None:
    run(dsn, *table_of(PRICES).create)
    migrated(dsn)
    assert difference(dsn) == []


def test_changes_beyond_single_precision_are_cut_by_the_migration(dsn: str) -> None:
    first_release(dsn)
    run(dsn, "UPDATE crypto_prices SET change_24h = 1e300, change_7d = -1e-300 WHERE coin_id = 'coin-1'")
    run(dsn, "UPDATE crypto_prices SET change_24h = NULL WHERE coin_id = 'coin-2'")
    migrated(dsn)
    changes = "SELECT DISTINCT coin_id, change_24h, change_7d FROM crypto_prices ORDER BY 1"
    assert query(dsn, changes) == [("coin-1", 3.4e38, 0.0), ("coin-2", None, -2.5), ("coin-3", 1.5, -2.5)]


def test_changes_beyond_single_precision_are_cut_when_written(dsn: str, agents: Solo) -> None:
    migrated(dsn)
    client, spec = agents.start("client", TimescaleClient, TimescaleSettings(dsn)), table_of(PRICES)
    records = [price(coin_id="a", change_24h=-1e300, change_7d=1e-300), price(coin_id="b", change_24h=-1.23456)]
    client.ask(rows(spec, *records), PATIENCE)
    changes = "SELECT coin_id, change_24h, change_7d FROM crypto_prices ORDER BY 1"
    assert query(dsn, changes) == [("a", -3.4e38, 0.0), ("b", -1.23456, None)]


def test_a_dead_letter_that_comes_again_is_stored_once(dsn: str, agents: Solo) -> None:
    migrated(dsn)
    client, spec = agents.start("client", TimescaleClient, TimescaleSettings(dsn)), table_of(DEAD_LETTERS)
    for at in (FIRST, FIRST + DAY):
        letter = letter_for_input(b"?", Permanent("invalid", "no JSON"), origin="topic", at=at, place=(0, 7))
        get_data(client.ask(rows(spec, letter), PATIENCE))
    assert query(dsn, "SELECT time FROM dead_letters") == [(FIRST + DAY,)]


def test_candles_are_made_of_the_prices(dsn: str) -> None:
    first_release(dsn)
    migrated(dsn)
    hours = candles(dsn, "1h")
    assert hours[0] == (FIRST, 200.0, 206.0, 200.0, 203.0, 60, "c2", "Simulated data")
    assert [len(candles(dsn, timeframe)) for timeframe in ("1m", "5m", "1h", "1d")] == [600, 120, 10, 1]


def test_of_several_that_migrate_at_once_one_does_the_work(dsn: str) -> None:
    first_release(dsn)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: migrated(dsn).done, range(4)))
    assert sorted(map(len, done)) == [0, 0, 0, 5]


def test_a_migration_that_fails_leaves_all_as_it_was(dsn: str, tmp_path: Path) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "v1.py").write_text(
        "from alembic import op\nrevision, down_revision = '1', None\n"
        "def upgrade():\n    op.execute('CREATE TABLE half (x int)')\n    op.execute('SELECT 1 / 0')\n"
    )
    failed = migrate(TimescaleSettings(dsn), evolve(STORAGE, scripts=tmp_path))
    assert isinstance(failed, Failure)
    assert "division by zero" in failed.error.message
    assert query(dsn, "SELECT relname FROM pg_class WHERE relname IN ('half', 'alembic_version')") == []


def test_a_database_of_a_later_version_is_refused_with_a_remedy(dsn: str) -> None:
    migrated(dsn)
    run(dsn, "UPDATE alembic_version SET version_num = '9999'")
    failed = migrate(TimescaleSettings(dsn), STORAGE)
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, Permanent)
    assert "later version" in failed.error.remedy


def test_a_table_in_use_is_waited_for_no_longer_than_allowed_and_is_an_outage(dsn: str) -> None:
    first_release(dsn)
    other = psycopg2.connect(dsn)
    other.cursor().execute("LOCK TABLE crypto_prices")
    failed = migrate(TimescaleSettings(dsn, lock_timeout=0.2), STORAGE)
    other.close()
    assert isinstance(failed, Failure)
    assert isinstance(failed.error, Transient)
    assert migrated(dsn).done


EXTENSION = {
    "timescaledb.control": "default_version = '2.23.1'",
    "timescaledb--2.23.1.sql": "SELECT pg_terminate_backend(pg_backend_pid());",  # as it does when not preloaded
}


@pytest.mark.parametrize(
    ("role", "remedy"), [("postgres", "set shared_preload_libraries"), ("nobody_special", "have an administrator run")]
)
def test_an_extension_that_cannot_be_created_is_said_and_the_tables_are_made(
    dsn: str, tmp_path: Path, role: str, remedy: str
) -> None:
    """Like a server whose TimescaleDB is installed but not preloaded: to create it ends the session."""
    with tempfile.TemporaryDirectory(prefix="dp-", dir="/tmp") as folder:
        extensions = Path(folder, "extension")
        extensions.mkdir()
        for name, content in EXTENSION.items():
            (extensions / name).write_text(content)
        for path in (Path(folder), extensions, *extensions.iterdir()):
            path.chmod(0o755)
        database = psycopg2.extensions.parse_dsn(dsn)["dbname"]
        run(dsn, f"ALTER DATABASE {database} SET extension_control_path = '{folder}:$system'")
        run(dsn, "DROP ROLE IF EXISTS nobody_special", "CREATE ROLE nobody_special LOGIN")
        run(dsn, "GRANT ALL ON SCHEMA public TO nobody_special")
        done = migrated(psycopg2.extensions.make_dsn(dsn, user=role))
        run(dsn, "DROP OWNED BY nobody_special CASCADE", "DROP ROLE nobody_special")
    assert remedy in done.lacks
    assert "crypto_prices_1m is a view" in done.done


# The agent


def test_the_migrator_is_ready_when_the_database_is_up_to_date(dsn: str, agents: Solo) -> None:
    agents.start("migrator", Migrator, TimescaleSettings(dsn), STORAGE)
    assert agents.parent.told(Ready, "migrator")
    assert difference(dsn) == []


def test_an_outage_is_waited_out_and_holds_nobody_up(dsn: str, agents: Solo) -> None:
    name = psycopg2.extensions.parse_dsn(dsn)["dbname"]
    away = psycopg2.extensions.make_dsn(dsn, dbname="postgres")
    run(away, f"ALTER DATABASE {name} RENAME TO gone")
    migrator = agents.start("migrator", Migrator, TimescaleSettings(dsn), STORAGE)
    assert agents.parent.told(Ready, "migrator")
    status = migrator.status()
    assert status is not None
    assert status.shown == "degraded"
    run(away, f"ALTER DATABASE gone RENAME TO {name}")
    assert until(lambda: (status := migrator.status()) is not None and status.shown == "running")
    assert difference(dsn) == []


def test_a_server_that_came_back_with_another_database_is_migrated(dsn: str, agents: Solo) -> None:
    migrator = agents.start("migrator", Migrator, TimescaleSettings(dsn), STORAGE)
    assert agents.parent.told(Ready, "migrator")
    run(dsn, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    agents.runtime.directory.enter("postgres", Entry("server", 2, Vitals(State.RUNNING, agents.runtime.clock.now())))
    migrator.tell(PeerRestarted("postgres"))
    assert until(lambda: query(dsn, "SELECT to_regclass('crypto_prices_1d')") != [(None,)])
    assert difference(dsn) == []


def test_a_migration_under_way_is_broken_off_by_a_stop(dsn: str) -> None:
    first_release(dsn)
    other = psycopg2.connect(dsn)
    other.cursor().execute("LOCK TABLE crypto_prices")
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with no_thread_left_behind(), solo() as agents:
        agents.start("migrator", Migrator, TimescaleSettings(dsn, lock_timeout=60), STORAGE)
        assert until(lambda: query(dsn, waiting) == [(1,)])
    other.close()
    assert migrated(dsn).done[0] == "tables brought from version none to 0007"
