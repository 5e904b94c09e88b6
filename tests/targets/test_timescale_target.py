"""The TimescaleDB target: which rows it makes of records, and for which tables."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dataplatform.base.agent import Context
from dataplatform.base.database import WriteRows
from dataplatform.dsl.records.kinds import ANALYTICS, DEAD_LETTERS, KINDS, LEVEL1, PRICES, Kind
from dataplatform.dsl.records.types import Record
from dataplatform.targets.timescale import TimescaleOptions, TimescaleTarget
from tests.dsl.records import letter, price, record
from tests.support.agents import Parent, Stage


@pytest.fixture
def target(stage: Stage) -> TimescaleTarget:
    """Return a target that is not started: its hooks are functions."""
    return TimescaleTarget(Context("table", stage.runtime, Parent()), TimescaleOptions(client="db"), "db.1")


def request(target: TimescaleTarget, kind: Kind, *records: Record) -> WriteRows:
    made = target._request(kind, list(records))
    assert isinstance(made, WriteRows)
    return made


def columns(made: WriteRows, row: int = 0) -> dict[str, str]:
    return dict(zip(made.spec.columns, made.lines[row].split("\t"), strict=True))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_goes_to_its_own_table_a_line_a_record(target: TimescaleTarget, kind: Kind) -> None:
    made = request(target, kind, record(kind), record(kind, source="b") if kind is not DEAD_LETTERS else letter("b"))
    assert (made.spec.name, len(made.lines)) == (kind.table, 2)
    assert not any("\n" in line for line in made.lines)
    assert set(columns(made)) == set(kind.columns)


@pytest.mark.parametrize(
    "options",
    [
        TimescaleOptions(client="db"),
        TimescaleOptions(client="db", append=True),
        TimescaleOptions(client="db", tables={"prices": "spot", "dead_letters": "spoiled"}),
    ],
    ids=["usual", "append", "named"],
)
def test_the_tables_that_are_counted_are_those_that_are_written(stage: Stage, options: TimescaleOptions) -> None:
    target = TimescaleTarget(Context("table", stage.runtime, Parent()), options, "db.1")
    written = {kind.name: request(target, kind, record(kind)).spec.name for kind in KINDS if kind is not DEAD_LETTERS}
    assert TimescaleTarget.tables(options) == {
        **written,
        "dead_letters": request(target, DEAD_LETTERS, letter("a")).spec.name,
    }


def test_a_price_is_written_as_it_is(target: TimescaleTarget) -> None:
    when = datetime(2026, 1, 1, 12, 0, 0, 599_000, tzinfo=UTC)
    row = columns(request(target, PRICES, price(usd_price=0.1 + 0.2, volume_24h=0, last_updated=when)))
    assert row["usd_price"] == "0.30000000000000004"
    assert row["volume_24h"] == "0.0", "zero is zero"
    assert row["market_cap"] == r"\N", "unknown is NULL"
    assert row["last_updated"] == "2026-01-01T12:00:00.599000+00:00"
    assert (row["coin_id"], row["exchange_id"], row["attribution"]) == ("bitcoin", "aggregate", "")


def test_what_copy_takes_for_its_own_signs_is_escaped(target: TimescaleTarget) -> None:
    row = columns(request(target, PRICES, price(r"back\slash", name=r"\N", symbol=r"\.")))
    assert (row["coin_id"], row["name"], row["symbol"]) == (r"back\\slash", r"\\N", r"\\.")


def test_numbers_flags_and_bytes_are_written_as_postgresql_reads_them(target: TimescaleTarget) -> None:
    assert columns(request(target, ANALYTICS, record(ANALYTICS, markets=2**63 - 1)))["markets"] == str(2**63 - 1)
    assert columns(request(target, LEVEL1, record(LEVEL1, estimated=True)))["estimated"] == "True"
    dead = columns(request(target, DEAD_LETTERS, letter(raw=b"\x00\xff\\", partition=0, offset=None)))
    assert (dead["raw"], dead["partition"], dead["offset"]) == (r"\\x00ff5c", "0", r"\N")


def test_extreme_numbers_keep_their_value(target: TimescaleTarget) -> None:
    numbers = [5e-324, 1e-17, 1.7976931348623157e308, 77_000.0]
    made = request(target, PRICES, *[price(usd_price=number) for number in numbers])
    assert [float(columns(made, row)["usd_price"]) for row in range(4)] == numbers


def test_all_kinds_are_taken() -> None:
    assert TimescaleTarget.kinds(TimescaleOptions(client="db")) == KINDS
