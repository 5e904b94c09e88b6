"""The proxy between platform and servers: what it does to bytes, and to those who wait for them."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing

import crc32c
import pytest

from tests.faults.batches import checksummed
from tests.faults.proxy import Proxy

SOON, LATER = 60.0, 0.3  # seconds: for what must come, and for what must not


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that answers what it is told."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=[server], daemon=True).start()
        with closing(Proxy(server.getsockname()[1])) as proxy:
            yield proxy
        server.shutdown(socket.SHUT_RDWR)


def _echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=[connection], daemon=True).start()


def _answer(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65_536):
                connection.sendall(data)
        except OSError:
            return


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=SOON)


def received(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := client.recv(size - len(data))):
        data += part
    return data


@pytest.mark.parametrize("conditions", [{}, {"piece": 1}, {"delay": 0.05}])
def test_all_bytes_come_through_in_order(proxy: Proxy, conditions: dict[str, float]) -> None:
    proxy.set(**conditions)
    sent = bytes(range(256)) * 40
    with connected(proxy) as client:
        client.sendall(sent)
        assert received(client, len(sent)) == sent


def test_a_cut_resets_the_connections_that_there_are_and_later_ones_are_served(proxy: Proxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"x")
        assert received(client, 1) == b"x"
        assert proxy.cut() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(proxy) as client:
        client.sendall(b"y")
        assert received(client, 1) == b"y"


def test_swallowed_bytes_never_come_and_their_connection_is_reset_in_better_weather(proxy: Proxy) -> None:
    with connected(proxy) as client:
        client.sendall(b"x")
        assert received(client, 1) == b"x"
        proxy.set(swallow=True)
        client.sendall(b"lost")
        client.settimeout(LATER)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.clear()
        client.settimeout(SOON)
        client.sendall(b"late")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_refused_connection_is_reset(proxy: Proxy) -> None:
    def come() -> None:
        with connected(proxy) as client:
            client.recv(1)

    proxy.set(refuse=True)
    with pytest.raises(ConnectionResetError):
        come()


def test_corruption_changes_one_bit_of_a_chunk_from_the_server(proxy: Proxy) -> None:
    proxy.set(corrupt=1.0)
    with connected(proxy) as client:
        client.sendall(b"\0" * 100)
        data = received(client, 100)
    assert sum(byte.bit_count() for byte in data) == proxy.damaged == 1


def batch(records: bytes) -> bytes:
    """Return a record batch as Kafka writes it, with anything in the place of its attributes and records."""
    return struct.pack(">qiibI", 77, len(records) + 9, 3, 2, crc32c.crc32c(records)) + records


def test_what_a_checksum_guards_is_found_in_whole_batches_among_other_bytes() -> None:
    data = b"\2" * 30 + batch(b"one" * 20) + batch(b"two" * 9) + b"\2\0\2" + batch(b"cut")[:-1]
    assert [data[places.start : places.stop] for places in checksummed(data)] == [b"one" * 20, b"two" * 9]
    assert checksummed(b"") == checksummed(bytes(100)) == []


def test_nothing_is_changed_where_no_place_is_named(proxy: Proxy) -> None:
    proxy.set(corrupt=1.0, places=checksummed)
    with connected(proxy) as client:
        client.sendall(b"x" * 100)
        assert received(client, 100) == b"x" * 100
    assert proxy.damaged == 0
