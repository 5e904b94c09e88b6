"""Being a member of a consumer group: what the group does to it, and how it is named."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from dataplatform.base.position import Member

__all__ = ["NOBODY", "BrokenJoinError", "Membership", "group_of", "member_of", "name_broken_joins"]

NOBODY = Member("", -1, "")
MALFORMED = (struct.error, ValueError, LookupError, TypeError)  # what kafka-python raises for bytes it cannot decode


class BrokenJoinError(KafkaError):  # type: ignore[misc]  # kafka-python is untyped
    """What another member said in the group cannot be read; whoever meets it leaves and joins anew."""

    retriable = False


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python is untyped
    """What the group did to this member: told by kafka-python's own thread, while the agent waits in a poll."""

    def __init__(self, consumer: KafkaConsumer | None = None) -> None:
        self._consumer = consumer
        self.joined = False
        self.seated = False  # reading has been placed in this assignment; set by the agent
        self.lost = False  # thrown out rather than asked to leave: the broker may have lost more than this member

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Have the joining that begins now go on until it is done.

        Where other topic metadata were the reason, a poll that ends early would let kafka-python forget to finish it.
        """
        del revoked
        self.joined = self.seated = False
        if self._consumer is not None:
            self._consumer._coordinator.request_rejoin()  # noqa: SLF001

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self.on_partitions_revoked(lost)
        self.lost = True

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Take note; there may be more members than partitions, and so nothing assigned."""
        del assigned
        self.joined = True


def name_broken_joins(consumer: KafkaConsumer) -> None:
    """Have a consumer's polls raise `BrokenJoinError` for what other members send that is none of the protocol.

    A broker hands on unread what the group's leader has decided for a member, nothing where the leader forgot it, and
    what each member told the leader. kafka-python decodes them without a guard of its own.
    """
    coordinator = consumer._coordinator  # noqa: SLF001
    assign, complete = coordinator._perform_assignment, coordinator._on_join_complete_async  # noqa: SLF001

    def assigned(*args: Any) -> Any:
        with _of_the_protocol(consumer, "what a member of it says of itself"):
            return assign(*args)

    async def completed(*args: Any) -> None:
        with _of_the_protocol(consumer, "what its leader has assigned to this member"):
            await complete(*args)

    coordinator._perform_assignment, coordinator._on_join_complete_async = assigned, completed  # noqa: SLF001


@contextmanager
def _of_the_protocol(consumer: KafkaConsumer, what: str) -> Iterator[None]:
    try:
        yield
    except MALFORMED as error:
        text = f"group {consumer.config['group_id']}: {what} cannot be read ({error}); joining anew"
        raise BrokenJoinError(text) from error


def group_of(consumer: KafkaConsumer, group: str) -> str:
    """Name a group as nobody else's: two clusters may have a group of the same name each."""
    cluster = consumer._client.cluster.cluster_id  # noqa: SLF001  nothing else tells
    return f"{group}@{cluster}" if cluster else group


def member_of(consumer: KafkaConsumer) -> Member:
    """Return who the consumer is in its group at the moment."""
    known = consumer.group_metadata()
    return Member(known.group_id, known.generation_id, known.member_id, known.group_instance_id)
