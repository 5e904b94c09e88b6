"""The Redpanda target: records of a kind go to the kind's topic as JSON, keyed so that each coin's stay in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import Attribute, field, frozen, validators

from dataplatform.base.streaming import Produce, Produced, TopicSpec
from dataplatform.dsl.flow import Batch, Rejection
from dataplatform.dsl.operations.parts import TargetOptions, topic_names
from dataplatform.dsl.operations.writer import BaseWriter
from dataplatform.dsl.records.codec import codec
from dataplatform.dsl.records.kinds import DEAD_LETTERS, Kind, kinds
from dataplatform.dsl.records.types import Record

__all__ = ["RedpandaTarget", "RedpandaTargetOptions"]

LONGEST_LETTER = 8 * 1024 * 1024  # a letter holds what was too long for its own topic, in base64


def _all_topic_names(options: Any, attribute: Attribute[Any], topics: Mapping[str, str]) -> None:
    topic_names(options, attribute, {kind.name: kind.topic for kind in kinds()} | dict(topics))


@frozen(kw_only=True)
class RedpandaTargetOptions(TargetOptions):
    """Options of `kind = "redpanda"` under `[targets.NAME]`.

    `topics` names the topic of each kind of record, `partitions` and `retention` (seconds) are what a topic gets when
    it is created here.
    """

    topics: Mapping[str, str] = field(
        factory=dict,
        validator=_all_topic_names,
        metadata={"help": "the topic of each kind of record, where it is not the kind's own"},
    )
    partitions: int = field(default=4, validator=validators.ge(1), metadata={"help": "partitions of a new topic"})
    retention: float = field(
        default=7 * 86400.0, validator=validators.gt(0.0), metadata={"help": "how long a new topic keeps its messages"}
    )

    def topic(self, kind: Kind) -> TopicSpec:
        """Return the topic of a kind, with the settings it is created with."""
        name = self.topics.get(kind.name, kind.topic)
        if kind is DEAD_LETTERS:
            return TopicSpec(name, 1, retention=30 * 86400.0, max_message_bytes=LONGEST_LETTER)
        return TopicSpec(name, self.partitions, retention=self.retention)


class RedpandaTarget(BaseWriter):
    """Publishes at least once, acknowledged by all replicas; exactly once from topic to topic of one cluster."""

    technology: ClassVar[str] = "Redpanda"
    client_kind: ClassVar[str] = "redpanda"
    commits: ClassVar[bool] = True
    Options = RedpandaTargetOptions
    options: RedpandaTargetOptions

    @classmethod
    def places(cls, options: Any) -> Mapping[str, str]:
        return {kind.name: options.topic(kind).name for kind in kinds()}

    def _request(self, kind: Kind, records: list[Record]) -> Produce:
        return Produce(self.options.topic(kind), kind.keys(records), codec(kind).encode(records))

    def _batch_request(self, batch: Batch) -> Produce:
        request = self._request(batch.kind, batch.records)
        return Produce(request.topic, request.keys, request.values, batch.positions) if batch.exclusive else request

    def _is_abandoned(self, answer: Any) -> bool:
        return isinstance(answer, Produced) and answer.fenced

    def _rejections(self, answer: Any) -> list[Rejection]:
        assert isinstance(answer, Produced)
        return [Rejection(index, error) for index, error in answer.refused]
