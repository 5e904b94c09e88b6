"""The Redpanda source: streams what a group has not read yet, and answers operations from what stands in topics.

What the Redpanda source can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from attrs import Attribute, evolve, field, frozen, validators

from dataplatform.base.agent import Answer, Context, Deferred, Degraded
from dataplatform.base.streaming import (
    CommitOffsets,
    Fetch,
    Latest,
    RedpandaConsumer,
    Seen,
    SkipBatch,
    Slice,
    Subscription,
    TopicSpec,
    TopicView,
    UnreadableBatch,
    ViewSpec,
    as_start,
    unreadable,
)
from dataplatform.dsl.flow import Outbox, Position, letter_for_input
from dataplatform.dsl.flow.feeds import Feed, FeedResult
from dataplatform.dsl.flow.plan import Plan
from dataplatform.dsl.operations.parts import Connection, Part, SourceOptions, topic_names
from dataplatform.dsl.operations.reader import BaseReader, ReaderMessage
from dataplatform.dsl.records.codec import Undecodable, decode_plausible
from dataplatform.dsl.records.kinds import ANALYTICS, DEAD_LETTERS, LEVEL1, OHLCV, PRICES, Kind, kind_named, kinds
from dataplatform.dsl.records.queries import CurrentPricesOptions, DateRangeOHLCVQuery, Level1Query
from dataplatform.dsl.records.types import (
    CryptoMarketAnalytics,
    CryptoOHLCVData,
    CryptoPriceData,
    DeadLetter,
    Level1Data,
)
from dataplatform.result import Result, Success
from dataplatform.sources.redpanda.answers import (
    analytics,
    candles,
    digest,
    latest_candles,
    level1,
    notes,
    prices,
    tickers,
)

__all__ = ["RedpandaSource", "RedpandaSourceOptions", "viewed"]


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


T = TypeVar("T")
SKIP_TIMEOUT = 10.0  # seconds


class RedpandaSource(BaseReader):
    """Reads topics of records in their JSON form; a message that is no record becomes a dead letter.

    The operations answer what the topics held at the time of asking, from a view of them that is made when it is first
    asked; for how long its messages are kept is the topic's setting. `last_updated` or `timestamp` says how old a
    record is.
    """

    technology: ClassVar[str] = "Redpanda"
    client_kind: ClassVar[str] = "redpanda"
    replayable: ClassVar[bool] = True
    Options = RedpandaSourceOptions
    options: RedpandaSourceOptions

    def __init__(
        self, context: Context, options: Any, client: str, outbox: Outbox | None = None, view: str | None = None
    ) -> None:
        super().__init__(context, options, client, outbox)
        self._view = self.address(view or client)

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection, outbox: Outbox | None) -> Part:
        """Bring along a consumer of its own, as a member of a group belongs to one reader, and a view."""
        instance = options.instance_id or (name if connection.settings.light else None)
        keepers = outbox.targets if outbox else ()
        subscription = Subscription(
            options.specs,
            options.group,
            instance,
            options.start,
            options.session_timeout,
            keepers,
            options.stall_after,
        )
        spec = ViewSpec(
            {options.topic(kind): digest(kind) for kind in viewed()}, as_start(options.view_from), options.view_most
        )
        consumer, view = f"{name}.consumer", f"{name}.view"
        return Part(
            (
                RedpandaConsumer.child(consumer, connection.settings, subscription),
                cls.child(name, options, consumer, outbox, view),
            ),
            consumer,
            (TopicView.child(view, connection.settings, spec),),
        )

    @classmethod
    def places(cls, options: Any) -> Mapping[str, str]:
        found: Mapping[str, str] = options.topics
        return found

    @classmethod
    def group(cls, options: Any) -> str | None:
        group: str = options.group
        return group

    # Operations

    def _current_prices(
        self, coin_ids: Sequence[str], options: CurrentPricesOptions
    ) -> Result[Plan[list[CryptoPriceData]]]:
        del options  # a record holds all that was published
        return self._look(PRICES, coin_ids, lambda seen: prices(seen, coin_ids))

    def _available_tickers(self, limit: int | None) -> Result[Plan[list[str]]]:
        return self._look(PRICES, None, lambda seen: tickers(seen, limit))

    def _market_analytics(self) -> Result[Plan[CryptoMarketAnalytics]]:
        return self._look(ANALYTICS, None, analytics)

    def _latest_ohlcv(self, coin_ids: Sequence[str], timeframe: str) -> Result[Plan[list[CryptoOHLCVData]]]:
        return self._look(OHLCV, coin_ids, lambda seen: latest_candles(seen, coin_ids, timeframe))

    def _ohlcv_by_date_range(self, query: DateRangeOHLCVQuery) -> Result[Plan[list[CryptoOHLCVData]]]:
        return self._look(OHLCV, [query.ticker], lambda seen: candles(seen, query))

    def _level1(self, query: Level1Query) -> Result[Plan[Level1Data]]:
        return self._look(LEVEL1, [query.ticker], lambda seen: level1(seen, query))

    def _latest_records(self, kind: Kind, keys: Sequence[str]) -> Result[Plan[list[Any]]]:
        return self._look(kind, keys, lambda seen: list(seen.values))

    def _look(self, kind: Kind, groups: Sequence[str] | None, answer: Callable[[Seen], T]) -> Result[Plan[T]]:
        """Plan to look at what was seen of these coins or tickers, of all where none are named."""
        asked = Latest(self.options.topic(kind), None if groups is None else tuple(groups))
        return Success(Plan(self._view, [asked], lambda answers: Success(answer(answers[0]), notes(answers[0]))))

    # The stream

    def _feeds(self) -> Sequence[Feed]:
        return [Feed("stream", self._stream, every=0.02, greedy=True)]

    def _stream(self) -> Result[Plan[list[FeedResult]]]:
        fetch = Fetch(self.reader, self.options.most)
        return Success(Plan(self.client, [fetch], self._feed_results, timeout=20.0))

    def _commit(self, positions: Sequence[Position]) -> Plan[Any]:
        return Plan(self.client, [CommitOffsets(tuple(positions))], list, timeout=20.0)

    def receive(self, message: ReaderMessage | SkipBatch) -> Answer[Any] | None:
        match message:
            case SkipBatch():
                answer: Deferred[str] = Deferred()
                self.call(self.client, message, answer.settle, timeout=SKIP_TIMEOUT)
                return answer
            case _:
                return super().receive(message)

    def _trouble(self) -> Degraded | None:
        """Return what its consumer shows: partitions that do not move."""
        status = self.client.status()
        return status.degraded if status else None

    def _feed_results(self, answers: list[Any]) -> list[FeedResult]:
        kinds = {topic: kind for name, topic in self.options.topics.items() if (kind := kind_named(name))}
        feed_results: dict[str, FeedResult] = {}
        for part in answers[0]:
            kind = kinds[part.topic]
            feed_results[kind.name] = self._joined(feed_results.get(kind.name), self._decoded(kind, part))
        return list(feed_results.values())

    def _decoded(self, kind: Kind, part: Slice) -> FeedResult:
        if part.unreadable:
            return FeedResult(kind, [], (part.position,), [self._letter_of_batch(part.unreadable)])
        now = self.clock.now()
        records, failures = decode_plausible(kind, part.values, now)
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
        return FeedResult(kind, records, (_of_records(part.position, failures),), letters)

    def _letter_of_batch(self, batch: UnreadableBatch) -> DeadLetter:
        """Keep what somebody gave up: its bytes as the broker has them, its offsets and codec in the error."""
        return letter_for_input(
            batch.raw,
            unreadable(batch),
            origin=self.name,
            at=self.clock.now(),
            stream=batch.partition.topic,
            place=(batch.partition.partition, batch.first),
        )

    @staticmethod
    def _joined(first: FeedResult | None, other: FeedResult) -> FeedResult:
        if first is None:
            return other
        return FeedResult(
            first.kind,
            first.records + other.records,
            first.positions + other.positions,
            first.letters + other.letters,
        )


def _of_records(position: Position, failures: Sequence[Undecodable]) -> Position:
    """Return the position with the offsets of its records alone."""
    broken = {failure.index for failure in failures}
    if not broken:
        return position
    return evolve(position, offsets=[offset for index, offset in enumerate(position.offsets) if index not in broken])
