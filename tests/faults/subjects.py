"""What flows through a platform under test: numbered records that their table can be asked for, one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from attrs import evolve, frozen

__all__ = ["APPENDED", "PRICES", "Identity", "Subject", "malformed"]

Identity: TypeAlias = tuple[int, int]  # the partition that a record was sent to, and its number there
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=1)  # between the times of two numbers: no two records have one
KEYS = 5  # keys a partition


@frozen
class Subject:
    """A kind of record: where it is stored, and how a number becomes a record and is found again in a row.

    `key` is the column that names partition and key, `number` the one with the number; `sound` is an SQL condition
    that every row fulfils whose other columns are those of its number, and `same` says it of a message.
    `make` is the SQL that makes the table, where migrations do not, and `option` what the target is told, in TOML, to
    write to it.
    """

    kind: str
    table: str
    key: str
    number: str
    sound: str
    encode: Callable[[Identity], bytes]
    same: Callable[[bytes, Identity], bool]
    make: str = ""
    option: str = ""

    def name(self, identity: Identity) -> str:
        """Return the key of a record: always the same partition's, so that its records are to stay in order."""
        partition, number = identity
        return f"coin-{partition}-{number % KEYS}"

    def decode(self, raw: bytes | None) -> Identity:
        """Return whose bytes these are: the inverse of `encode`."""
        row = json.loads(raw or b"{}")
        return self.identity(row[_camel(self.key)], row[_camel(self.number)])

    @staticmethod
    def identity(key: str, number: float) -> Identity:
        """Return whose row this is; (-1, -1) for one that was never produced in this form."""
        parts = key.split("-")
        if parts[0] != "coin" or len(parts) != 3 or not parts[1].isdecimal() or number != int(number):
            return -1, -1
        return int(parts[1]), int(number)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _price(identity: Identity) -> bytes:
    """Return the JSON of a price: the number is the price, and says when it was."""
    partition, number = identity
    moment = (BEGIN + number * STEP).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return (
        f'{{"coinId":"coin-{partition}-{number % KEYS}","symbol":"c{partition}","exchangeId":"aggregate",'
        f'"usdPrice":{number}.0,"marketCap":{number * 2}.0,"lastUpdated":"{moment}","source":"faults",'
        f'"attribution":"numbered by the fault harness"}}'
    ).encode()


def _is_price(raw: bytes, identity: Identity) -> bool:
    """Tell whether bytes are the JSON of this price, however it is written."""
    is_, was = json.loads(raw), json.loads(_price(identity))
    moments = {datetime.fromisoformat(row.pop("lastUpdated")) for row in (is_, was)}
    return len(moments) == 1 and was.items() <= is_.items()


PRICES = Subject(
    kind="prices",
    table="crypto_prices",
    key="coin_id",
    number="usd_price",
    sound=(
        f"market_cap = usd_price * 2 AND source = 'faults'"
        f" AND last_updated = timestamptz '{BEGIN.isoformat()}' + usd_price * interval '1 ms'"
    ),
    encode=_price,
    same=_is_price,
)


APPENDED = evolve(
    PRICES,
    table="crypto_prices_log",
    make="CREATE TABLE crypto_prices_log (LIKE crypto_prices)",  # without its key: what is written twice is there twice
    option="append = true",
)


def malformed(dice: random.Random, identity: Identity, subject: Subject) -> bytes:
    """Return bytes that are no record, in one of many ways, with the identity in them so that all differ."""
    whole = subject.encode(identity)
    row = json.loads(whole)
    mark = b"%d/%d" % identity
    ways: list[Callable[[], bytes]] = [
        lambda: whole[: dice.randrange(1, len(whole))] + mark,
        lambda: whole.replace(b'"usdPrice":', b'"usdPrice":-1'),
        lambda: whole.replace(b'"usdPrice":', b'"usdPrice":NaN,"was":'),
        lambda: whole.replace(b"Z", b""),  # a time without an offset
        lambda: json.dumps({**row, "coinId": None}).encode(),
        lambda: json.dumps({name: row[name] for name in row if name != "symbol"}).encode(),
        lambda: json.dumps([row]).encode(),
        lambda: b"\xff\xfe" + mark + dice.randbytes(40),
        lambda: b"[" * 2_000 + mark,
        lambda: mark,
    ]
    return dice.choice(ways)()
