"""The producer that nobody else shares: it numbers every record per partition and remembers which were acknowledged."""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from attrs import define, field

from tests.faults.subjects import Identity, Subject, malformed
from tests.faults.waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # kafka-python reads its schemas by a deprecated function
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

__all__ = ["Ledger", "Producing"]

TICK = 0.01  # seconds
MOST_UNDER_WAY = 20_000
PATIENCE = 120.0  # seconds for a record to be acknowledged, and for the last ones after all were sent


@define(eq=False)
class Ledger:
    """What was sent, and what the brokers said of it. A number is used once, whatever became of it."""

    next: dict[int, int] = field(factory=lambda: defaultdict(int))
    acknowledged: dict[Identity, int] = field(factory=dict)  # and the offset it was given
    uncertain: set[Identity] = field(factory=set)  # given up by the producer: it may have been stored or not
    poison: dict[tuple[int, int], bytes] = field(factory=dict)  # bytes by partition and offset, of acknowledged ones
    under_way: int = 0
    _lock: threading.Lock = field(factory=threading.Lock)

    def begin(self) -> None:
        with self._lock:
            self.under_way += 1

    def settle(self, identity: Identity, raw: bytes | None, answer: Any) -> None:
        """Note what became of a record; `raw` is its bytes where it is poison, `answer` an exception or its place."""
        with self._lock:
            self.under_way -= 1
            if isinstance(answer, Exception):
                self.uncertain.add(identity)
            elif raw is not None:
                self.poison[answer.partition, answer.offset] = raw
            else:
                self.acknowledged[identity] = answer.offset

    def sent(self) -> int:
        return sum(self.next.values())


class Producing:
    """Sends records to partitions in turn, `rate` of them a second, the `poison` share of them no records at all.

    It goes its own way to the brokers, and each record is sent once, by an idempotent producer.
    """

    def __init__(
        self,
        address: str,
        topic: str,
        subject: Subject,
        dice: random.Random,
        *,
        partitions: int = 4,
        poison: float = 0.0,
    ) -> None:
        self.ledger = Ledger()
        self.rate, self._enough = 0.0, 0
        self.partitions = partitions
        self._topic, self._subject = topic, subject
        self._dice, self._poison = dice, poison
        self._ended = threading.Event()
        self._failed: BaseException | None = None
        self._producer = KafkaProducer(
            bootstrap_servers=address.split(","),
            acks="all",
            enable_idempotence=True,
            linger_ms=5,
            batch_size=65_536,
            compression_type="lz4",
            delivery_timeout_ms=PATIENCE * 1000,
            request_timeout_ms=5_000,
            max_block_ms=PATIENCE * 1000,
            reconnect_backoff_max_ms=500,
            metadata_max_age_ms=1_000,  # new partitions are known soon
        )
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)
        self._thread.start()

    @contextmanager
    def at(self, rate: float, enough: int) -> Iterator[None]:
        """Send `rate` records a second in the block, a quarter of it once there are enough, and none after it."""
        self.rate, self._enough = rate, enough
        try:
            yield
        finally:
            self.rate = 0.0

    def send(self, count: int) -> None:
        """Send so many at once, as fast as it goes, beside what is sent at the rate. For the caller's own thread."""
        for _ in range(count):
            self._send_one()

    def settled(self) -> bool:
        """Tell whether all that was sent is acknowledged or given up."""
        self.check()
        return self.ledger.under_way == 0

    def check(self) -> None:
        """Raise `AssertionError` where the producer itself has died."""
        if self._failed is not None:
            raise AssertionError(f"the producer died: {self._failed!r}")

    def spread(self, partitions: int) -> None:
        """Send to so many partitions from now on, as soon as they are known."""
        until(
            lambda: len(self._producer.partitions_for(self._topic)) >= partitions, "the producer knows the partitions"
        )
        self.partitions = partitions

    def close(self) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)
        with suppress(KafkaError):
            self._producer.close(timeout=5)

    def _run(self) -> None:
        try:
            due, then = 0.0, time.monotonic()
            while not self._ended.wait(TICK):
                now = time.monotonic()
                rate = self.rate if self.ledger.sent() < self._enough else self.rate / 4
                due = min(due + rate * (now - then), rate)
                then = now
                if self.ledger.under_way < MOST_UNDER_WAY:
                    self.send(int(due))
                    due -= int(due)
        except BaseException as error:  # noqa: BLE001  # shown by `settled`
            self._failed = error

    def _send_one(self) -> None:
        partition = self.ledger.sent() % self.partitions
        identity = partition, self.ledger.next[partition]
        self.ledger.next[partition] += 1
        bad = self._poison and self._dice.random() < self._poison
        raw = malformed(self._dice, identity, self._subject) if bad else None
        key, value = self._subject.name(identity).encode(), raw if raw is not None else self._subject.encode(identity)
        self.ledger.begin()
        settle = partial(self.ledger.settle, identity, raw)
        try:
            future = self._producer.send(self._topic, value, key, partition=partition)
        except KafkaError as error:
            settle(error)
        else:
            future.add_callback(settle).add_errback(settle)
