"""The feed as a kind of client: its settings, the agent that holds a connection to it, and its sign of life.

The protocol: the client says `PING`, answered `PONG`, or `SUBSCRIBE bitcoin,ethereum`; then the server sends a line of
JSON for each trade, until one of them hangs up.
"""

from __future__ import annotations

import socket
from typing import Any, ClassVar, TypeAlias, assert_never

from attrs import field, frozen, validators

from dataplatform import Failure, Result, Success, Technology, Transient
from dataplatform.base.agent import Agent, ChildSpec, Context, Request

__all__ = ["TakeTicks", "TickTechnology"]

LONGEST_WAIT = 0.05  # seconds that a take waits for what is on its way, and holds up others
CHUNK = 64 * 1024


@frozen(kw_only=True)
class TickSettings:
    """Options of `kind = "ticks"` under `[clients.NAME]`."""

    host: str = field(validator=validators.min_len(1), metadata={"help": "where the feed is"})
    port: int = field(validator=validators.in_(range(1, 65_536)), metadata={"help": "its port"})
    timeout: float = field(
        default=2.0, validator=[validators.gt(0.0), validators.le(5.0)], metadata={"help": "seconds for connecting"}
    )


@frozen
class TakeTicks(Request[list[bytes]]):
    """Answers the lines that have come of these coins since the last time."""

    coins: tuple[str, ...]


@frozen
class Ping(Request[str]):
    """Answers what the server says to a PING."""


Message: TypeAlias = TakeTicks | Ping


class TickClient(Agent):
    """Holds one connection, opened when it is needed. It reads on when it is asked, so that TCP slows the server down.

    Its counters: connections opened, lines and bytes received.
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: TickSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._socket: socket.socket | None = None
        self._rest = b""

    def receive(self, message: Message) -> Result[Any]:
        try:
            match message:
                case TakeTicks(coins):
                    answer: Any = self._take(coins)
                case Ping():
                    answer = self._ping()
                case _:
                    assert_never(message)
        except OSError as error:
            return self._failed(error)
        self.recover()
        return Success(answer)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest = None, b""

    def _take(self, coins: tuple[str, ...]) -> list[bytes]:
        if self._socket is None:
            self._socket = self._connected()
            self._socket.sendall(b"SUBSCRIBE %s\n" % ",".join(coins).encode())
        *lines, self._rest = (self._rest + self._received(self._socket)).split(b"\n")
        self.count("lines", len(lines))
        return lines

    def _received(self, connection: socket.socket) -> bytes:
        connection.settimeout(LONGEST_WAIT)
        try:
            received = connection.recv(CHUNK)
        except TimeoutError:
            return b""
        if not received:
            raise ConnectionResetError(None, "the feed has hung up")
        self.count("bytes", len(received))
        return received

    def _ping(self) -> str:
        with self._connected() as connection, connection.makefile("rb") as answers:
            connection.sendall(b"PING\n")
            return str(answers.readline(100), "utf-8", "replace").strip()

    def _connected(self) -> socket.socket:
        address = (self._settings.host, self._settings.port)
        connected = socket.create_connection(address, self._settings.timeout)
        self.count("connections")
        return connected

    def _failed(self, error: OSError) -> Failure:
        self._close()
        where = f"{self._settings.host}:{self._settings.port}"
        delay = self.backoff.next()
        outage = Transient("unreachable", f"cannot reach {where}: {error.strerror or error}", retry_after=delay)
        self.degrade(outage, delay)
        return Failure(outage)


class TickTechnology(Technology):
    """A feed that pushes the price of each trade."""

    title: ClassVar[str] = "Ticks"
    Options = TickSettings
    place: ClassVar[str] = "port"
    remedy: ClassVar[str] = "check host and port, and that the feed runs"

    @classmethod
    def agents(cls, name: str, settings: Any, *, written: bool) -> tuple[ChildSpec, ...]:
        del written
        return (TickClient.child(name, settings),)

    @classmethod
    def sign_of_life(cls) -> Request[str]:
        return Ping()
