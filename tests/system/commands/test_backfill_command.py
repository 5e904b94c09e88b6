"""`backfill` from the simulator into an embedded database, beside a running platform, killed, and out of reach."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dataplatform.base.embedded import postgres_dsn
from dataplatform.dsl.records.timeframes import floor
from dataplatform.system.platform.platform import Platform
from tests.support.storage import run
from tests.support.waiting import DEADLINE
from tests.system.commands.listening import hears, listening
from tests.system.commands.processes import beside
from tests.system.commands.topologies import MENDED

pytestmark = pytest.mark.long
DEMO = True
Command = Callable[..., Result]
Rows = Callable[..., list[tuple[Any, ...]]]
STORED = """
    SELECT count(*), count(DISTINCT last_updated) FROM crypto_prices WHERE coin_id = %(coin)s AND source = 'simulator'
"""
TELL = """
    CREATE OR REPLACE FUNCTION tell_filled() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_notify('filled', ''); RETURN NULL; END $$;
    CREATE OR REPLACE TRIGGER tell_filled AFTER INSERT ON crypto_prices FOR EACH ROW EXECUTE FUNCTION tell_filled();
"""


@pytest.fixture(scope="module")
def topology(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("main") / "main.toml"
    file.write_text(MENDED)
    return file


def test_a_gap_is_filled_and_what_is_stored_is_not_asked_for_again(
    command: Command, topology: Path, running: Platform, rows: Rows
) -> None:
    to = floor(datetime.now(UTC), "1h")
    arguments = ["--coins", "bitcoin", "--from", (to - timedelta(days=2)).isoformat(), "--to", to.isoformat()]
    first = command("backfill", *arguments, topology, "--demo")
    assert (first.exit_code, "1 gap of 48 intervals; filled 48" in first.stdout) == (0, True), first.output
    ((count, times),) = rows(STORED, coin="bitcoin")
    assert count == times == 48

    run(
        postgres_dsn(running.data.path),
        "DELETE FROM crypto_prices WHERE coin_id = 'bitcoin' AND last_updated"
        " BETWEEN now() - interval '30 hours' AND now() - interval '20 hours'",
    )
    second, third = (command("backfill", *arguments, topology, "--demo") for _ in range(2))

    assert second.exit_code == 0, second.output
    assert "1 gap of " in second.stdout
    assert "0 gaps of 0 intervals; filled 0, 0 records written" in third.stdout
    assert rows(STORED, coin="bitcoin") == [(count, times)]


def test_candles_of_a_timeframe_are_filled_too(command: Command, topology: Path, rows: Rows) -> None:
    filled = command("backfill", "--coins", "bitcoin", "--from", "3d", "--timeframe", "4h", topology, "--demo")

    assert filled.exit_code == 0, filled.output
    ((count,),) = rows("SELECT count(*) FROM crypto_ohlcv WHERE coin_id = 'bitcoin' AND timeframe = '4h'")
    assert 17 <= count <= 19


def test_what_coingecko_has_no_more_or_never_had_is_left_with_the_reason(command: Command, topology: Path) -> None:
    left = command("backfill", "--coins", "ethereum,no-such-coin", "--from", "370d", topology, "--demo")

    assert left.exit_code == 1
    assert "of ethereum: prices of 1d" in left.stderr
    assert "a paid plan reaches further back" in left.stderr
    assert "of no-such-coin: prices of 1h" in left.stderr
    assert "CoinGecko has no coin 'no-such-coin'" in left.stderr
    assert "404" not in left.stderr


@pytest.mark.parametrize("timeframe", [[], ["--timeframe", "4h"]])
def test_what_is_said_of_an_unknown_coin_agrees(command: Command, topology: Path, timeframe: list[str]) -> None:
    coins = ["--coins", "NOPE,NOPE2", "--from", "2d", *timeframe]
    left = command("backfill", *coins, topology, "--demo")

    assert (left.exit_code, "; filled 0, 0 records written" in left.stdout) == (1, True), left.output
    assert "CoinGecko has no coin 'nope'; its ids are like 'bitcoin'" in left.stderr
    assert "filling nope2 (done=0, total=" in left.stderr


def test_a_coin_called_by_its_symbol_is_filled_and_found_by_its_id(
    command: Command, topology: Path, rows: Rows
) -> None:
    to = floor(datetime.now(UTC), "1h")
    arguments = ["--coins", "SOL", "--from", (to - timedelta(days=1)).isoformat(), "--to", to.isoformat()]
    first, second = (command("backfill", *arguments, topology, "--demo") for _ in range(2))
    assert (first.exit_code, "1 gap of 24 intervals; filled 24" in first.stdout) == (0, True), first.output
    assert "'SOL' is taken for solana" in first.stderr
    assert (second.exit_code, "0 gaps of 0 intervals" in second.stdout) == (0, True), second.output
    assert rows("SELECT DISTINCT coin_id FROM crypto_prices WHERE symbol = 'sol'") == [("solana",)]


def test_all_candles_that_coingecko_still_has_can_be_asked_for(command: Command, topology: Path) -> None:
    filled = command("backfill", "--coins", "ripple", "--from", "30d", "--timeframe", "4h", topology, "--demo")

    assert (filled.exit_code, "left" in filled.stderr) == (0, False), filled.output


@pytest.mark.long
def test_killed_in_the_middle_it_goes_on_where_it_was(
    command: Command, topology: Path, running: Platform, rows: Rows
) -> None:
    coins = ["solana", "cardano", "dogecoin", "litecoin"]
    dsn = postgres_dsn(running.data.path)
    arguments = ["backfill", "--coins", ",".join(coins), "--from", "60d", topology, "--demo"]
    with listening(dsn, "filled", TELL) as session, beside(running, *arguments) as process:
        hears(session)
        process.kill()
    run(dsn, "DROP TRIGGER tell_filled ON crypto_prices")
    before = sum(rows(STORED, coin=coin)[0][0] for coin in coins)

    again = command(*arguments)

    assert before > 0
    assert again.exit_code == 0, again.output
    after = [rows(STORED, coin=coin)[0] for coin in coins]
    assert all(count == times >= 60 * 24 for count, times in after)
    written = int(again.stdout.rpartition(", ")[2].split()[0])
    assert before + written <= sum(count for count, _ in after) + len(coins) * 24  # what is stored was not asked again


@pytest.mark.long
def test_interrupted_it_stops_in_good_order_and_says_so(topology: Path, running: Platform) -> None:
    dsn = postgres_dsn(running.data.path)
    coins = "monero,stellar,chainlink,tron"
    arguments = ["backfill", "--coins", coins, "--from", "60d", topology, "--demo"]
    with (
        listening(dsn, "filled", TELL) as session,
        beside(running, *arguments, stderr=subprocess.PIPE) as process,
    ):
        hears(session)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=DEADLINE)
    run(dsn, "DROP TRIGGER tell_filled ON crypto_prices")

    assert process.returncode == 1
    assert said.splitlines()[-1] == "stopped: interrupted: a signal came; give the command again to go on"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--coins", "bit coin", "--from", "2d"], "is no coin id"),
        (["--coins", "bitcoin", "--from", "2026-02-01", "--to", "2026-01-01"], "is not before --to"),
        (["--coins", "bitcoin", "--from", "yesterday"], "is no time"),
        (["--coins", "bitcoin", "--from", "2d", "--timeframe", "1h"], "'1h' is not one of"),
    ],
)
def test_what_cannot_be_meant_is_refused(command: Command, topology: Path, arguments: list[str], reason: str) -> None:
    refused = command("backfill", *arguments, topology)
    assert (refused.exit_code, reason in refused.stderr) == (2, True), refused.output


def test_its_help_shows_an_example(command: Command) -> None:
    assert "backfill --coins bitcoin,ethereum --from 2026-01-01" in command("backfill", "--help").stdout
