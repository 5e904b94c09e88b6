"""Being a member of a consumer group: what the group does to it, and how it is named."""

from __future__ import annotations

from collections.abc import Iterable

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition

from dataplatform.base.position import Member

__all__ = ["NOBODY", "Membership", "group_of", "member_of"]

NOBODY = Member("", -1, "")


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


def group_of(consumer: KafkaConsumer, group: str) -> str:
    """Name a group as nobody else's: two clusters may have a group of the same name each."""
    cluster = consumer._client.cluster.cluster_id  # noqa: SLF001  nothing else tells
    return f"{group}@{cluster}" if cluster else group


def member_of(consumer: KafkaConsumer) -> Member:
    """Return who the consumer is in its group at the moment."""
    known = consumer.group_metadata()
    return Member(known.group_id, known.generation_id, known.member_id, known.group_instance_id)
