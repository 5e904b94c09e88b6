"""`dead-letters` on a table, killed at the worst of moments: no letter is lost, none is written twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataplatform.base.embedded import postgres_dsn
from dataplatform.dsl.flow import PolledRow, letter_for_record, letter_for_row
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.dsl.records.types import DeadLetter
from dataplatform.errors import Permanent
from dataplatform.result import get_data
from dataplatform.system.cli.main import main
from dataplatform.system.platform.platform import Platform
from tests.dsl.records import NOON, price
from tests.sources.coingecko import answers
from tests.support.agents import no_thread_left_behind
from tests.support.storage import run
from tests.support.waiting import DEADLINE
from tests.system.commands.listening import hears, listening
from tests.system.commands.processes import beside
from tests.system.commands.topologies import TABLES_ONLY

pytestmark = pytest.mark.long
Command = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]
COUNT = 1_200  # three batches
PATIENCE = DEADLINE
LOCK = 77
# The first says that rows are committed; the second makes whoever marks letters wait for the test's lock.
TRIGGERS = """
    CREATE OR REPLACE FUNCTION tell_refused() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('refused', ''); RETURN NULL; END $$;
    CREATE OR REPLACE TRIGGER tell_refused AFTER INSERT ON crypto_prices FOR EACH ROW
        EXECUTE FUNCTION tell_refused();
    CREATE OR REPLACE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NEW; END $$;
    CREATE OR REPLACE TRIGGER wait_for_test BEFORE INSERT ON dead_letters_replayed FOR EACH ROW
        EXECUTE FUNCTION wait_for_test();
"""
NO_TRIGGERS = """
    DROP TRIGGER tell_refused ON crypto_prices;
    DROP TRIGGER wait_for_test ON dead_letters_replayed;
