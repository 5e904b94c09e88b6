"""One Metadata request over a plain socket, to see whether a Kafka broker serves.

It asks as a client would, without a client's retries, threads and log lines. The format is that of the protocol guide
(https://kafka.apache.org/protocol, Metadata, version 1), understood by every broker since Kafka 0.10.
"""

from __future__ import annotations

import socket
import struct

__all__ = ["broker_serves"]

METADATA, VERSION, CORRELATION, CLIENT = 3, 1, 1, b"dataplatform"
NO_TOPICS = struct.pack(">i", 0)
LARGEST = 1_000_000  # bytes of an answer; without topics it has a few dozen


def broker_serves(host: str, port: int, timeout: float = 1.0) -> bool:
    """Tell whether the broker names itself as one that can be used; gives up when it pauses for `timeout` seconds."""
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(_sized(_header() + NO_TOPICS))
            answer = _read_sized(connection)
            correlation, brokers = struct.unpack_from(">ii", answer)
    except (OSError, struct.error):
        return False
    return bool(correlation == CORRELATION and brokers > 0)


def _header() -> bytes:
    return struct.pack(">hhih", METADATA, VERSION, CORRELATION, len(CLIENT)) + CLIENT


def _sized(request: bytes) -> bytes:
    return struct.pack(">i", len(request)) + request


def _read_sized(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _read(connection, 4))
    return _read(connection, min(size, LARGEST))


def _read(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size and (part := connection.recv(size - len(read))):
        read += part
    return read
