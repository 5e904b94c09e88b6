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

from dataplatform.base.position import Position
from dataplatform.base.streaming.connection import close_consumer, close_producer, connect
from dataplatform.base.streaming.errors import ABOUT_RECORDS
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

    After a failure it is made anew, under the same id, which ends what the one before had begun; whether that was
    committed is seen by the group's offsets.
    """

    settings: RedpandaSettings
    _id: str = field(factory=lambda: f"dataplatform-{uuid4()}")
    _producer: KafkaProducer | None = None
    _doubtful: bool = False

    def publish(self, request: Produce, alone: Sequence[int], options: dict[str, Any]) -> None:
        """Publish all messages and commit their positions; those at `alone` surely share no batch with others.

        `options` are a producer's own. Raises `FencedError`, `RefusedError`, and `KafkaError` or `OSError` for an
        outage; then it is to be closed, and may be tried again.
        """
        producer = self._connected(options)
        if self._doubtful and self._is_committed(request):
            self._doubtful = False
            return
        producer.begin_transaction()
        try:
            self._send(producer, request, set(alone))
            self._doubtful = True
            self._commit(producer, request)
        except (FencedError, RefusedError):
            self._undo(producer)
            raise
        self._doubtful = False

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
        assert member is not None, "positions without a member cannot be committed"
        group = ConsumerGroupMetadata(member.group, member.generation, member.id, member.instance)
        offsets = {_partition(one): OffsetAndMetadata(one.next, one.seal, -1) for one in request.positions}
        manager = producer._transaction_manager  # noqa: SLF001  its public methods wait without bound
        try:
            self._wait(producer, manager.send_offsets_to_transaction(offsets, group))
            self._wait(producer, manager.begin_commit())
        except GENERATIONS as error:
            self._doubtful = False
            raise FencedError(str(error)) from error

    def _undo(self, producer: KafkaProducer) -> None:
        """Have the broker drop the messages now: until then nobody can read what comes after them."""
        with suppress(KafkaError, OSError):
            self._wait(producer, producer._transaction_manager.begin_abort())  # noqa: SLF001

    def _wait(self, producer: KafkaProducer, result: Any) -> None:
        producer._sender.wakeup()  # noqa: SLF001
        if not result.wait(timeout_ms=round(self.settings.delivery_timeout * 1000)):
            raise KafkaTimeoutError("the transaction's coordinator does not answer")

    def _is_committed(self, request: Produce) -> bool:
        member = request.positions[0].member
        assert member is not None
        options = self.settings.common("dataplatform-doubt") | {"group_id": member.group, "enable_auto_commit": False}
        consumer = connect(KafkaConsumer, **options, isolation_level="read_committed")
        try:
            return all(
                (consumer.committed(_partition(one), timeout_ms=self.settings.milliseconds) or 0) >= one.next
                for one in request.positions
            )
        finally:
            close_consumer(consumer)

    def _connected(self, options: dict[str, Any]) -> KafkaProducer:
        if self._producer is None:
            timeout = round(TRANSACTION_TIMEOUT * 1000)
            producer = connect(KafkaProducer, **options, transactional_id=self._id, transaction_timeout_ms=timeout)
            try:
                producer.init_transactions()
            except BaseException:
                with suppress(KafkaError, OSError):
                    close_producer(producer)
                raise
            self._producer = producer
        return self._producer


def _partition(position: Position) -> TopicPartition:
    return TopicPartition(position.stream, position.partition)