"""
STORED = "SELECT count(*), count(DISTINCT coin_id) FROM crypto_prices WHERE coin_id LIKE 'refused-%%'"
MARKED = "SELECT count(*) FROM dead_letters_replayed"


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("tables") / "tables.toml"
    file.write_text(TABLES_ONLY)
    return file


def refused(number: int) -> DeadLetter:
    """Return the letter of a price that the database would not take."""
    error = Permanent("rejected", "violates check constraint")
    return letter_for_record(price(f"refused-{number}"), error, origin="topics", target="database", at=NOON)


@pytest.fixture(scope="module")
def letters(running: Platform) -> None:
    made = [refused(number) for number in range(COUNT)]
    get_data(running["database"].publish_batch(made).get(timeout=PATIENCE))


@pytest.fixture
def held_up(running: Platform, letters: None, command: Command, topology: Path) -> Iterator[Any]:
    """A session that hears of rows in crypto_prices, while nobody can mark a letter."""
    command("dead-letters", "list", topology)  # makes the table of marks
    lock = f"SELECT pg_advisory_lock({LOCK})"
    with listening(postgres_dsn(running.data.path), "refused", TRIGGERS, lock) as session:
        yield session
    run(postgres_dsn(running.data.path), NO_TRIGGERS)


def test_killed_between_writing_and_marking_it_loses_nothing_and_repeats_nothing(
    running: Platform, held_up: Any, command: Command, topology: Path, rows: Rows
) -> None:
    with beside(running, "dead-letters", "replay", topology) as process:
        hears(held_up)
        process.kill()
    ((written, _),) = rows(STORED)
    assert 0 < written < COUNT
    assert rows(MARKED) == [(0,)]
    held_up.cursor().execute(f"SELECT pg_advisory_unlock({LOCK})")

    again = command("dead-letters", "replay", topology)

    assert again.exit_code == 0, again.output
    assert f"replayed {COUNT} ({COUNT} in database)" in again.stdout
    assert rows(STORED) == [(COUNT, COUNT)]
    assert rows(MARKED) == [(COUNT,)]
    assert "no dead letters" in command("dead-letters", "list", topology).stdout


def test_another_target_may_get_them(
    running: Platform, command: Command, tmp_path: Path, topology: Path, rows: Rows
) -> None:
    """Where the target is gone from the topology, the letters stay until another is named."""
    letter = letter_for_record(
        price("moved"), Permanent("rejected", "no"), origin="topics", target="an-older-one", at=NOON
    )
    get_data(running["database"].publish_batch([letter]).get(timeout=PATIENCE))

    stays, goes = (
        command("dead-letters", "replay", topology),
        command("dead-letters", "replay", topology, "--to", "database", "--id", letter.id[:6]),
    )

    assert (stays.exit_code, "no target is called 'an-older-one'; name a target with --to" in stays.stderr) == (1, True)
    assert goes.exit_code == 0, goes.output
    assert rows("SELECT count(*) FROM crypto_prices WHERE coin_id = 'moved'") == [(1,)]


def polled(
    coin_id: str, *, price: object = 1.5, source_kind: str = "coingecko", endpoint: str = "/coins/markets"
) -> DeadLetter:
    """Return the letter of a row that an earlier version of the source could not read."""
    row = PolledRow(
        raw=json.dumps(answers.row(coin_id, current_price=price)).encode(),
        source_kind=source_kind,
        endpoint=endpoint,
        source="simulator",
        received_at=NOON,
    )
    return letter_for_row(row, Permanent("changed_shape", "not as promised"), origin="coingecko", kind=PRICES)


def test_polled_rows_are_decoded_by_the_present_code_of_their_source_and_written_to_the_target_that_lacks_them(
    running: Platform, command: Command, topology: Path, rows: Rows
) -> None:
    letters = [
        polled("polled-1"),
        polled("polled-2"),
        polled("polled-3", price="much"),
        polled("polled-4", source_kind="gone"),
        polled("polled-5", source_kind="timescale"),
        polled("polled-6", endpoint="/coins/elsewhere"),
    ]
    get_data(running["database"].publish_batch(letters).get(timeout=PATIENCE))

    first = command("dead-letters", "replay", topology, "--origin", "coingecko")
    again = command("dead-letters", "replay", topology, "--origin", "coingecko")

    assert (first.exit_code, first.stdout) == (1, "replayed 2 (2 in database)\n"), first.output
    assert rows("SELECT coin_id, usd_price, source FROM crypto_prices WHERE coin_id LIKE 'polled-%%' ORDER BY 1") == [
        ("polled-1", 1.5, "simulator"),
        ("polled-2", 1.5, "simulator"),
    ]
    kept, *reasons = sorted(first.stderr.splitlines(), key=lambda line: line.startswith(" "))
    assert kept == "kept 4"
    assert len(reasons) == 4
    for reason in (
        "changed_shape: /coins/markets ('polled-3'): Expected `float | null`, got `str`",
        "unknown_source: no source of the kind 'gone' can be used",
        "unsupported: TimescaleDB does not decode rows of /coins/markets again",
        "unsupported: CoinGecko does not decode rows of /coins/elsewhere again",
    ):
        assert sum(reason in line for line in reasons) == 1, first.stderr
    assert (again.exit_code, again.stdout) == (1, "replayed 0\n")
    shown = command("dead-letters", "show", letters[2].id, topology).stdout
    assert "record_kind prices" in shown
    assert "source_kind coingecko" in shown


def test_what_the_database_still_refuses_stays_until_that_is_mended(
    running: Platform, command: Command, topology: Path, rows: Rows
) -> None:
    dsn = postgres_dsn(running.data.path)
    error = Permanent("rejected", "violates check constraint")
    letter = letter_for_record(price("unwanted"), error, origin="topics", target="database", at=NOON)
    get_data(running["database"].publish_batch([letter]).get(timeout=PATIENCE))
    run(dsn, "ALTER TABLE crypto_prices ADD CONSTRAINT picky CHECK (coin_id <> 'unwanted')")
    arguments = ["dead-letters", "replay", topology, "--id", letter.id]

    refused = command(*arguments)
    run(dsn, "ALTER TABLE crypto_prices DROP CONSTRAINT picky")
    written = command(*arguments)

    assert (refused.exit_code, "replayed 0" in refused.stdout) == (1, True), refused.output
    assert "kept 1\n  1  rejected: " in refused.stderr
    assert (written.exit_code, written.stdout) == (0, "replayed 1 (1 in database)\n"), written.output
    assert rows("SELECT count(*) FROM crypto_prices WHERE coin_id = 'unwanted'") == [(1,)]


def test_what_stays_adds_up_however_many_reasons_there_are(running: Platform, command: Command, topology: Path) -> None:
    error = Permanent("rejected", "no")
    strangers = [
        letter_for_record(price(f"gone-{number}"), error, origin="gone", target=f"gone-{number}", at=NOON)
        for number in range(12)
    ]
    get_data(running["database"].publish_batch(strangers).get(timeout=PATIENCE))

    _, *lines = command("dead-letters", "replay", topology, "--origin", "gone").stderr.splitlines()

    assert lines[-1] == "  … and 2 others"
    assert len(lines) == 11
    assert all(line.startswith("  1  unknown_target: ") for line in lines[:-1])


def test_what_is_dropped_is_not_replayed_and_not_listed(
    running: Platform, command: Command, topology: Path, rows: Rows
) -> None:
    error = Permanent("rejected", "violates check constraint")
    one, other, *more = [
        letter_for_record(price(f"dropped-{number}"), error, origin="unwanted", target="database", at=NOON)
        for number in range(4)
    ]
    get_data(running["database"].publish_batch([one, other, *more]).get(timeout=PATIENCE))

    by_id = command("dead-letters", "drop", one.id[:12], other.id, topology)
    again = command("dead-letters", "drop", one.id, topology)
    by_origin = command("dead-letters", "drop", topology, "--origin", "unwanted", "--since", "2000-01-01")
    replayed = command("dead-letters", "replay", topology, "--origin", "unwanted")

    assert (by_id.exit_code, by_id.stdout) == (0, "dropped 2\n"), by_id.output
    assert (again.exit_code, f"no single dead letter begins with {one.id!r}" in again.stderr) == (2, True)
    assert (by_origin.exit_code, by_origin.stdout) == (0, "dropped 2\n"), by_origin.output
    assert (replayed.exit_code, replayed.stdout) == (0, "replayed 0\n")
    assert command("dead-letters", "list", topology, "--origin", "unwanted").stdout == "no dead letters\n"
    kept = command("dead-letters", "list", topology, "--origin", "unwanted", "--replayed").stdout
    assert kept.splitlines()[1].split() == ["4", "unwanted", "prices", "rejected", "database"]
    assert rows("SELECT count(*) FROM crypto_prices WHERE coin_id LIKE 'dropped-%%'") == [(0,)]


def test_they_are_found_in_a_table_of_another_name(
    running: Platform, letters: None, command: Command, tmp_path: Path
) -> None:
    copied = "SELECT * FROM dead_letters WHERE origin = 'topics' LIMIT 3"
    run(postgres_dsn(running.data.path), "CREATE TABLE spoiled (LIKE dead_letters INCLUDING ALL)")
    run(postgres_dsn(running.data.path), f"INSERT INTO spoiled {copied}")
    file = tmp_path / "named.toml"
    file.write_text(TABLES_ONLY.replace("[[routes]]", 'tables = { dead_letters = "spoiled" }\n\n[[routes]]'))

    listed = command("dead-letters", "list", file, "--replayed", "--json")

    assert listed.exit_code == 0, listed.output
    assert json.loads(listed.stdout)["count"] == 3


def test_where_no_platform_runs_the_servers_are_started_for_it(topology: Path) -> None:
    with TemporaryDirectory(prefix="dp-", dir="/tmp") as folder, no_thread_left_behind():
        listed = CliRunner().invoke(main, ["dead-letters", "list", str(topology), "--data-dir", folder])
    assert (listed.exit_code, listed.stdout) == (0, "no dead letters\n"), listed.output


def test_an_unreachable_store_is_waited_for_no_longer_than_asked(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.toml"
    file.write_text(TABLES_ONLY.replace('"embedded"', '"postgresql://somebody:secret@127.0.0.1:9/prices"'))

    failed = command("dead-letters", "list", file, "--patience", "0s")

    assert failed.exit_code == 1
    assert "database:" in failed.stderr
    assert "secret" not in failed.output


def test_a_topology_with_a_mistake_is_refused_with_its_line(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "mistaken.toml"
    file.write_text(TABLES_ONLY.replace("dsn =", "dns ="))

    failed = command("dead-letters", "list", file)

    assert (failed.exit_code, f"{file}:4: unknown key 'dns'" in failed.stderr) == (2, True)
