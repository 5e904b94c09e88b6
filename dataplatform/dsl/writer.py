"""BaseWriter: every writing operation, implemented once; a target adds the request that makes records durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

from dataplatform.base.agent import Answer, Context
from dataplatform.dsl import checks
from dataplatform.dsl.flow.batch import Rejection
from dataplatform.dsl.flow.target import FlowTarget, TargetMessage
from dataplatform.dsl.kinds import ANALYTICS, KINDS, LEVEL1, OHLCV, PRICES, Kind
from dataplatform.dsl.operations import (
    Flush,
    PublishAnalytics,
    PublishBatch,
    PublishLevel1,
    PublishLevel1Batch,
    PublishOHLCV,
    PublishOHLCVBatch,
    PublishPrice,
    PublishPrices,
    WritingOperation,
)
from dataplatform.dsl.parts import Connection, Part, TargetOptions
from dataplatform.dsl.queries import BatchPublishResult, PublishResult, Refused
from dataplatform.dsl.types import CryptoMarketAnalytics, CryptoOHLCVData, CryptoPriceData, Level1Data, Record
from dataplatform.errors import Permanent, Transient
from dataplatform.result import Failure, Result, Success

__all__ = ["BaseWriter"]

WriterMessage: TypeAlias = WritingOperation | TargetMessage


class BaseWriter(FlowTarget):
    """A target of market data. An operation answers when its records are durable, or why they are not.

    `takes` are the kinds of record that the technology has a place for.
    """

    technology: ClassVar[str] = "this target"
    client_kind: ClassVar[str]
    takes: ClassVar[tuple[Kind, ...]] = KINDS
    Options: ClassVar[type[TargetOptions]]

    def __init__(self, context: Context, options: Any, client: str) -> None:
        super().__init__(context, client, credit=options.credit)
        self.options = options

    @classmethod
    def part(cls, name: str, options: Any, connection: Connection) -> Part:
        """Return the agents of one target of this technology."""
        client = connection.agents[0]
        return Part((cls.child(name, options, client),), client)

    @classmethod
    def kinds(cls, options: Any) -> tuple[Kind, ...]:
        """Return the kinds of record a target with these options takes; all that the technology does by default."""
        del options
        return cls.takes

    @classmethod
    def places(cls, options: Any) -> Mapping[str, str]:
        """Return where the client has the records of each kind afterwards, for a stream; else nothing."""
        del options
        return {}

    # Operations

    def publish_price(self, price: CryptoPriceData) -> Result[PublishResult]:
        """Write one price. Fails with `rejected` when it can never be written, `Transient` in an outage."""
        return self._publish_one(PRICES, price)

    def publish_prices(self, prices: Sequence[CryptoPriceData]) -> Result[BatchPublishResult]:
        """Write several prices; those that can never be written are named in the answer and harm no other.

        Fails with `bad_argument` for what is no list of prices, `Transient` in an outage: then some of them may be
        durable, and all of them may be published again.
        """
        return self._publish(PRICES, prices)

    def publish_ohlcv(self, candle: CryptoOHLCVData) -> Result[PublishResult]:
        """Write one candle. Fails as `publish_price` does."""
        return self._publish_one(OHLCV, candle)

    def publish_ohlcv_batch(self, candles: Sequence[CryptoOHLCVData]) -> Result[BatchPublishResult]:
        """Write several candles. Answers and fails as `publish_prices` does."""
        return self._publish(OHLCV, candles)

    def publish_level1(self, level1: Level1Data) -> Result[PublishResult]:
        """Write one best bid and ask. Fails as `publish_price` does."""
        return self._publish_one(LEVEL1, level1)

    def publish_level1_batch(self, level1s: Sequence[Level1Data]) -> Result[BatchPublishResult]:
        """Write several best bids and asks. Answers and fails as `publish_prices` does."""
        return self._publish(LEVEL1, level1s)

    def publish_batch(self, records: Sequence[Record]) -> Result[BatchPublishResult]:
        """Write records of several kinds, kind by kind. Answers and fails as `publish_prices` does."""
        if error := checks.records(records):
            return Failure(error)
        refused: list[Refused] = []
        for kind in KINDS:
            places = [place for place, record in enumerate(records) if type(record) is kind.type]
            answer = self._publish(kind, [records[place] for place in places]) if places else None
            if isinstance(answer, Failure):
                return answer
            refused += [Refused(places[one.index], one.error) for one in answer.data.refused] if answer else []
        refused.sort(key=lambda one: one.index)
        return Success(BatchPublishResult(self.name, len(records) - len(refused), tuple(refused)))

    def publish_analytics(self, analytics: CryptoMarketAnalytics) -> Result[PublishResult]:
        """Write one state of the market. Fails as `publish_price` does."""
        return self._publish_one(ANALYTICS, analytics)

    def flush(self) -> Result[None]:
        """Succeed when nothing accepted is still on its way; `busy` while batches of the flow are being written."""
        if self._queue:
            return Failure(
                Transient("busy", f"{self.name} is still writing {len(self._queue)} batches", retry_after=0.1)
            )
        return Success(None)

    # Messages

    def receive(self, message: WriterMessage) -> Answer[Any] | None:
        match message:
            case PublishPrice(price):
                return self.publish_price(price)
            case PublishPrices(prices):
                return self.publish_prices(prices)
            case PublishAnalytics(analytics):
                return self.publish_analytics(analytics)
            case PublishOHLCV(candle):
                return self.publish_ohlcv(candle)
            case PublishOHLCVBatch(candles):
                return self.publish_ohlcv_batch(candles)
            case PublishLevel1(level1):
                return self.publish_level1(level1)
            case PublishLevel1Batch(level1s):
                return self.publish_level1_batch(level1s)
            case PublishBatch(records):
                return self.publish_batch(records)
            case Flush():
                return self.flush()
            case _:
                return super().receive(message)

    # How it works

    def _publish_one(self, kind: Kind, record: Record) -> Result[PublishResult]:
        answer = self._publish(kind, [record])
        if isinstance(answer, Failure):
            return answer
        if answer.data.refused:
            return Failure(answer.data.refused[0].error)
        return Success(PublishResult(self.name, kind.name))

    def _publish(self, kind: Kind, records: Sequence[Record]) -> Result[BatchPublishResult]:
        if error := checks.records_of(kind.type, records):
            return Failure(error)
        if kind not in self.kinds(self.options):
            return Failure(untaken(kind, self.technology))
        stored = self._store(kind, self._portions(kind, list(records))) if records else Success([])
        self.count("failed_operations" if isinstance(stored, Failure) else "operations")
        if isinstance(stored, Failure):
            return stored
        refused = tuple(Refused(rejection.index, _permanent(rejection)) for rejection in stored.data)
        return Success(BatchPublishResult(self.name, len(records) - len(refused), refused))

    def _store(self, kind: Kind, parts: Sequence[list[Record]]) -> Result[list[Rejection]]:
        """Write now, part by part; the first failure ends it."""
        rejections: list[Rejection] = []
        offset = 0
        for records in parts:
            stored = self._store_part(kind, records)
            if isinstance(stored, Failure):
                return stored
            rejections += [Rejection(offset + rejection.index, rejection.error) for rejection in stored.data]
            offset += len(records)
        return Success(rejections)

    def _store_part(self, kind: Kind, records: list[Record]) -> Result[list[Rejection]]:
        """Write in one request, halving what is refused until the records at fault stand alone."""
        if self.context.stopping.is_set():
            return self._stopping()
        stored = self._stored(self.client.ask(self._request(kind, records), self._timeout))
        if not isinstance(stored, Failure) or not self._is_about_records(stored.error):
            return stored
        if len(records) == 1:
            return Success([Rejection(0, stored.error)])
        middle = len(records) // 2
        return self._store(kind, [records[:middle], records[middle:]])


def untaken(kind: Kind, technology: str) -> Permanent:
    """Return the error of records that a technology does not take, with the names of those that do."""
    from dataplatform.dsl import registry  # noqa: PLC0415  it knows all writers, and so this module

    return registry.untaken(kind, technology)


def _permanent(rejection: Rejection) -> Permanent:
    error = rejection.error
    return error if isinstance(error, Permanent) else Permanent(error.code, error.message)
