"""A platform as its user runs it, `python -m dataplatform.system`, in a process of its own; and what it writes to."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg2
from attrs import define, field

from dataplatform.base.embedded import broker_address, postgres_dsn
from dataplatform.dsl.records.kinds import PRICES
from dataplatform.dsl.storage.tables import table_of
from tests.support import waiting

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    import kafka

DEADLINE = waiting.DEADLINE
COMMAND = (sys.executable, "-m", "dataplatform.system")


@define(eq=False)
class PlatformProcess:
    """One run; its log is JSON, and read as it comes."""

    process: subprocess.Popen[str]
    data_dir: Path
    report_file: Path
    events: list[dict[str, Any]] = field(factory=list)
    garbage: list[str] = field(factory=list)
    _changed: threading.Condition = field(factory=threading.Condition)
    _reader: threading.Thread | None = None

    @classmethod
    def start(cls, data_dir: Path, *arguments: str, prefix: Sequence[str] = ()) -> Self:
        report = data_dir.with_name(f"{data_dir.name}.report.json")
        options = ["--data-dir", str(data_dir), "--report", str(report), "--log-format", "json"]
        process = subprocess.Popen(
            [*prefix, *COMMAND, *arguments, *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        run = cls(process, data_dir, report)
        run._reader = threading.Thread(target=run._read, daemon=True)
        run._reader.start()
        return run

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                try:
                    self.events.append(json.loads(line))
                except ValueError:
                    self.garbage.append(line)
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    # What it says

    def expect(
        self,
        event: str,
        *,
        after: int = 0,
        timeout: float = DEADLINE,
        where: Callable[[dict[str, Any]], bool] = lambda _: True,
        **fields: Any,
    ) -> dict[str, Any]:
        """Wait for a line of the log, the first that fits after the first `after` lines."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}
            fitting = (one for one in self.events[after:] if wanted.items() <= one.items() and where(one))
            return next(fitting, None)

        with self._changed:
            if not self._changed.wait_for(found, timeout):
                said = "\n".join(map(str, [*self.events[-30:], *self.garbage]))
                raise AssertionError(f"{event} {fields} was not logged within {timeout:g} s:\n{said}")
        one = found()
        assert one is not None
        return one

    def said(self) -> int:
        """Return how many lines there are, to wait for later ones."""
        return len(self.events)

    def ready(self) -> None:
        """Wait until it is ready."""
        self.expect("ready", agent="platform")

    def pid_of(self, server: str) -> int:
        """Return the process id of a server as it was last logged."""
        ready = [one for one in self.events if one["event"] == "server is ready" and one["agent"] == server]
        pid: int = ready[-1]["pid"]
        return pid

    def kill_server(self, server: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a server; return how many log lines there were before."""
        before = self.said()
        os.kill(self.pid_of(server), number)
        return before

    # How it ends

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGINT, timeout: float = DEADLINE) -> int:
        """Ask it to stop and return its exit status."""
        self.send(number)
        return self.wait(timeout)

    def wait(self, timeout: float = DEADLINE) -> int:
        status = self.process.wait(timeout)
        assert self._reader is not None
        self._reader.join(DEADLINE)
        return status

    def servers(self) -> list[int]:
        """Return the processes that it has started."""
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=True)]

    def report(self) -> dict[str, Any]:
        account: dict[str, Any] = json.loads(self.report_file.read_text(encoding="utf-8"))
        return account

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


@define(eq=False)
class PricesTable:
    """The table crypto_prices, which tells when rows come."""

    dsn: str
    _connection: Any = None

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        table = cls(postgres_dsn(data_dir))
        table.connect()
        return table

    def connect(self) -> None:
        """Connect, anew after the server was away, and have the server say when rows come."""
        self.close()
        self._connection = psycopg2.connect(self.dsn)
        self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute("select pg_advisory_lock(1684108385)")  # the one that the platform creates tables under
            for statement in table_of(PRICES).create:
                cursor.execute(statement)
            cursor.execute(
                "create or replace function tell() returns trigger language plpgsql as"
                " $$ begin perform pg_notify('rows', ''); return null; end $$;"
                "create or replace trigger tell after insert on crypto_prices execute function tell();"
                "select pg_advisory_unlock(1684108385);"
                "listen rows"
            )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def count(self, where: str = "true") -> int:
        count: int = self.query(f"select count(*) from crypto_prices where {where}")[0][0]
        return count

    def wait_for(self, rows: int, where: str = "true", timeout: float = DEADLINE) -> None:
        """Wait until there are so many rows."""
        deadline = time.monotonic() + timeout
        while (count := self.count(where)) < rows:
            left = deadline - time.monotonic()
            assert left > 0, f"only {count} of {rows} rows arrived in {timeout:g} s"
            select.select([self._connection], [], [], left)
            self._connection.poll()
            self._connection.notifies.clear()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def price(coin: str, number: int = 0, source: str = "test") -> bytes:
    """Return a price as it stands in the topic; `number` makes it another row."""
    moment = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z"
    return json.dumps(
        {
            "coinId": coin,
            "symbol": coin[:3],
            "exchangeId": "coingecko",
            "usdPrice": 1.0 + number,
            "lastUpdated": moment,
            "source": source,
            "attribution": "a test",
        }
    ).encode()


def produce(address: str, values: Iterable[bytes], topic: str = "crypto-prices") -> None:
    """Publish messages from outside the platform; returns when all are acknowledged."""
    with closing(kafka.KafkaProducer(bootstrap_servers=address, acks="all", linger_ms=5)) as producer:
        for future in [producer.send(topic, key=b"k%d" % (n % 7), value=value) for n, value in enumerate(values)]:
            future.get(timeout=DEADLINE)


def consume(address: str, topic: str) -> list[Any]:
    """Return every message of a topic."""
    with closing(kafka.KafkaConsumer(bootstrap_servers=address, receive_message_max_bytes=2**31 - 1)) as consumer:
        partitions = [kafka.TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        messages: list[Any] = []
        deadline = time.monotonic() + DEADLINE
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
            for batch in consumer.poll(500).values():
                messages += batch
        return messages


def address_of(data_dir: Path) -> str:
    """Return the address of the running broker of a data directory."""
    return broker_address(data_dir)


def unbalanced(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the routes on which something is missing or under way."""
    return [
        route
        for route in report["routes"]
        if route["records_written"] + route["records_already_stored"] + route["records_dead_lettered"]
        != route["records_read"]
        or route["batches_in_flight"]
    ]


def restarted(report: dict[str, Any]) -> dict[str, int]:
    """Return the agents that were restarted, and how often."""
    return {agent["name"]: agent["restarts"] for agent in report["agents"] if agent["restarts"]}
