"""Transactions: messages, and the positions of what they were made of, are published together or not at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from attrs import define, field
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    KafkaTimeoutError,
    UnknownMemberIdError,
)
from kafka.structs import ConsumerGroupMetadata, OffsetAndMetadata

from dataplatform.base.position import Position, PositionKey
from dataplatform.base.streaming.connection import ABOUT_RECORDS, close_consumer, close_producer, connect
from dataplatform.base.streaming.log_identity import Seal
from dataplatform.base.streaming.requests import Produce
from dataplatform.base.streaming.settings import RedpandaSettings

__all__ = ["FencedError", "RefusedError", "Transactions"]

TRANSACTION_TIMEOUT = 15.0  # seconds, after which the broker ends what a dead process has begun
GENERATIONS = (CommitFailedError, FencedInstanceIdError, IllegalGenerationError, UnknownMemberIdError)


class FencedError(Exception):
    """The group has given the partitions away since the messages were read: nothing was published."""


class RefusedError(Exception):
    """Messages can never be published, and so nothing was; `refused` are their errors by index."""

    def __init__(self, refused: dict[int, KafkaError]) -> None:
        super().__init__(f"{len(refused)} messages refused")
        self.refused = refused


@define(eq=False)
class Transactions:
    """A transactional producer: one transaction at a time, opened when first needed.

    After a failure it is made anew, under the same id, which ends what the one before had begun. How far each partition
    is committed is kept in mind, and asked of the group where it is in doubt: so what is put again, or was read again,
    is not published again.
    """

    settings: RedpandaSettings
    _id: str = field(factory=lambda: f"dataplatform-{uuid4()}")
    _producer: KafkaProducer | None = None
    _reached: dict[PositionKey, int] = field(factory=dict)

    def publish(self, request: Produce, alone: Sequence[int], options: dict[str, Any]) -> None:
        """Publish all messages and commit their positions; those at `alone` surely share no batch with others.

        `options` are a producer's own. Raises `FencedError`, `RefusedError`, and `KafkaError` or `OSError` for an
        outage; then it is to be closed, and may be tried again.
        """
        producer = self._connected(options)
        reached = self._where(request.positions)
        if all(reached[one.key] >= one.next for one in request.positions):
            return
        if any(reached[one.key] > one.first for one in request.positions):
            raise FencedError("part of it has been published by another reading of the same")
        self._reached.clear()  # in doubt, until the transaction is committed
        producer.begin_transaction()
        try:
            self._send(producer, request, set(alone))
            self._commit(producer, request)
        except (FencedError, RefusedError):
            self._undo(producer)
            raise
        self._reached = reached | {one.key: one.next for one in request.positions}

    def close(self) -> None:
        """Stop the producer; what it had begun is undone when the next one begins, or in time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer)

    def _send(self, producer: KafkaProducer, request: Produce, alone: set[int]) -> None:
        pending: list[tuple[int, Any]] = []
        for index, (key, value) in enumerate(zip(request.keys, request.values, strict=True)):
            if index in alone:
                self._settle(pending)
            pending.append((index, producer.send(request.topic.name, key=key, value=value)))
            if index in alone:
                self._settle(pending)
        self._settle(pending)

    def _settle(self, pending: list[tuple[int, Any]]) -> None:
        """Wait for what was sent, and collect what was refused of it."""
        refused: dict[int, KafkaError] = {}
        deadline = time.monotonic() + self.settings.delivery_timeout
        for index, future in pending:
            try:
                future.get(timeout=max(0.0, deadline - time.monotonic()))
            except KafkaError as error:
                if not isinstance(error, ABOUT_RECORDS):
                    raise
                refused[index] = error
        pending.clear()
        if refused:
            raise RefusedError(refused)

    def _commit(self, producer: KafkaProducer, request: Produce) -> None:
        member = request.positions[0].member
        if member is None or member.generation < 0:
            raise FencedError("it was read by nobody whom the group knows")
        group = ConsumerGroupMetadata(member.group, member.generation, member.id, member.instance)
        offsets = {_partition(one): OffsetAndMetadata(one.next, one.seal, -1) for one in request.positions}
        manager = producer._transaction_manager  # noqa: SLF001  its public methods wait without bound
        try:
            self._wait(producer, manager.send_offsets_to_transaction(offsets, group))
            self._wait(producer, manager.begin_commit())
        except GENERATIONS as error:
            raise FencedError(str(error)) from error

    def _undo(self, producer: KafkaProducer) -> None:
        """Have the broker drop the messages now: until then nobody can read what comes after them."""
        with suppress(KafkaError, OSError):
            self._wait(producer, producer._transaction_manager.begin_abort())  # noqa: SLF001

    def _wait(self, producer: KafkaProducer, result: Any) -> None:
        producer._sender.wakeup()  # noqa: SLF001
        if not result.wait(timeout_ms=round(self.settings.delivery_timeout * 1000)):
            raise KafkaTimeoutError("the transaction's coordinator does not answer")

    def _where(self, positions: Sequence[Position]) -> dict[PositionKey, int]:
        """Return how far the partitions are committed, asking the group for those that are not known."""
        unknown = [one for one in positions if one.key not in self._reached]
        return self._reached | (self._asked(unknown) if unknown else {})

    def _asked(self, positions: Sequence[Position]) -> dict[PositionKey, int]:
        group = positions[0].member.group if positions[0].member else None
        options = self.settings.common("dataplatform-doubt") | {"group_id": group, "enable_auto_commit": False}
        consumer = connect(KafkaConsumer, self.settings, **options, isolation_level="read_committed")
        try:
            fetch = consumer._coordinator.fetch_committed_offsets  # noqa: SLF001  the public one asks for one at a time
            found = fetch([_partition(one) for one in positions], timeout_ms=self.settings.milliseconds)
        finally:
            close_consumer(consumer)
        return {one.key: _reached(one, found.get(_partition(one))) for one in positions}

    def _connected(self, options: dict[str, Any]) -> KafkaProducer:
        if self._producer is None:
            timeout = round(TRANSACTION_TIMEOUT * 1000)
            producer = connect(
                KafkaProducer, self.settings, **options, transactional_id=self._id, transaction_timeout_ms=timeout
            )
            try:
                producer.init_transactions()
            except BaseException:
                with suppress(KafkaError, OSError):
                    close_producer(producer)
                raise
            self._producer = producer
        return self._producer


def _reached(position: Position, committed: OffsetAndMetadata | None) -> int:
    """Return how far a log is committed; an offset of the log before it says nothing of this one."""
    if committed is None or Seal.parse(committed.metadata or "").log < position.log:
        return 0
    return int(committed.offset)


def _partition(position: Position) -> TopicPartition:
    return TopicPartition(position.stream, position.partition)
