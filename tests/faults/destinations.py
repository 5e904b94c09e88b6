"""Where a platform under test brings records to, and how the oracle finds them there: a table, or another topic."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psycopg2
from attrs import define, field

from tests.faults.cluster import KafkaCluster
from tests.faults.database import Database
from tests.faults.oracle import Evidence, Letter
from tests.faults.platforms import migrate
from tests.faults.subjects import Identity, Subject
from tests.faults.waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    from kafka import KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError

__all__ = ["SILENT", "Destination", "Output", "Table", "misplaced"]

SILENT = (psycopg2.Error, KafkaError, OSError)  # raised by a destination whose server is away
ANSWER = 1_000  # milliseconds
TABLE = """
[clients.timescale]
kind = "timescale"
dsn = "{dsn}"

[targets.destination]
kind = "timescale"
client = "timescale"
{option}
"""
OUTPUT = """
[targets.destination]
kind = "redpanda"
client = "redpanda"
topics = {{ {kind} = "{topic}", dead_letters = "{letters}" }}
"""


class Destination(Protocol):
    """What the oracle asks; all but `toml` raise one of `SILENT` where a server is away."""

    def toml(self) -> str:
        """Return the target `destination` of a topology."""
        ...

    def prepare(self, topology: Path) -> None:
        """Make it, and have what comes to it witnessed from now on."""
        ...

    def begun(self) -> int:
        """Return how many records came, those of transactions under way or undone included."""
        ...

    def accounted(self) -> int:
        """Count the different records that are there, and the different inputs in the dead letters."""
        ...

    def evidence(self) -> Evidence:
        """Return all that is there, when nothing comes any more."""
        ...

    def close(self) -> None: ...


@define(eq=False)
class Table:
    """A table of a database, with a witness; platforms reach it at `dsn`."""

    database: Database
    subject: Subject
    dsn: str

    def toml(self) -> str:
        return TABLE.format(dsn=self.dsn, option=self.subject.option)

    def prepare(self, topology: Path) -> None:
        migrate(topology)
        self.database.watch(self.subject)

    def begun(self) -> int:
        return self.database.begun()

    def accounted(self) -> int:
        return self.database.accounted(self.subject)

    def evidence(self) -> Evidence:
        database, subject = self.database, self.subject
        return Evidence(database.arrivals(), database.stored(subject), database.unsound(subject), database.letters())

    def close(self) -> None:
        self.database.disconnect()


@define(eq=False)
class Output:
    """A topic of the cluster that is read from, read as its readers read it: what was committed, and nothing else."""

    kafka: KafkaCluster
    topic: str
    subject: Subject
    _reader: Any = None
    _log: Any = None  # sees what is in the log, committed or not
    _messages: list[Any] = field(factory=list)
    _arrived: list[Identity] = field(factory=list)  # whose message each is

    @property
    def letters(self) -> str:
        return f"{self.topic}-letters"

    def toml(self) -> str:
        return OUTPUT.format(kind=self.subject.kind, topic=self.topic, letters=self.letters)

    def prepare(self, topology: Path) -> None:
        del topology
        self.kafka.create(self.topic)
        self._reader = self._consumer("read_committed")

    def begun(self) -> int:
        return sum(self._ends().values())

    def accounted(self) -> int:
        """Count the records alone: no scenario that writes here has malformed ones."""
        self._read()
        return len(set(self._arrived))

    def evidence(self) -> Evidence:
        until(self._read_all, f"{self.topic} is read to its end")
        letters = [_letter(raw) for *_, raw in self.kafka.messages(self.letters)]
        return Evidence(self._arrived, self._arrived, misplaced(self._messages, self.subject), letters)

    def undone(self) -> int:
        """Return how many messages are in the log that no reader is to see: those of transactions undone."""
        return len(self.kafka.messages(self.topic)) - len(self._messages)

    def close(self) -> None:
        for consumer in filter(None, (self._reader, self._log)):
            consumer.close()

    def _consumer(self, isolation: str) -> Any:
        brokers = self.kafka.address.split(",")
        consumer = KafkaConsumer(bootstrap_servers=brokers, group_id=None, isolation_level=isolation)
        places = [TopicPartition(self.topic, number) for number in consumer.partitions_for_topic(self.topic) or ()]
        if not places:
            consumer.close()
            raise KafkaError(f"the brokers do not know {self.topic} yet")
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        return consumer

    def _read(self) -> None:
        while some := self._reader.poll(50, max_records=10_000):
            for messages in some.values():
                self._messages += messages
                self._arrived += [self.subject.decode(message.value) for message in messages]

    def _read_all(self) -> bool:
        """Read on; tell whether the end is reached, behind which no transaction is open any more."""
        self._read()
        with suppress(KafkaError):
            return all(self._reader.position(place) >= end for place, end in self._ends().items())
        return False

    def _ends(self) -> dict[Any, int]:
        """Return where the log ends; asks anew where a broker died, after which kafka-python's consumer hangs."""
        if self._log is None:
            self._log = self._consumer("read_uncommitted")
        try:
            ends: dict[Any, int] = self._log.end_offsets(self._log.assignment(), timeout_ms=ANSWER)
        except KafkaError:
            self._log.close()
            self._log = None
            raise
        return ends


def misplaced(messages: Collection[Any], subject: Subject) -> int:
    """Count the messages that are not what was sent, under its key, with all others of the key in one partition."""
    places: dict[bytes, int] = {}
    wrong = 0
    for message in messages:
        identity = subject.decode(message.value)
        place = places.setdefault(message.key, message.partition)
        right = subject.same(message.value, identity) and message.key == subject.name(identity).encode()
        wrong += not right or place != message.partition
    return wrong


def _letter(raw: bytes | None) -> Letter:
    letter = json.loads(raw or b"{}")
    return letter.get("partition"), letter.get("offset"), base64.b64decode(letter["raw"])
