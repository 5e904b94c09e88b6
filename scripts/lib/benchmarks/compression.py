"""How many bytes a price takes in TimescaleDB, by choice of column types, segments and order."""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import psycopg2
from attrs import field, frozen

from dataplatform.base.database.hypertables import Layout, columnstore_ddl, hypertable_ddl
from dataplatform.base.database.tables import quoted
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.dsl.records.types import CryptoPriceData
from dataplatform.dsl.storage.tables import PRICE_ROWS, table_of
from dataplatform.simulator.currencies import amount, percentage, price
from dataplatform.simulator.market import DAY, Market
from dataplatform.simulator.markets import change

SERVER = Path(__file__).resolve().parents[1] / "timescaledb" / "server.mjs"
START = datetime(2026, 9, 1, tzinfo=UTC)
STEP = timedelta(seconds=10)
SPEC = table_of(PRICES)
DOUBLES = {"change_24h": "double precision", "change_7d": "double precision"}
DIGITS = "({} * (SELECT factor FROM digits WHERE digits.coin_id = day.coin_id))::bigint"  # whole, by digits of a coin
HUNDRED_THOUSANDTHS = "round({} * 1e5)::bigint"  # of a percent


@frozen
class Choice:
    """A way to store prices: other types than the schema's, an expression to fill each with, other segments."""

    name: str
    types: Mapping[str, str] = field(factory=dict)
    values: Mapping[str, str] = field(factory=dict)
    segment: tuple[str, ...] = PRICE_ROWS.segment

    @property
    def layout(self) -> Layout:
        return Layout("choice", PRICE_ROWS.key, PRICE_ROWS.time, timedelta(days=1), timedelta(), segment=self.segment)


CHOICES = (
    Choice("all numbers double, rows of all coins together", DOUBLES, segment=()),
    Choice("all numbers double, segments by coin", DOUBLES),
    Choice("**the schema**: changes real, segments by coin"),
    Choice("price numeric", {"usd_price": "numeric"}),
    Choice("price bigint, in the last digit of its coin", {"usd_price": "bigint"}, {"usd_price": DIGITS}),
    Choice("market cap and volume bigint", dict.fromkeys(("market_cap", "volume_24h"), "bigint")),
    Choice("price real", {"usd_price": "real"}),
    Choice("price, market cap and volume real", dict.fromkeys(("usd_price", "market_cap", "volume_24h"), "real")),
    Choice(
        "price bigint, changes bigint of 1e-5 %, market cap and volume real",
        dict.fromkeys(("usd_price", "change_24h", "change_7d"), "bigint")
        | dict.fromkeys(("market_cap", "volume_24h"), "real"),
        {"usd_price": DIGITS, "change_24h": HUNDRED_THOUSANDTHS, "change_7d": HUNDRED_THOUSANDTHS},
    ),
)
SCALES = """
    CREATE TABLE digits AS
    SELECT coin_id, 10 ^ max(scale(usd_price::numeric)) AS factor FROM day GROUP BY coin_id
"""
SIZES = """
    SELECT before_compression_total_bytes, after_compression_total_bytes
    FROM hypertable_columnstore_stats('choice')
"""


@frozen
class Span:
    """The steps [first, last) of so many coins: refreshed each at a moment of its own, or all `together`."""

    coins: int
    first: int
    last: int
    together: bool


def records(span: Span) -> str:
    """Return the prices of the largest coins as COPY text, with the digits that CoinGecko gives."""
    market = Market(seed=1, step=STEP.total_seconds(), now=lambda: START)
    largest = list(market.ranking(START.timestamp()))[: span.coins]
    lines = SPEC.copy_lines(
        _record(market, coin, step, 0 if span.together else (place * 37 + step * 7919) % 9000)
        for step in range(span.first, span.last)
        for place, coin in enumerate(largest)
    )
    return "".join([f"{line}\n" for line in lines])


