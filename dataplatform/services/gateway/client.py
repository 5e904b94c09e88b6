"""A running platform as its owner sees it from another process: HTTP over the socket in its data directory."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, IncompleteRead
from pathlib import Path
from typing import Any, TypeVar

from attrs import field, frozen

from dataplatform.base.agent import AgentStatus, Future, GetStatus, Request, later
from dataplatform.base.embedded.process import lock_is_held
from dataplatform.dsl.operations.proxy import AgentProxy, ReaderProxy, WriterProxy
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result, Success, get_data
from dataplatform.services.gateway.operations import Asked, operation_of
from dataplatform.services.gateway.place import connect
from dataplatform.services.gateway.requests import DrainPlatform, GetPlatformInfo, GetPlatformStatus, PlatformInfo
from dataplatform.services.gateway.wire import read_answer, read_plain
from dataplatform.services.service import PlatformStatus
from dataplatform.suggestions import suggestion

__all__ = ["RemoteAddress", "RemotePlatform"]

T = TypeVar("T")
CONNECT_TIMEOUT = 5.0  # seconds
STOP_TIMEOUT = 15.0
LOOK = 0.02
GRACE = 2.0  # that an answer may take longer than the platform was given for it
PATIENCE = 60.0  # for an operation whose future nobody waits for yet


@frozen
class RemotePlatform:
    """The platform that runs in a data directory; used as a `Platform` is.

    Each request has a connection of its own, so that slow ones hold nobody up. `demo` is for the advice on how to
    start one where none runs.
    """

    data_dir: Path
    demo: bool = False

    def ask(self, agent: str, request: Request[T], timeout: float) -> Result[T]:
        """Put a request to an agent, or to the platform as agent ""; waits a little longer than `timeout` seconds.

        Raises `TypeError` for a request that cannot be sent.
        """
        operation = operation_of(request)
        try:
            body = json.dumps(operation.arguments(Asked(agent, request, timeout))).encode()
            content = self._exchange("POST", f"/operations/{operation.name}", body, timeout)
            return read_answer(request, content)
        except PlatformError as error:
            return Failure(error)

    def status_as_json(self) -> Any:
        """Return what `GET /status` answers; raises `PlatformError` where no platform answers."""
        return get_data(read_plain(self._exchange("GET", "/status", None, CONNECT_TIMEOUT)))

    def _exchange(self, method: str, path: str, body: bytes | None, timeout: float) -> bytes:
        """Return the body of a response; raises `PlatformError` where there is none."""
        open_socket = partial(connect, self.data_dir, CONNECT_TIMEOUT, demo=self.demo)
        try:
            with closing(_SocketConnection(open_socket, timeout + GRACE)) as connection:
                with suppress(BrokenPipeError):  # sent away at the door, with a reason to read
                    connection.request(method, path, body, {"content-type": "application/json"})
                content = connection.getresponse().read()
        except PlatformError:
            raise
        except TimeoutError as error:
            raise Transient("timeout", f"the platform in {self.data_dir} gave no answer in {timeout:g} s") from error
        except (OSError, IncompleteRead) as error:
            raise self._hung_up() from error
        except HTTPException as error:
            raise _other_version() from error
        return content

    def __getitem__(self, name: str) -> Any:
        """Return the proxy of an agent, as `Platform` does; raises `KeyError` for a name that no agent has."""
        info = self.info()
        if name not in info.agents:
            raise KeyError(f"no agent is called {name!r}{suggestion(name, info.agents)}")
        proxy = ReaderProxy if name in info.sources else WriterProxy if name in info.targets else AgentProxy
        return proxy(RemoteAddress(name, self))

    def info(self) -> PlatformInfo:
        """Return who is there; raises `PlatformError` where no platform answers."""
        return get_data(self.ask("", GetPlatformInfo(), CONNECT_TIMEOUT))

    def status(self) -> PlatformStatus:
        """Look at everything; raises `PlatformError` where no platform answers."""
        return get_data(self.look())

    def look(self) -> Result[PlatformStatus]:
        """Answer one look at everything."""
        return self.ask("", GetPlatformStatus(), CONNECT_TIMEOUT)

    def drain(self) -> Result[None]:
        """Drain and stop the platform; answers when it has stopped, and its data directory is free."""
        answer = self.ask("", DrainPlatform(), CONNECT_TIMEOUT)
        if isinstance(answer, Failure) and answer.error.code != "hung_up":
            return answer
        deadline = time.monotonic() + STOP_TIMEOUT
        while lock_is_held(self.data_dir / "lock"):
            if time.monotonic() > deadline:
                text = f"the platform in {self.data_dir} still drains after {STOP_TIMEOUT:g} s"
                return Failure(Transient("timeout", text))
            time.sleep(LOOK)
        return Success(None)

    def _hung_up(self) -> Transient:
        return Transient("hung_up", f"the platform in {self.data_dir} hung up: it is stopping, or was stopped")


@frozen
class RemoteAddress:
    """An agent of a platform in another process, asked as an `Address` is."""

    name: str
    _platform: RemotePlatform = field(repr=False)

    def ask(self, request: Request[T], timeout: float) -> Result[T]:
        return self._platform.ask(self.name, request, timeout)

    def future(self, request: Request[T]) -> Future[Result[T]]:
        """Send a request and return a future of its answer; raises `TypeError` for one that cannot be sent."""
        operation_of(request)
        return later(lambda: self.ask(request, PATIENCE), f"asking {self.name}")

    def status(self) -> AgentStatus | None:
        answer = self.ask(GetStatus(), CONNECT_TIMEOUT)
        return answer.data if isinstance(answer, Success) else None


class _SocketConnection(HTTPConnection):
    """HTTP over a socket that `open_socket` gives."""

    def __init__(self, open_socket: Callable[[], socket.socket], timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._open_socket = open_socket

    def connect(self) -> None:
        self.sock = self._open_socket()
        self.sock.settimeout(self.timeout)


def _other_version() -> Permanent:
    remedy = "use the same release of dataplatform on both sides"
    return Permanent("other_version", "the other side does not speak HTTP: it is of another release", remedy=remedy)
