"""The control server: an agent that answers, at the control socket, what the platform's owner asks."""

from __future__ import annotations

import os
import socket
import socketserver
import sys
import threading
from contextlib import suppress
from typing import Any, ClassVar

from attrs import frozen

from dataplatform.base.agent import Agent, Context
from dataplatform.errors import Permanent, PlatformError, Transient
from dataplatform.result import Failure, Result
from dataplatform.services.gateway.control import Operator
from dataplatform.services.service import Surroundings
from dataplatform.system.control.place import NAME, listen, peer_of
from dataplatform.system.control.wire import decode_request, encode_answer, read_frame, write_frame

__all__ = ["ControlServer"]

MOST_CLIENTS = 32
IDLE = 60.0  # seconds that a connection may be silent, and that an answer may take to be taken
LOOK = 0.05  # seconds between looks at whether to stop
TELLING = ("Pause", "Resume", "Restart", "Drain", "Publish")  # how requests begin that change something


@frozen
class Served:
    """A request was answered, with an error or without."""

    operation: str
    agent: str
    error: str | None = None


@frozen
class Refused:
    """A client was sent away."""

    error: str


class ControlServer(Agent):
    """Listens at the control socket, and has each client answered in a thread of its own.

    Where there can be no socket, the agent is degraded and the platform runs without.
    """

    kind: ClassVar[str] = "control"

    def __init__(self, context: Context, platform: Surroundings) -> None:
        super().__init__(context)
        self._platform = platform
        self._server: _Server | None = None

    def _open(self) -> None:
        folder = self._platform.data_dir
        try:
            listener = listen(folder)
        except OSError as error:
            reason = error.strerror or str(error)
            self.degrade(
                Permanent("no_socket", f"no control socket in {folder}: {reason}", remedy="`attach` cannot work")
            )
            return
        self._server = _Server(listener, Operator(self._platform, self.context.runtime.directory), self.actor_ref.tell)

    def receive(self, message: Served | Refused) -> None:
        match message:
            case Served(operation, agent, error):
                self.count("requests")
                if error is not None:
                    self.count("failed_requests")
                log = self.log.info if operation.startswith(TELLING) else self.log.debug
                log("asked", operation=operation, of=agent or None, error=error)
            case Refused(error):
                self.count("refused")
                self.log.warning("client refused", reason=error)

    def _close(self) -> None:
        if self._server is not None:
            self._server.end()
            with suppress(OSError):
                (self._platform.data_dir / NAME).unlink()
        self._server = None


class _Server(socketserver.ThreadingMixIn, socketserver.BaseServer):
    """Accepts up to 32 clients of the owner's."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, operator: Operator, tell: Any) -> None:
        super().__init__(NAME, _Client)
        self.operator = operator
        self._listener, self._tell = listener, tell
        self._clients: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(LOOK,), name="control-socket", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take no client any more, and hang up on those there are."""
        self.shutdown()
        self._thread.join()
        self._listener.close()
        with self._lock:
            for client in self._clients:
                with suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)

    def note(self, event: Served | Refused) -> None:
        with suppress(Exception):  # the agent may be gone by now
            self._tell(event)

    # socketserver's hooks

    def fileno(self) -> int:
        return self._listener.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        client, address = self._listener.accept()
        client.settimeout(IDLE)
        return client, address

    def verify_request(self, request: socket.socket, client_address: Any) -> bool:  # type: ignore[override]
        """Let the owner in, while there is room."""
        del client_address
        _, user = peer_of(request)
        with self._lock:
            if user not in {None, os.geteuid()}:
                error: PlatformError = Permanent(
                    "not_yours", f"this platform belongs to user {os.geteuid()}, and user {user} asks"
                )
            elif len(self._clients) >= MOST_CLIENTS:
                error = Transient("busy", f"{MOST_CLIENTS} clients are connected", retry_after=1.0)
            else:
                self._clients.add(request)
                return True
        self.note(Refused(str(error)))
        with suppress(OSError):
            write_frame(request, encode_answer(Failure(error)))
        return False

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._lock:
            self._clients.discard(request)
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A bug in answering: the client is hung up on, and the agent's log says so."""
        del request, client_address
        self.note(Refused(f"hung up on a client: {sys.exception()!r}"))


class _Client(socketserver.BaseRequestHandler):
    """One client, asking one thing after the other."""

    request: socket.socket
    server: _Server

    def handle(self) -> None:
        with suppress(OSError):  # gone, or silent for too long
            while (content := self._read()) is not None:
                write_frame(self.request, encode_answer(self._answer(content)))

    def _read(self) -> bytes | None:
        try:
            return read_frame(self.request)
        except PlatformError as error:
            self.server.note(Refused(str(error)))
            write_frame(self.request, encode_answer(Failure(error)))
            return None

    def _answer(self, content: bytes) -> Result[Any]:
        try:
            asked = decode_request(content)
        except PlatformError as error:
            self.server.note(Refused(str(error)))
            return Failure(error)
        answer = self.server.operator.ask(asked.agent, asked.request, asked.timeout)
        failed = str(answer.error) if isinstance(answer, Failure) else None
        self.server.note(Served(type(asked.request).__name__, _whom(asked.agent, asked.request), failed))
        return answer


def _whom(agent: str, request: Any) -> str:
    return agent or getattr(request, "name", "")
