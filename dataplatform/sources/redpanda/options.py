"""What the Redpanda source can be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen, validators

from dataplatform.base.streaming import TopicSpec, as_start
from dataplatform.dsl.kinds import ANALYTICS, DEAD_LETTERS, PRICES, Kind, kinds
from dataplatform.dsl.parts import SourceOptions, topic_names

__all__ = ["RedpandaSourceOptions", "viewed"]


def viewed() -> tuple[Kind, ...]:
    """Return the kinds of record that reading operations look for in topics."""
    return tuple(kind for kind in kinds() if kind is not DEAD_LETTERS)


def _default_topics() -> dict[str, str]:
    return {kind.name: kind.topic for kind in (PRICES, ANALYTICS)}


def _all_topic_names(options: Any, attribute: Attribute[Any], topics: Mapping[str, str]) -> None:
    topic_names(options, attribute, {kind.name: kind.topic for kind in viewed()} | dict(topics))


def _start(_: Any, attribute: Attribute[Any], value: Any) -> None:
    try:
        as_start(value)
    except ValueError as error:
        raise ValueError(f"{attribute.name}: {error}") from None


@frozen(kw_only=True)
class RedpandaSourceOptions(SourceOptions):
    """Options of `kind = "redpanda"` under `[sources.NAME]`.

    `group` shares the partitions among its members; `start` says where a group begins that has committed nothing:
    at `"earliest"` or `"latest"`, at a time (`"2026-01-01T00:00:00Z"`), some time ago (`"-6h"`), at an offset in every
    partition (`1500`), or at one in each of some (`{ "crypto-prices/0" = 1500 }`). `view_from` says the same of what
    the reading operations answer from. They look at the topics that are named, and at a kind's own where none is.
    """

    topics: Mapping[str, str] = field(
        factory=_default_topics,
        validator=[validators.min_len(1), _all_topic_names],
        metadata={"help": "the topic to read for each kind of record"},
    )
    group: str = field(default="dataplatform", validator=validators.min_len(1), metadata={"help": "consumer group"})
    instance_id: str | None = field(default=None, metadata={"help": "static member of the group, one per process"})
    start: str | int | Mapping[str, int] = field(
        default="earliest",
        validator=_start,
        metadata={"help": "where a group without committed offsets begins: earliest, latest, a time, an age, offsets"},
    )
    session_timeout: float = field(
        default=30.0,
        validator=[validators.ge(6.0), validators.le(300.0)],
        metadata={"help": "how long the group waits for a silent member"},
    )
    most: int = field(
        default=5_000, validator=validators.in_(range(1, 100_001)), metadata={"help": "records in one batch at most"}
    )
    partitions: int = field(
        default=4, validator=validators.in_(range(1, 1_001)), metadata={"help": "partitions of a missing topic"}
    )
    view_from: str | int | Mapping[str, int] = field(
        default="earliest",
        validator=_start,
        metadata={"help": "how far back the reading operations look: as start"},
    )
    view_most: int = field(
        default=100_000,
        validator=validators.in_(range(1, 10_000_001)),
        metadata={"help": "prices, candles, … of each topic that are kept for the reading operations at most"},
    )

    def topic(self, kind: Kind) -> str:
        """Return the topic in which the reading operations look for a kind of record."""
        return self.topics.get(kind.name, kind.topic)

    @property
    def specs(self) -> tuple[TopicSpec, ...]:
        """The topics to stream, with what they get where they are missing."""
        return tuple(TopicSpec(topic, self.partitions) for topic in self.topics.values())
