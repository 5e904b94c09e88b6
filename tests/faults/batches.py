"""Where Kafka's protocol is guarded by a checksum: in its record batches, and there from the attributes on.

A change anywhere else (an offset, a partition's number, an error code) is for TLS to find, as it is on the whole way to
PostgreSQL. https://kafka.apache.org/documentation/#recordbatch
"""

from __future__ import annotations

import struct

import crc32c

__all__ = ["checksummed"]

HEAD = struct.Struct(">qiibI")  # base offset, length of what follows it, leader's epoch, magic, checksum
AHEAD = 12  # bytes of the head that the length does not count
MAGIC_AT, MAGIC = 16, b"\x02"


def checksummed(data: bytes) -> list[range]:
    """Return the places that the checksums of the record batches in some bytes guard; only whole batches are found."""
    found: list[range] = []
    begin = 0
    while (at := data.find(MAGIC, begin + MAGIC_AT)) >= 0:
        begin = at - MAGIC_AT
        guarded = _guarded(data, begin)
        if guarded:
            found.append(guarded)
        begin = guarded.stop if guarded else begin + 1
    return found


def _guarded(data: bytes, begin: int) -> range:
    """Return the places that are guarded in the batch that begins here; none where none begins here."""
    first = begin + HEAD.size
    if first > len(data):
        return range(0)
    _, length, _, _, checksum = HEAD.unpack_from(data, begin)
    end = begin + AHEAD + length
    if not first < end <= len(data) or crc32c.crc32c(data[first:end]) != checksum:
        return range(0)
    return range(first, end)
