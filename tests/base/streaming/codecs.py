"""Batches that are compressed as a test says: by a codec whose library is not there, or into what is no frame."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import kafka.codec
import kafka.record.default_records as batches
import pytest
from kafka import KafkaProducer

from tests.base.streaming.broker import Contents

__all__ = ["ZEROS", "codec", "cut", "put_in_one_batch", "unpacked", "zstd"]

HEAD = struct.Struct("<IBI")  # a frame's magic, what its head has, its length
RAW, RUN = 0, 1  # kinds of blocks
ZEROS = b"0" * 200  # without which nothing would be worth compressing


def zstd(payload: bytes) -> bytes:
    """Return a frame of zstd, in which one run of zeros is compressed: https://www.rfc-editor.org/rfc/rfc8878"""
    before, zeros, after = payload.partition(ZEROS)
    blocks = block(RAW, len(before), before) + block(RUN, len(zeros), b"0") + block(RAW, len(after), after, last=True)
    return HEAD.pack(0xFD2FB528, 0b1010_0000, len(payload)) + blocks


def block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
    return (size << 3 | kind << 1 | last).to_bytes(3, "little") + content


def unpacked(frame: bytes) -> bytes:
    """Undo `zstd`."""
    payload, at = b"", HEAD.size
    while at < len(frame):
        head = int.from_bytes(frame[at : at + 3], "little")
        size, is_run = head >> 3, head >> 1 & 3 == RUN
        length = 1 if is_run else size
        payload += frame[at + 3 : at + 3 + length] * (size if is_run else 1)
        at += 3 + length
    return payload


def cut(payload: bytes) -> bytes:
    """Return what is no frame of any codec."""
    return b"\x00not a frame" + payload[:3]


@contextmanager
def codec(name: str, encode: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have kafka-python compress with a codec, as if its library were there and did this."""
    with monkeypatch.context() as patched:
        patched.setattr(kafka.codec, f"has_{name}", lambda: True)
        patched.setattr(batches, f"{name}_encode", encode)
        patched.setitem(KafkaProducer._COMPRESSORS, name, (lambda: True, KafkaProducer._COMPRESSORS[name][1]))
        yield


def put_in_one_batch(broker: Contents, topic: str, values: list[bytes], compression: str, partition: int = 0) -> None:
    producer = KafkaProducer(
        bootstrap_servers=broker.address, acks="all", compression_type=compression, linger_ms=500, batch_size=65_536
    )
    try:
        for future in [producer.send(topic, value, b"k", partition=partition) for value in values]:
            future.get(timeout=30)
    finally:
        producer.close()
