"""The agent that uses the tools of one MCP server: over streamable HTTP, over SSE, or as a child process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, assert_never

from dataplatform.base.agent import Agent, Context
from dataplatform.base.mcp.messages import CallAnyOf, CallTool, ListTools, ServerInfo, ToolAnswer
from dataplatform.base.mcp.settings import McpSettings
from dataplatform.base.net.shown import shown_server
from dataplatform.base.net.waits import Interrupted, LoopThread, Overdue
from dataplatform.errors import PlatformError, Transient
from dataplatform.result import Failure, Result, Success, is_failure

if TYPE_CHECKING:
    from dataplatform.base.mcp.session import Session

__all__ = ["McpClient"]

McpMessage: TypeAlias = ListTools | CallTool | CallAnyOf | ServerInfo

REPLACING = 3.5  # seconds for a lost session to end, a stubborn child process killed, before there is another
CLOSING, KILLING, ENDING = 0.5, 0.2, 0.15  # seconds for the session and the event loop: platforms give a client 0.9


class McpClient(Agent):
    """Answers `ListTools`, `CallTool`, `CallAnyOf` and `ServerInfo`; `failures` lists the codes of its failures.

    It connects at the first request, and asks one request at a time. What a tool of another platform fails with is
    answered as it was there. No error of the question leaves the client less healthy than it was (`net.refusals`). A
    session that has failed is closed, and the next request opens another. When the server has asked for a pause
    (`rate_limited`), nothing is sent, and `retry_after` tells when to come back. Any request is answered in
    `settings.longest` seconds. Its counters: requests sent, sessions opened, errors answered, bytes of text received,
    and throttled requests, which were not sent.

        McpClient.child("coingecko-mcp", McpSettings(url="https://mcp.api.coingecko.com/mcp"))
        ...
        call = CallTool("get_simple_price", {"ids": "bitcoin", "vs_currencies": "usd"})
        self.address("coingecko-mcp").ask(call, timeout=settings.longest)
    """

    kind: ClassVar[str] = "client"

    def __init__(self, context: Context, settings: McpSettings) -> None:
        super().__init__(context)
        self._settings = settings
        self._loop = LoopThread(context.name, context.stopping)
        self._session: Session | None = None
        self._mode: Literal["auto", "legacy"] = "auto"
        self._paused_until = 0.0

    def _open(self) -> None:
        """Import the SDK, which takes half a second that a platform without an MCP client need not wait."""
        from dataplatform.base.mcp import session  # noqa: PLC0415

        self._asking, self._new_session = session, session.Session

    def receive(self, message: McpMessage) -> Result[Any]:
        if refusal := self._refuse_unsent():
            return refusal
        result = self._answered(message)
        self._show(result)
        return _told(result)

    def _close(self) -> None:
        if self._session is not None:
            self._session.leave()
            if not self._session.gone(CLOSING):
                self._session.kill()
                self._session.gone(KILLING)
        if not self._loop.close(ENDING):
            self.log.warning("left a connection behind that does not end", server=self._server)

    @property
    def _server(self) -> str:
        return shown_server(self._settings.url) if self._settings.url else f"{self._settings.command}"

    def _refuse_unsent(self) -> Failure | None:
        """Refuse what must not be sent now, while the pause lasts that the server has asked for."""
        pause = self._paused_until - self.clock.monotonic()
        if pause <= 0:
            return None
        self.count("throttled")
        return Failure(Transient("rate_limited", f"{self._server} has asked for a pause", retry_after=pause))

    def _answered(self, message: McpMessage) -> Result[Any]:
        self.count("requests")
        connected = self._connected()
        if is_failure(connected):
            return connected
        session = connected.data
        match message:
            case ListTools():
                return self._asking.list_tools(session)
            case CallTool():
                return self._asking.call_tool(session, message)
            case CallAnyOf():
                return self._asking.call_any_of(session, message)
            case ServerInfo():
                return Success(session.identity)
            case _:
                assert_never(message)

    def _connected(self) -> Result[Session]:
        """Answer the session, another one if the last was lost; that one's process is dead before the next starts."""
        last = self._session
        if last is not None and not last.lost:
            return Success(last)
        if last is not None:
            last.leave()
            try:
                self._loop.wait([last.ended], REPLACING)
            except Interrupted:
                return Failure(Transient("stopping", f"{self.name} is stopping"))
            except Overdue:
                return Failure(Transient("unreachable", f"the last connection to {self._server} has not ended"))
        self._session = session = self._new_session(self._settings, self._loop, self.clock, self._mode)
        self.count("sessions")
        error = session.open()
        if error is None:
            return Success(session)
        if error.code == "timeout":  # some servers of the older protocol never answer what they do not know
            self._mode = "legacy" if self._mode == "auto" else "auto"
        return Failure(error)

    def _show(self, result: Result[Any]) -> None:
        match result:
            case Success(data):
                self.count("bytes", len(data.text.encode(errors="replace")) if isinstance(data, ToolAnswer) else 0)
                self.recover()
                return
            case Failure(Transient(code="stopping")):
                return
            case Failure(error) if not error.of_question:
                pause = error.retry_after if isinstance(error, Transient) else None
                self._paused_until = self.clock.monotonic() + (pause or 0.0)
                self.degrade(error, pause)
        self.count("errors")


def _told(result: Result[Any]) -> Result[Any]:
    """Return an answer, or the failure that another platform has given in its place."""
    match result:
        case Success(ToolAnswer(failure=PlatformError() as error)):
            return Failure(error)
        case _:
            return result
