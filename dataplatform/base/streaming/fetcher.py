"""kafka-python's fetcher, where a consumer has to reach behind its public face: what it holds, and how it fails.

Its `pause` parks what was fetched, and a parked partition is neither given back for sure nor fetched again (3.0.12).
After an error in a batch it would go round in circles over the rest of what was fetched. So whoever pauses a partition,
or meets an error in one, has the fetcher let go of it and seeks. A member that only stays in its group fetches nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from attrs import frozen
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, KafkaError, UnsupportedCodecError
from kafka.record.default_records import DefaultRecordBatch

__all__ = ["BrokenBatchError", "UnreadableBatch", "has_more", "let_go", "name_broken_batches", "place_of", "stay"]

CODECS = {0: "uncompressed", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
PACKAGES = {"snappy": "python-snappy", "lz4": "lz4", "zstd": "zstandard"}
HEAD = DefaultRecordBatch.HEADER_STRUCT  # https://kafka.apache.org/documentation/#recordbatch
CODEC_MASK = DefaultRecordBatch.CODEC_MASK
MAGIC_AT, MAGIC = 16, 2
OFFSET = struct.Struct(">q")


@frozen
class UnreadableBatch:
    """The messages at offsets [first, next) of a partition, which are there and cannot be read, and why.

    `raw` is their batch as the broker has it.
    """

    partition: TopicPartition
    first: int
    next: int
    codec: str
    why: str
    remedy: str
    raw: bytes

    def after(self, end: int) -> int:
        """Return where to read on in a log that ends at `end`: never beyond it, whatever the batch says of itself."""
        return max(self.first + 1, min(self.next, end))

    def __str__(self) -> str:
        where = f"{self.partition.topic}/{self.partition.partition}"
        return f"{where}: the {self.codec} batch at offsets {self.first} to {self.next - 1} cannot be read: {self.why}"


class BrokenBatchError(KafkaError):  # type: ignore[misc]  # kafka-python is untyped
    """A batch of messages cannot be read, while the partition and its broker are well."""

    retriable = False

    def __init__(self, batch: UnreadableBatch) -> None:
        super().__init__(str(batch))
        self.batch = batch


class NamedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What was fetched of a partition; any error in it is a `BrokenBatchError` that names the batch."""

    def _unpack_records(self, tp: TopicPartition, records: Any, *deserializers: Any) -> Iterator[Any]:
        watched = WatchedRecords(records)
        try:
            yield from super()._unpack_records(tp, watched, *deserializers)
        except Exception as error:  # a codec's library raises what it likes
            raise BrokenBatchError(
                _unreadable(tp, self.next_fetch_offset, watched.raw, watched.following, error)
            ) from error


class WatchedRecords:
    """Record batches one after the other, of which the last is remembered as it came."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._slice: Any = b""

    def next_batch(self) -> Any:
        self._slice = self._records._next_slice or b""  # noqa: SLF001  a batch unpacks itself in place
        return self._records.next_batch()

    @property
    def raw(self) -> bytes:
        return bytes(self._slice)

    @property
    def following(self) -> int | None:
        """The offset at which the next batch begins, where that was fetched too."""
        behind = self._records._next_slice  # noqa: SLF001
        return None if behind is None else int(OFFSET.unpack_from(behind)[0])


def name_broken_batches(consumer: KafkaConsumer) -> None:
    """Have a consumer's polls raise `BrokenBatchError` for a batch that cannot be read, whatever is wrong with it."""
    fetcher = consumer._fetcher  # noqa: SLF001
    fetcher.PartitionRecords = NamedRecords
    parse = fetcher._parse_fetched_data  # noqa: SLF001

    def parsed(fetch: Any) -> Any:
        try:
            return parse(fetch)
        except Exception as error:
            if fetch.partition_data.error_code:
                raise  # it is the broker's
            raw = bytes(fetch.partition_data.records or b"")
            raise BrokenBatchError(
                _unreadable(fetch.topic_partition, fetch.fetched_offset, raw, None, error)
            ) from error

    fetcher._parse_fetched_data = parsed  # noqa: SLF001


def let_go(consumer: KafkaConsumer, partitions: Iterable[TopicPartition]) -> None:
    """Drop what was fetched of some partitions and parked, or left over by an error; a seek has to follow."""
    fetcher = consumer._fetcher  # noqa: SLF001
    for partition in partitions:
        for parked in (fetcher._paused_completed_fetches, fetcher._paused_partition_records):  # noqa: SLF001
            parked.pop(partition, None)
        current = fetcher._next_partition_records  # noqa: SLF001
        if current is not None and current.topic_partition == partition:
            fetcher._next_partition_records = None  # noqa: SLF001


def has_more(consumer: KafkaConsumer) -> bool:
    """Tell whether something fetched waits for its turn to be handed out; until then nothing more is fetched."""
    return bool(consumer._fetcher._completed_fetches)  # noqa: SLF001


def place_of(consumer: KafkaConsumer, partition: TopicPartition) -> int:
    """Return the offset at which an assigned partition is fetched next; behind what holds no messages, too."""
    position = consumer._subscription.assignment[partition].position  # noqa: SLF001  the public one asks the broker
    return -1 if position is None else int(position.offset)


def stay(consumer: KafkaConsumer, timeout_ms: int) -> None:
    """Take part in the group, and fetch nothing: join it, follow a rebalance, be seen to be alive."""
    consumer._coordinator.poll(timeout_ms=timeout_ms)  # noqa: SLF001  the public one cannot but fetch


def _unreadable(
    partition: TopicPartition, reached: int, raw: bytes, following: int | None, error: Exception
) -> UnreadableBatch:
    """Describe a batch by its head, as far as it has one: nothing else of it can be relied on.

    Where the checksum does not fit, the head may be as wrong as the rest: then the batch ends where the more modest of
    its two accounts of its length says, and what is left of it is met again.
    """
    codec, after = "broken", reached + 1
    if len(raw) >= HEAD.size and raw[MAGIC_AT] == MAGIC:
        base, _, _, _, _, attributes, delta, *_, count = HEAD.unpack_from(raw)
        codec, after = CODECS.get(attributes & CODEC_MASK, f"codec {attributes & CODEC_MASK}"), base + delta + 1
        if isinstance(error, CorruptRecordError):
            after, following = min(after, base + count), None
    if following is not None:
        after = following
    why, remedy = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", ""
    if isinstance(error, UnsupportedCodecError):
        package = PACKAGES.get(codec)
        why = f"the library for {codec} is missing" if package else f"{codec} is not known"
        remedy = f"pip install {package}" if package else ""
    return UnreadableBatch(partition, reached, max(after, reached + 1), codec, why, remedy, raw)