def _record(market: Market, coin: Any, step: int, milliseconds: int) -> CryptoPriceData:
    seconds = START.timestamp() + step * STEP.total_seconds()
    path = market.price_path(coin.id, "usd")
    now = path.at(seconds)
    return CryptoPriceData(
        coin_id=coin.id,
        symbol=coin.symbol,
        name=coin.name,
        usd_price=price(now),
        market_cap=amount(now * coin.supply),
        volume_24h=amount(market.volume_path(coin.id, "usd").at(seconds)),
        change_24h=percentage(change(now, path.at(seconds - DAY))),
        change_7d=change(now, path.at(seconds - 7 * DAY)),
        last_updated=START + step * STEP + timedelta(milliseconds=milliseconds),
        source="simulator",
        attribution="Data provided by CoinGecko (https://www.coingecko.com)",
    )


@contextmanager
def server(place: str) -> Iterator[str]:
    """Run TimescaleDB, installed at the place, and yield its DSN."""
    command = ["node", str(SERVER), place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        yield f"postgresql://postgres@127.0.0.1:{port}/template1?sslmode=disable"


def load(cursor: Any, coins: int, steps: int, *, together: bool) -> int:
    """Fill the table `day`, all numbers double, and return its number of rows."""
    cursor.execute("CREATE EXTENSION timescaledb")
    create = SPEC.create[0].replace(SPEC.name, "day").replace(" REAL", " DOUBLE PRECISION")
    cursor.execute(create.replace("CREATE TABLE", "CREATE UNLOGGED TABLE"))
    spans = [Span(coins, first, min(first + 60, steps), together) for first in range(0, steps, 60)]
    columns = ", ".join(map(quoted, SPEC.columns))
    with Pool() as pool:
        for text in pool.imap(records, spans):
            cursor.copy_expert(f"COPY day ({columns}) FROM STDIN", StringIO(text))
    cursor.execute(SCALES)
    cursor.execute("ALTER TABLE digits ADD PRIMARY KEY (coin_id)")
    return coins * steps


def measure(cursor: Any, choice: Choice) -> tuple[int, int]:
    """Lay the rows out as chosen, compress them, and return the bytes before and after."""
    cursor.execute("DROP TABLE IF EXISTS choice")
    for statement in SPEC.create:
        cursor.execute(statement.replace(SPEC.name, "choice"))
    for column, type_ in choice.types.items():
        cursor.execute(f"ALTER TABLE choice ALTER COLUMN {column} TYPE {type_}")
    cursor.execute(hypertable_ddl(choice.layout))
    values = ", ".join(choice.values.get(name, "{}").format(quoted(name)) for name in SPEC.columns)
    cursor.execute(f"INSERT INTO choice SELECT {values} FROM day")  # noqa: S608  our own names
    cursor.execute(columnstore_ddl(choice.layout))
    cursor.execute("SELECT compress_chunk(chunk) FROM show_chunks('choice') chunk")
    cursor.execute(SIZES)
    before, after = cursor.fetchone()
    return int(before), int(after)


def main() -> None:
    """Print a line for each choice."""
    parser = argparse.ArgumentParser(prog="scripts/benchmarks/compression", description=__doc__)
    parser.add_argument("place", help=argparse.SUPPRESS)
    parser.add_argument("--coins", type=int, default=250, help="the largest of the simulator's 300")
    parser.add_argument("--hours", type=float, default=24.0, help="of a price per coin every 10 s")
    parser.add_argument("--together", action="store_true", help="refresh all coins in the same second")
    options = parser.parse_args()
    steps = round(timedelta(hours=options.hours) / STEP)
    with server(options.place) as dsn, closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        rows = load(cursor, options.coins, steps, together=options.together)
        print(f"{rows:,} rows of {options.coins} coins\n")
        print("| choice | bytes a row before | after | saved |\n|---|--:|--:|--:|")
        for choice in CHOICES:
            before, after = measure(cursor, choice)
            saved = f"{1 - after / before:.1%}"
            print(f"| {choice.name} | {before / rows:.0f} | {after / rows:.1f} | {saved} |", flush=True)


if __name__ == "__main__":
    main()
