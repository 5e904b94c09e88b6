"""An HTTP server on a real socket that does, request by request, what its script says; misbehaving included."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from tests.support.waiting import DEADLINE

TLS_HELLO = b"\x16\x03"

Act: TypeAlias = "bytes | Callable[[socket.socket], None]"


def answer(status: int, body: object = "{}", *headers: str) -> bytes:
    """Return a whole answer; a body that is neither text nor bytes is sent as JSON."""
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    head = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


class Held:
    """Requests that the server holds until it is told to let them go; then each connection is closed."""

    def __init__(self, count: int) -> None:
        self.count, self._arrived, self._open = count, threading.Semaphore(0), threading.Event()

    def all_there(self) -> None:
        """Wait until so many requests are held at once."""
        for _ in range(self.count):
            assert self._arrived.acquire(timeout=DEADLINE), "not as many requests as expected are at the server"

    def let_go(self) -> None:
        self._open.set()

    def act(self, connection: socket.socket) -> None:
        self._arrived.release()
        if self._open.wait(2 * DEADLINE):
            connection.sendall(answer(200, "{}", "Connection: close"))


class ScriptedServer:
    """Answers each request with the next act of `script`, and with an empty JSON object when that is used up.

    An act is bytes to send, or a function that is given the connection, which is closed after it.
    """

    def __init__(self, *script: Act) -> None:
        self.script = deque(script)
        self.heads: list[str] = []
        self.accepted = 0
        self.closing = threading.Event()
        self._connections: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, name="scripted-server", daemon=True).start()

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    def close(self) -> None:
        self.closing.set()
        for open_socket in (self._listener, *self._connections):
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while head := _read_head(connection):
                self.heads.append(head)
                act = self.script.popleft() if self.script else answer(200)
                if callable(act):
                    act(connection)
                    return
                connection.sendall(act)

    # Acts

    def hold(self, count: int) -> Held:
        """Hold so many of the next requests."""
        held = Held(count)
        self.script.extend([held.act] * count)
        return held

    def drip(self, head: bytes) -> Callable[[socket.socket], None]:
        """Send `head`, and then a byte now and then for as long as anybody listens."""

        def act(connection: socket.socket) -> None:
            connection.sendall(head)
            while not self.closing.wait(0.02):
                connection.sendall(b"x")

        return act

    def stay_silent(self, connection: socket.socket) -> None:
        """Answer nothing until the client has gone."""
        connection.recv(1)


def cut_off(connection: socket.socket) -> None:
    """Promise a long body, and end it after some bytes."""
    connection.sendall(answer(200, b"x" * 1000)[:-500])


def hang_up(connection: socket.socket) -> None:
    """Close the connection without a word."""


def reset(connection: socket.socket) -> None:
    """Reset the connection, as a crashed peer or a firewall does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _read_head(connection: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        if not (some := connection.recv(65536)):
            return ""
        head += some
        if head.startswith(TLS_HELLO):
            return "TLS"
    return head.decode("latin-1")
