"""The Redpanda source: streams what a consumer group has not read yet, and commits what all targets have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import field, frozen, validators

from dataplatform.base.streaming import CommitOffsets, Fetch, RedpandaConsumer, Slice, Subscription, TopicSpec
from dataplatform.dsl.codec import codec
from dataplatform.dsl.feeds import Crop, Feed
from dataplatform.dsl.flow import Outbox, Position, letter_for_input
from dataplatform.dsl.kinds import ANALYTICS, PRICES, Kind, kind_named
from dataplatform.dsl.parts import Connection, Part, SourceOptions, topic_names
from dataplatform.dsl.plan import Plan
from dataplatform.dsl.reader import BaseReader
from dataplatform.result import Result, Success

__all__ = ["RedpandaSource", "RedpandaSourceOptions"]


def _default_topics() -> dict[str, str]:
    return {kind.name: kind.topic for kind in (PRICES, ANALYTICS)}


@frozen(kw_only=True)
class RedpandaSourceOptions(SourceOptions):
    """Options of `kind = "redpanda"` under `[sources.NAME]`.

    `group` shares the partitions among its members; `start` says where a group begins that has committed nothing.
    """

    topics: Mapping[str, str] = field(
        factory=_default_topics,
        validator=[validators.min_len(1), topic_names],
        metadata={"help": "the topic to read for each kind of record"},
    )
    group: str = field(default="dataplatform", validator=validators.min_len(1), metadata={"help": "consumer group"})
    instance_id: str | None = field(default=None, metadata={"help": "static member of the group, one per process"})
    start: str = field(
        default="earliest",
        validator=validators.in_(("earliest", "latest")),
        metadata={"help": "where a group without committed offsets begins: earliest or latest"},
    )
    session_timeout: float = field(
        default=30.0,
        validator=[validators.ge(6.0), validators.le(300.0)],
        metadata={"help": "how long the group waits for a silent member"},
    )
    most: int = field(
        default=5_000, validator=validators.in_(range(1, 100_001)), metadata={"help": "records in one batch at most"}
    )
    partitions: int = field(default=4, validator=validators.ge(1), metadata={"help": "partitions of a missing topic"})


class RedpandaSource(BaseReader):
    """Reads topics of records in their JSON form; a message that is no record becomes a dead letter."""

    technology: ClassVar[str] = "Redpanda"
    client_kind: ClassVar[str] = "redpanda"
    replayable: ClassVar[bool] = True
    Options = RedpandaSourceOptions
    options: RedpandaSourceOptions

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Bring along a consumer of its own: a member of a group belongs to one reader."""
        topics = tuple(TopicSpec(topic, options.partitions) for topic in options.topics.values())
        instance = options.instance_id or (name if connection.settings.light else None)
        subscription = Subscription(topics, options.group, instance, options.start, options.session_timeout)
        consumer = f"{name}.consumer"
        own = RedpandaConsumer.child(consumer, connection.settings, subscription)
        return Part((own, cls.child(name, options, consumer, outbox)), consumer)

    def _feeds(self) -> Sequence[Feed]:
        return [Feed("stream", self._stream, every=0.02, greedy=True)]

    def _stream(self) -> Result[Plan[list[Crop]]]:
        fetch = Fetch(self.reader, self.options.most)
        return Success(Plan(self.client, [fetch], self._crops, timeout=20.0))

    def _commit(self, positions: Sequence[Position]) -> Plan[Any]:
        offsets = tuple((position.stream, position.partition, position.next) for position in positions)
        return Plan(self.client, [CommitOffsets(offsets)], list, timeout=20.0)

    def _crops(self, answers: list[Any]) -> list[Crop]:
        kinds = {topic: kind for name, topic in self.options.topics.items() if (kind := kind_named(name))}
        crops: dict[str, Crop] = {}
        for part in answers[0]:
            kind = kinds[part.topic]
            crops[kind.name] = self._joined(crops.get(kind.name), self._decoded(kind, part))
        return list(crops.values())

    def _decoded(self, kind: Kind, part: Slice) -> Crop:
        records, failures = codec(kind).decode_all(part.values)
        now = self.clock.now()
        letters = [
            letter_for_input(
                part.values[failure.index] or b"",
                failure.error,
                origin=self.name,
                at=now,
                stream=part.topic,
                place=(part.partition, part.offsets[failure.index]),
            )
            for failure in failures
        ]
        return Crop(kind, records, (Position(part.topic, part.partition, part.first, part.next),), letters)

    @staticmethod
    def _joined(crop: Crop | None, other: Crop) -> Crop:
        if crop is None:
            return other
        return Crop(
            crop.kind, crop.records + other.records, crop.positions + other.positions, crop.letters + other.letters
        )
