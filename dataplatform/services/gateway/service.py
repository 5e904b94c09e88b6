"""The gateway's doors: on the Unix socket in the data directory for the owner, and on TCP where one asks for it."""

from __future__ import annotations

import os
import socket
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import suppress
from typing import Any, ClassVar

from attrs import frozen

from dataplatform.base.agent import Agent, ChildSpec, Context
from dataplatform.base.net.serving import AsgiServer, Limits
from dataplatform.base.net.waits import LoopThread
from dataplatform.errors import Permanent, PlatformError
from dataplatform.services.gateway.app import Bug, Event, Refused, Served, application, owner_routes
from dataplatform.services.gateway.control import Operator
from dataplatform.services.gateway.options import GatewayOptions
from dataplatform.services.gateway.place import NAME, listen, peer_of
from dataplatform.services.gateway.wire import error_body
from dataplatform.services.service import PlatformView

__all__ = ["FormerGateway", "Gateway", "OwnerDoor"]

MOST_CLIENTS = 32
ARRIVAL, IDLE = 10.0, 60.0  # seconds for a request to arrive, and that a client may keep its connection without one
CLOSE = 0.25  # seconds for the server to end, and for the loop


@frozen
class Ended:
    """The server has ended by itself."""

    error: BaseException | None


class OwnerDoor(Agent):
    """Lets the platform's owner in, by the socket in its data directory, with all rights.

    Where there can be no socket, the agent is degraded and the platform runs without.
    """

    kind: ClassVar[str] = "control"

    def __init__(self, context: Context, platform: PlatformView) -> None:
        super().__init__(context)
        self._platform = platform
        self._loop = LoopThread(f"{context.name}-loop", context.stopping)
        self._server: AsgiServer | None = None
        self._serving: list[Future[Any]] = []

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
        operator = Operator(self._platform, self.context.runtime.directory)
        limits = Limits(
            connections=MOST_CLIENTS,
            per_address=MOST_CLIENTS,
            arrival=ARRIVAL,
            idle=IDLE,
            refusal=_not_the_owner,
            refused=self._tell_refused,
            body=error_body,
        )
        self._server = AsgiServer(application(owner_routes(operator, self._tell), self._tell), limits)
        serving = self._loop.start(self._server.serve, listener)
        serving.add_done_callback(self._tell_end)
        self._serving = [serving]

    def receive(self, message: Event | Ended) -> None:
        match message:
            case Served(operation, of, error):
                self.count("requests")
                if error is not None:
                    self.count("failed_requests")
                log = self.log.info if operation.changes else self.log.debug
                log("asked", operation=operation.name, of=of or None, error=error)
            case Refused(error):
                self.count("refused")
                self.log.warning("client refused", reason=error)
            case Bug(path, error):
                self.log.error("bug", path=path, error=error)
            case Ended(error):
                raise RuntimeError("the server of the control socket ended by itself") from error

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            wait_for(self._serving, CLOSE)
            with suppress(OSError):
                (self._platform.data_dir / NAME).unlink()
        if not self._loop.close(CLOSE):
            self.log.warning("the server's thread is left behind")

    def _tell(self, event: Event | Ended) -> None:
        with suppress(Exception):  # the agent may be gone by now
            self.actor_ref.tell(event)

    def _tell_refused(self, error: PlatformError) -> None:
        self._tell(Refused(str(error)))

    def _tell_end(self, serving: Future[Any]) -> None:
        if not (self.context.stopping.is_set() or serving.cancelled()):
            self._tell(Ended(serving.exception()))


class Gateway:
    """The service `kind = "gateway"`: a door on TCP, with MCP at `/mcp`, or MCP over standard input and output."""

    technology: ClassVar[str] = "gateway"
    Options: ClassVar[type[GatewayOptions]] = GatewayOptions
    former: ClassVar[str | None] = None

    @classmethod
    def part(cls, name: str, options: GatewayOptions, platform_view: PlatformView) -> tuple[ChildSpec, ...]:
        """Return its one agent; one that serves standard input is not started again when that has ended."""
        from dataplatform.services.gateway.mcp.service import McpService  # noqa: PLC0415  the SDK takes half a second

        restart = "transient" if options.transport == "stdio" else "permanent"
        return (McpService.child(name, options, platform_view, cls.former, restart=restart),)


class FormerGateway(Gateway):
    """The service `kind = "mcp"`, as the gateway was called; the name goes with the next release."""

    technology: ClassVar[str] = 'gateway (kind = "mcp" is now called kind = "gateway")'
    former: ClassVar[str | None] = "mcp"


def _not_the_owner(connection: socket.socket) -> PlatformError | None:
    _, user = peer_of(connection)
    if user in {None, os.geteuid()}:
        return None
    return Permanent("not_yours", f"this platform belongs to user {os.geteuid()}, and user {user} asks")
