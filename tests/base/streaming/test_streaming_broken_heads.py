"""What is given up with a batch whose head cannot be relied on: never more than it may have held."""

from __future__ import annotations

import pytest
from kafka import TopicPartition
from kafka.errors import CorruptRecordError, UnsupportedCodecError

from dataplatform.base.streaming.fetcher import HEAD, MAGIC, _unreadable

PARTITION = TopicPartition("prices", 0)
ZSTD = 4


def raw(base: int, delta: int, count: int) -> bytes:
    """Return the head of a batch that says of itself where it ends, and how many records it has."""
    return bytes(HEAD.pack(base, 49, 0, MAGIC, 0, ZSTD, delta, 0, 0, -1, -1, -1, count))


@pytest.mark.parametrize(
    ("delta", "count", "after"),
    [
        pytest.param(2, 3, 13, id="whole"),
        pytest.param(2**31 - 1, 3, 13, id="its last offset is wrong"),
        pytest.param(2, 2**31 - 1, 13, id="its count is wrong"),
        pytest.param(2, 0, 11, id="no records"),
        pytest.param(-5, 3, 11, id="it ends before it begins"),
    ],
)
def test_a_batch_with_a_wrong_checksum_ends_where_the_modest_account_says(delta: int, count: int, after: int) -> None:
    for following in (None, 2**40):  # what stands behind it is found by its length, which may be wrong too
        batch = _unreadable(PARTITION, 10, raw(10, delta, count), following, CorruptRecordError("crc"))
        assert (batch.first, batch.next, batch.codec) == (10, after, "zstd")


def test_a_batch_that_only_lacks_its_codec_ends_where_it_says_though_compaction_took_records() -> None:
    batch = _unreadable(PARTITION, 10, raw(10, 9, 2), None, UnsupportedCodecError("zstd"))
    assert (batch.next, batch.remedy) == (20, "pip install zstandard")
